"""Whether a principal may invoke, and why: IAM policies, their conditions and deny policies."""
