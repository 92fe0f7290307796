"""``exprocr visualize``."""
