"""``exprocr synth``."""
