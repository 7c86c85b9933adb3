"""The conditions of bindings: what they may hold, how they are rewritten, and how they are evaluated."""
