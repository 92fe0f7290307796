"""Rendering of labeled images."""
