"""HTTP as far as keys need it: which URLs, one bounded request, and how long an answer may be used."""
