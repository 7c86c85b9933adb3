"""OAuth: what the emulated Google gives for a credential, and what it knows of what it gave."""
