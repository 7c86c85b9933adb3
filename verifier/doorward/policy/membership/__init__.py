"""Whether a principal is a member of a binding: the forms of members, what a principal is, and groups."""
