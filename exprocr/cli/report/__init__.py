"""``exprocr report``."""
