"""``exprocr info``."""
