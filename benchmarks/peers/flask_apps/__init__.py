"""Flask apps, each guarded as the users of one library guard theirs."""
