"""The stages of a network."""
