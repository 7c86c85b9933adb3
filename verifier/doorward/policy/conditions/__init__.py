"""The conditions of bindings: what one may ask, how it is rewritten, and the library that evaluates it."""
