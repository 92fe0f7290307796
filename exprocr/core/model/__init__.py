"""The network, its files, and its engines."""
