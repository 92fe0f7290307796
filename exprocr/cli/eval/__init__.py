"""``exprocr eval``."""
