"""Rendering of labelled images."""
