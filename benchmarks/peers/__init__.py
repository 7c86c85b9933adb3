"""The contenders: each library as its users call it, with the same work on the same tokens."""
