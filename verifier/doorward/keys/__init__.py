"""Where verification keys come from, and how long they may be used."""
