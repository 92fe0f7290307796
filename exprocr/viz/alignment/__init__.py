"""The alignment of a reading."""
