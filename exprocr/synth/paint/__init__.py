"""The other looks: set in type, written or drawn on paper, screens and displays."""
