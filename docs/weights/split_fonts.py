"""Copy this system's usable fonts into OUT/train and OUT/heldout, for training the weights.

    python docs/weights/split_fonts.py OUT [FOLDER ...]

Run it from the checkout's root. FOLDER is searched as well as the system's folders. The hash of the
first word of a family's name decides whether it is held out; about one family in ten is. So "Noto
Sans" and "Noto Serif" are never on two sides. Relatives without a common first word may be: cmr10
is held out, cmti10 is not. Droid Sans Mono, the ``captcha`` package's own font, is trained on.
"""

from __future__ import annotations

import argparse
import hashlib
import re
import shutil
from pathlib import Path

from exprocr.synth.fonts import find_fonts
from exprocr.synth.texts import LEVEL1

TWINS = (
    "Noto Mono|"  # Droid Sans Mono
    "Ae[MS]|ALM|CMU|Concrete|KaTeX_|MathJax_|NewC|UM Typewriter|"  # Computer Modern, Schoolbook
    "XCharter-Math-Bold|Garamond-Math|Klaudia|"  # XCharter, EB Garamond, Berenika
    "sans$|"  # Aerial
    "drm"  # a hundred and fifty cuts of one typeface
)
"""Families whose typeface is already there under another name, or would be there too often."""

FANCIFUL = (
    "Abecedario|Acathist|Alfa-beta|Because|Caliban|Cinzel Decorative|Cupola|Dkg|El Abogado|Ellh|"
    "EMERITA|Fetamont Script|Foulis|Frm|GWMono|Isabella|Jaini|Junkyard|Lobster|Miama|Penguin|Punk|"
    "QT|Steve|UnGungseo|UnPilgi|yfrak|yinit|yswab|.* Unicode$"
)
"""Display, blackletter and church types, children's handwriting; QT is a collection of such."""

LEFT_OUT = re.compile(f"{TWINS}|{FANCIFUL}")
"""Families on neither side."""


def is_held_out(family: str) -> bool:
    """Return whether the hash of the first word of the family's name holds it out."""
    return hashlib.blake2b(family.split()[0].lower().encode()).digest()[0] < 26


def main(out: Path, folders: list[Path]) -> None:
    """Copy the fonts and print the families of both sides.

    Raises:
        FileExistsError: ``out`` is there: what an earlier split left would be mixed in.
    """
    out.mkdir(parents=True)
    families: dict[str, set[str]] = {"train": set(), "heldout": set()}
    for font in find_fonts(folders, LEVEL1.characters).usable:
        if not font.path or LEFT_OUT.match(font.family):
            continue
        side = "heldout" if is_held_out(font.family) else "train"
        folder = out / side / font.family.replace("/", "_")
        folder.mkdir(parents=True, exist_ok=True)
        shutil.copy(font.path, folder)
        families[side].add(font.family)
    for side, names in families.items():
        print(f"{side}: {len(names)} families: {', '.join(sorted(names))}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="*")
    args = parser.parse_args()
    main(args.out, args.folders)
