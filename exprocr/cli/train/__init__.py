"""``exprocr train``."""
