"""Pages to look at in a browser."""
