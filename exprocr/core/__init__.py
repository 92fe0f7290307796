"""The shared core: no command line, no progress bars, no tables."""
