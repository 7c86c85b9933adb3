"""What a watched policy is made of: reading the file, deciding when to look, holding and reporting."""
