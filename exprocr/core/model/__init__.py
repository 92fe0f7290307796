"""The network, its files, and what runs it."""
