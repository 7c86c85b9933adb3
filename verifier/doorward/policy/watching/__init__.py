"""A watched policy and what it is made of: reading the file, deciding when to look, holding and reporting."""
