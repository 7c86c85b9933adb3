"""IAM Credentials: tokens and signatures of a service account, for those who may act as it."""
