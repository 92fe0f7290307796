"""Copy this system's usable fonts into OUT/train and OUT/heldout, for training the weights.

    python tests/benchmarks/split_fonts.py OUT

A family is held out by the hash of the first word of its name, so that "Noto Sans" and "Noto
Serif" never end on two sides; about one in ten is. Droid Sans Mono, the ``captcha`` package's own
font, is trained on.
"""

from __future__ import annotations

import hashlib
import shutil
import sys
from pathlib import Path

from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import CHARACTERS

LEFT_OUT = ("Noto Mono",)  # Droid Sans Mono's twin


def is_held_out(family: str) -> bool:
    """Decide by the hash of the first word of the family's name."""
    return hashlib.blake2b(family.split()[0].lower().encode()).digest()[0] < 26


def main(out: Path) -> None:
    """Copy the fonts and print the families of both sides."""
    families: dict[str, set[str]] = {"train": set(), "heldout": set()}
    for font in find_fonts([], CHARACTERS).usable:
        if not font.path or font.family in LEFT_OUT:
            continue
        side = "heldout" if is_held_out(font.family) else "train"
        folder = out / side / font.family.replace("/", "_")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(font.path, folder)
        families[side].add(font.family)
    for side, names in families.items():
        print(f"{side}: {len(names)} families: {', '.join(sorted(names))}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
