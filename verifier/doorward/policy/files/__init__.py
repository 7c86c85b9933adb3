"""From a file to the document in it: its encoding, and JSON or YAML, read strictly."""
