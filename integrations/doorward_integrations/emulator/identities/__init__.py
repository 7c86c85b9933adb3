"""Who there is on the emulated Google: accounts, users, groups, and who may act as whom."""
