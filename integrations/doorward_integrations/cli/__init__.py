"""The command line: ``doorward``."""
