"""The emulated issuers: Google accounts, Identity-Aware Proxy, Firebase, and issuers of one's own."""
