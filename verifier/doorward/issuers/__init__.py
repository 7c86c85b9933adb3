"""Who may sign: what each issuer calls itself, where its keys are, and the rules of its tokens."""
