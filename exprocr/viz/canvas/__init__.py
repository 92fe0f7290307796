"""What the pictures are drawn with."""
