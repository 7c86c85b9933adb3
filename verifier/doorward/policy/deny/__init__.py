"""Deny policies: what they hold, and whether one of their rules applies to a principal."""
