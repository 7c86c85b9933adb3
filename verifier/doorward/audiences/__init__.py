"""Whom a token is made for: the accepted values of ``aud``, given, worked out or detected."""
