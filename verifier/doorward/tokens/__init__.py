"""From a token to a principal."""
