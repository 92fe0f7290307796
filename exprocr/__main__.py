"""``python -m exprocr``: the same command line as ``exprocr``."""

from exprocr.cli import main

if __name__ == "__main__":
    main()
