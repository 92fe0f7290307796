"""``exprocr predict``."""
