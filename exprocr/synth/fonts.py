"""Finding fonts that can draw arithmetic; exprocr ships none.

Fonts come from packages that exprocr needs (Pillow's built-in font, matplotlib's fonts), from the
system, and from the user's folders. A font is rejected if it lacks a character, draws two
characters alike, draws something else instead of digits, or draws the same as another font. On
request, fonts that lack some signs are kept, and know what they lack.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import sys
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from exprocr.errors import FontError
from exprocr.words import quoted

FONT_SUFFIXES = (".ttf", ".otf", ".ttc")
PROBE_SIZE_PX = 48
UNASSIGNED = "\U0010fffe"
"""A noncharacter; a font draws its mark for missing characters instead."""

ALIKE = 0.05
"""Two glyphs are alike if at most this share of their ink differs."""

NEVER_ALIKE = "0123456789()*+-/=?"
"""Characters that a font must draw differently. Letters may be alike, such as I and l, and other
signs differ in their place alone, such as a point and a comma's upper half."""

PLAIN_SIGNS, FOREIGN = "+-/=<>?", 0.64
"""Signs that look much the same in all fonts; with a greater difference from the built-in font's,
it is another sign. Old fonts for TeX have others in the places of ``<`` and ``>``."""

MOST_FOREIGN = 2
"""Plain signs that a usable font draws as others, at most."""

FEWEST_KNOWN_DIGITS, FEWEST_KNOWN_SIGNS = 3, 1
"""A font draws arithmetic if at least this many digits and signs are most similar to the same
character of the built-in font. Symbol fonts fail; even fanciful text fonts pass."""


NUM_SIZES_TRIED = 4
"""Sizes at which a character is looked for, each a pixel larger than the last: hints can leave a
thin minus without a single pixel."""


class Glyph(NamedTuple):
    """A drawn character, and where its ink is; lengths in px."""

    ink: Image.Image
    """Its ink, cropped, mode L; of no size for a space."""

    left: int
    """From the pen to the ink."""

    top: int
    """From the baseline down to the upper end of the ink; mostly negative."""

    advance: float
    """From this character's pen to the next one's."""


@dataclass(frozen=True, order=True)
class FontFile:
    """A usable font; an empty path is Pillow's built-in font."""

    family: str
    style: str
    path: str

    lacks: str = ""
    """Those of the characters asked for that it does not have."""

    def glyphs(self, characters: Collection[str], size_px: int) -> dict[str, Glyph]:
        """Draw characters.

        Args:
            characters: The characters.
            size_px: Size, px per em.

        Returns:
            Each with its place beside the pen; without those that the font does not have.
        """
        found: dict[str, Glyph] = {}
        for size in range(size_px, size_px + NUM_SIZES_TRIED):
            if wanted := [c for c in characters if c not in found]:
                missing = _missing_mark(self.path, size)
                drawn = {c: _place(_open(self.path, size), c) for c in wanted}
                found |= {c: g for c, g in drawn.items() if c.isspace() or _is_there(g, missing)}
        return found

    def draw(self, character: str, size_px: int) -> tuple[Image.Image, tuple[int, int]]:
        """Draw one character.

        Args:
            character: The character.
            size_px: Size, px per em.

        Returns:
            Its ink, cropped, mode L; and the ends of the glyph: to the right, px from the pen (of
            the ink or the advance, whichever is wider); below, px from the ascender line.
        """
        return _draw(_open(self.path, size_px), character)


@dataclass
class FontReport:
    """The result of a search: usable fonts in a fixed order, and rejected files with reasons."""

    usable: list[FontFile] = field(default_factory=list)
    rejected: list[tuple[str, str]] = field(default_factory=list)

    @property
    def families(self) -> list[str]:
        """Names of the usable families, sorted."""
        return sorted({font.family for font in self.usable})

    def digest(self) -> str:
        """Return a fingerprint of the usable fonts, which shows on resuming whether they changed.

        It covers their names, the sizes of their files and what they lack, but not their places.

        Returns:
            BLAKE2b of 16 bytes, hexadecimal.
        """
        fonts = [
            (font.family, font.style, font.lacks, os.path.getsize(font.path) if font.path else 0)
            for font in self.usable
        ]
        return hashlib.blake2b(json.dumps(fonts).encode(), digest_size=16).hexdigest()


@lru_cache(maxsize=4_000)
def _missing_mark(path: str, size_px: int) -> NDArray[np.uint8]:
    """Return what a font draws for a character that it lacks."""
    return _glyph(_open(path, size_px), UNASSIGNED)


@lru_cache(maxsize=256)
def _open(path: str, size_px: int) -> ImageFont.FreeTypeFont:
    if path:
        return ImageFont.truetype(path, size_px, layout_engine=ImageFont.Layout.BASIC)
    font = ImageFont.load_default(size_px)
    assert isinstance(font, ImageFont.FreeTypeFont)  # always, if a size is given
    return font


def system_font_folders() -> list[Path]:
    """Return the folders of the fonts of this system and of the packages that exprocr needs."""
    home = Path.home()
    if sys.platform == "win32":
        windows = Path(os.environ.get("WINDIR", r"C:\Windows"))
        folders = [windows / "Fonts", home / "AppData/Local/Microsoft/Windows/Fonts"]
    elif sys.platform == "darwin":
        folders = [Path("/System/Library/Fonts"), Path("/Library/Fonts"), home / "Library/Fonts"]
    else:
        data_home = Path(os.environ.get("XDG_DATA_HOME") or home / ".local/share")
        folders = [Path("/usr/share/fonts"), Path("/usr/local/share/fonts")]
        folders += [data_home / "fonts", home / ".fonts"]
    matplotlib = find_spec("matplotlib")  # found, but not imported
    if matplotlib and matplotlib.submodule_search_locations:
        folders.append(Path(matplotlib.submodule_search_locations[0]) / "mpl-data/fonts/ttf")
    return folders


def _font_paths(folders: Iterable[Path]) -> Iterator[Path]:
    for folder in folders:
        paths = (p for p in folder.rglob("*") if p.suffix.lower() in FONT_SUFFIXES)
        yield from sorted(p for p in paths if p.is_file())


def find_fonts(
    folders: Sequence[Path], characters: str, *, system: bool = True, partial: bool = False
) -> FontReport:
    """Find the fonts that draw ``characters`` legibly.

    Args:
        folders: The user's folders.
        characters: The characters to draw.
        system: Whether to search the folders of the system and of packages, too.
        partial: Whether to keep fonts that lack some of them, if they have all of the digits or all
            of the letters. `FontFile.lacks` names what they lack.

    Raises:
        FontError: A folder does not exist, or no font is usable.
    """
    for folder in folders:
        if not folder.is_dir():
            raise FontError(f"{folder}: expected a folder of fonts, found none")
    paths = [str(p) for p in _font_paths([*folders, *(system_font_folders() if system else [])])]
    report = FontReport()
    seen: dict[bytes, str] = {}
    for path in dict.fromkeys([*([""] if system else []), *paths]):
        try:
            font = _open(path, PROBE_SIZE_PX)
            glyphs = {c: _glyph(font, c) for c in characters if not c.isspace()}
            lacks = _lacking(font, glyphs)
            reason = None
            if partial:
                foreign = _foreign(font)
                lacks += "".join(c for c in glyphs if c in foreign)
                if len(foreign) > MOST_FOREIGN:
                    reason = "draws something else than signs"
            if lacks and not (partial and _has_digits_or_letters(glyphs, lacks)):
                reason = f"lacks {lacks}"
            glyphs = {c: glyph for c, glyph in glyphs.items() if c not in lacks}
            reason = reason or _defect(glyphs)
        except OSError as error:
            report.rejected.append((path, f"cannot be opened: {error}"))
            continue
        drawn = [lacks.encode(), *(g.tobytes() for g in glyphs.values())]
        digest = hashlib.blake2b(b"".join(drawn)).digest()
        if reason is None and (twin := seen.setdefault(digest, path)) != path:
            reason = f"draws the same as {twin or 'the built-in font'}"
        if reason:
            report.rejected.append((path, reason))
            continue
        family, style = font.getname()
        report.usable.append(FontFile(family or Path(path).stem, style or "", path, lacks))
    if not report.usable:
        where = ", ".join(map(str, folders)) or "the system's folders"
        raise FontError(
            f"{where}: expected a font that draws {quoted(characters)}, found "
            f"{len(report.rejected)} fonts and none that does"
        )
    report.usable.sort()
    return report


def _draw(font: ImageFont.FreeTypeFont, character: str) -> tuple[Image.Image, tuple[int, int]]:
    _, _, right, bottom = font.getbbox(character)
    mask: Any = font.getmask(character, mode="L")
    drawn = Image.frombytes("L", mask.size, bytes(mask))
    ink = drawn.getbbox()  # the mask reaches down to the baseline
    return drawn.crop(ink) if ink else Image.new("L", (0, 0)), (math.ceil(right), math.ceil(bottom))


def _is_there(glyph: Glyph, missing: NDArray[np.uint8]) -> bool:
    """Return whether a glyph has ink, and is not the mark for missing characters."""
    return bool(glyph.ink.width) and not np.array_equal(np.asarray(glyph.ink), missing)


def _place(font: ImageFont.FreeTypeFont, character: str) -> Glyph:
    mask: Any
    mask, (left, top) = font.getmask2(character, mode="L", anchor="ls")
    drawn = Image.frombytes("L", mask.size, bytes(mask))
    box = drawn.getbbox() or (0, 0, 0, 0)
    return Glyph(drawn.crop(box), left + box[0], top + box[1], font.getlength(character))


def _glyph(font: ImageFont.FreeTypeFont, character: str) -> NDArray[np.uint8]:
    """Draw one character, cropped to its ink: uint8 (h, w), which can be empty."""
    return np.asarray(_draw(font, character)[0])


def _thumbnail(glyph: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Scale a glyph to 24 x 24 px, whatever its aspect ratio: float32, 0..1."""
    scaled = Image.fromarray(glyph).resize((24, 24), Image.Resampling.BOX)
    return np.asarray(scaled, dtype=np.float32) / np.float32(255)


def _difference(a: NDArray[np.float32], b: NDArray[np.float32]) -> float:
    """Return the share, 0..1, of the ink of two thumbnails that only one of them has."""
    return float(np.abs(a - b).sum() / (a.sum() + b.sum()))


@lru_cache(maxsize=64)
def _known(characters: str) -> dict[str, NDArray[np.float32]]:
    """Return thumbnails of the built-in font, of those characters that it has."""
    font = _open("", PROBE_SIZE_PX)
    glyphs = {c: _glyph(font, c) for c in characters}
    lacks = _lacking(font, glyphs)
    return {c: _thumbnail(glyph) for c, glyph in glyphs.items() if c not in lacks}


def _lacking(font: ImageFont.FreeTypeFont, glyphs: dict[str, NDArray[np.uint8]]) -> str:
    """Return the characters that a font does not have."""
    missing = _glyph(font, UNASSIGNED)
    return "".join(c for c, g in glyphs.items() if not g.any() or np.array_equal(g, missing))


def _foreign(font: ImageFont.FreeTypeFont) -> str:
    """Return the plain signs that a font draws as something else."""
    glyphs = {c: _glyph(font, c) for c in PLAIN_SIGNS}
    lacks, known = _lacking(font, glyphs), _known(PLAIN_SIGNS)
    own = {c: _thumbnail(glyph) for c, glyph in glyphs.items() if c not in lacks}
    return "".join(c for c in own if _difference(known[c], own[c]) > FOREIGN)


def _has_digits_or_letters(glyphs: Iterable[str], lacks: str) -> bool:
    """Return whether a font has all of the digits or all of the letters that are asked for."""
    digits = {c for c in glyphs if c.isdigit()}
    letters = {c for c in glyphs if c.isalpha()}
    if not digits and not letters:
        return len(lacks) < len(set(glyphs))
    return any(kind and kind.isdisjoint(lacks) for kind in (digits, letters))


def _defect(glyphs: dict[str, NDArray[np.uint8]]) -> str | None:
    """Return why a font that has the characters is not usable; None if it is."""
    thumbnails = {c: _thumbnail(g) for c, g in glyphs.items()}
    for a, b in combinations([c for c in thumbnails if c in NEVER_ALIKE], 2):
        same_size = np.allclose(glyphs[a].shape, glyphs[b].shape, rtol=0.1)
        if same_size and _difference(thumbnails[a], thumbnails[b]) <= ALIKE:
            return f"draws {a} and {b} alike"
    known = _known("".join(glyphs))
    for kind, fewest in (("digits", FEWEST_KNOWN_DIGITS), ("signs", FEWEST_KNOWN_SIGNS)):
        characters = [c for c in known if not c.isalpha() and c.isdigit() == (kind == "digits")]
        num_known = sum(
            min(known, key=lambda k: _difference(known[k], thumbnails[c])) == c for c in characters
        )
        if num_known < min(fewest, len(characters)):
            return f"draws something else than {kind}"
    return None
