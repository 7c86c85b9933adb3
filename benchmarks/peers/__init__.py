"""The contenders: each peer as its users use it, doing the same work on the same tokens."""
