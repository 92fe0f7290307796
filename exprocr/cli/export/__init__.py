"""``exprocr export``."""
