"""The forms in which issuers publish keys, and what becomes a verification key."""
