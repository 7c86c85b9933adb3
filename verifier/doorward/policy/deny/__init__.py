"""Deny policies: what they say, and whether one applies to a principal."""
