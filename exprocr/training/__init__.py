"""Training: the loop, its checkpoints, its data."""
