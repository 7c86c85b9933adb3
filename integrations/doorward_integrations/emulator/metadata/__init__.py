"""The metadata server: how the programs of a machine learn who they run as, and get tokens for it."""
