"""The page at the emulator's root, for people, and the interface that it uses."""
