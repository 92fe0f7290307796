"""``exprocr label``."""
