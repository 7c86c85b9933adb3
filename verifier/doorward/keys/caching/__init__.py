"""What a key cache is made of: reading, deciding when to fetch, fetching, reporting and keeping."""
