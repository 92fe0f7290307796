"""``exprocr inspect``."""
