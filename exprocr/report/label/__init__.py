"""The page for labeling pictures."""
