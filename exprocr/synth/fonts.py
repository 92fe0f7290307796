"""Finding fonts that can draw arithmetic; exprocr ships none.

Fonts come from packages that exprocr needs (Pillow's built-in font, matplotlib's fonts), from the
system, and from the user's folders. A font is rejected if it lacks a character, draws two
characters alike, draws something else instead of digits, or draws the same as another font.
"""

from __future__ import annotations

import hashlib
import math
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from exprocr.errors import FontError

FONT_SUFFIXES = (".ttf", ".otf", ".ttc")
PROBE_SIZE_PX = 48
UNASSIGNED = "\U0010fffe"
"""A noncharacter; a font draws its mark for missing characters instead."""

ALIKE = 0.05
"""Two glyphs are alike if at most this share of their ink differs."""

FEWEST_KNOWN_DIGITS, FEWEST_KNOWN_SIGNS = 3, 1
"""A font draws arithmetic if at least this many digits and signs are most similar to the same
character of the built-in font. Symbol fonts fail; even fanciful text fonts pass."""


@dataclass(frozen=True, order=True)
class FontFile:
    """A usable font; an empty path is Pillow's built-in font."""

    family: str
    style: str
    path: str

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


def find_fonts(folders: Sequence[Path], characters: str, *, system: bool = True) -> FontReport:
    """Find the fonts that draw all ``characters`` legibly.

    Args:
        folders: The user's folders.
        characters: The characters to draw.
        system: Whether to search the folders of the system and of packages, too.

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
            glyphs = {c: _glyph(font, c) for c in characters}
            reason = _defect(font, glyphs)
        except OSError as error:
            report.rejected.append((path, f"cannot be opened: {error}"))
            continue
        digest = hashlib.blake2b(b"".join(g.tobytes() for g in glyphs.values())).digest()
        if reason is None and (twin := seen.setdefault(digest, path)) != path:
            reason = f"draws the same as {twin or 'the built-in font'}"
        if reason:
            report.rejected.append((path, reason))
            continue
        family, style = font.getname()
        report.usable.append(FontFile(family or Path(path).stem, style or "", path))
    if not report.usable:
        where = ", ".join(map(str, folders)) or "the system's folders"
        raise FontError(
            f"{where}: expected a font that draws {characters!r}, found {len(report.rejected)} "
            "fonts and none that does"
        )
    report.usable.sort()
    return report


def _draw(font: ImageFont.FreeTypeFont, character: str) -> tuple[Image.Image, tuple[int, int]]:
    _, _, right, bottom = font.getbbox(character)
    mask: Any = font.getmask(character, mode="L")
    drawn = Image.frombytes("L", mask.size, bytes(mask))
    ink = drawn.getbbox()  # the mask reaches down to the baseline
    return drawn.crop(ink) if ink else Image.new("L", (0, 0)), (math.ceil(right), math.ceil(bottom))


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


@lru_cache(maxsize=4)
def _known(characters: str) -> dict[str, NDArray[np.float32]]:
    """Return thumbnails of the built-in font."""
    font = _open("", PROBE_SIZE_PX)
    return {c: _thumbnail(_glyph(font, c)) for c in characters}


def _defect(font: ImageFont.FreeTypeFont, glyphs: dict[str, NDArray[np.uint8]]) -> str | None:
    """Return why a font is not usable; None if it is."""
    missing = _glyph(font, UNASSIGNED)
    lacking = [c for c, g in glyphs.items() if not g.any() or np.array_equal(g, missing)]
    if lacking:
        return f"lacks {''.join(lacking)}"
    thumbnails = {c: _thumbnail(g) for c, g in glyphs.items()}
    for a, b in combinations(thumbnails, 2):
        same_size = np.allclose(glyphs[a].shape, glyphs[b].shape, rtol=0.1)
        if same_size and _difference(thumbnails[a], thumbnails[b]) <= ALIKE:
            return f"draws {a} and {b} alike"
    known = _known("".join(glyphs))
    for kind, fewest in (("digits", FEWEST_KNOWN_DIGITS), ("signs", FEWEST_KNOWN_SIGNS)):
        characters = [c for c in glyphs if c.isdigit() == (kind == "digits")]
        num_known = sum(
            min(known, key=lambda k: _difference(known[k], thumbnails[c])) == c for c in characters
        )
        if num_known < min(fewest, len(characters)):
            return f"draws something else than {kind}"
    return None
