"""A line of characters before it is drawn: their inks, and the place of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache

from PIL import Image

from exprocr.synth.dice import Dice
from exprocr.synth.fonts import FontFile, Glyph
from exprocr.synth.looks import DRAWN_AS, Typesetting

MASTER_SIZES_PX = (28, 40, 56, 80, 112, 160, 240, 360, 540, 800)
"""Sizes at which text is set in type; the next larger one is scaled down."""

OPERATORS = frozenset("+-*/\N{MULTIPLICATION SIGN}÷=<>:")

CAP_HEIGHT = 0.7
"""Height of a digit, em, as most fonts have it."""


@dataclass
class Line:
    """Inks with their places, px; the origin is on the baseline."""

    inks: list[tuple[Image.Image, int, int]] = field(default_factory=list)
    """Each ink, mode L, and its left and upper end."""

    spans: list[tuple[float, float]] = field(default_factory=list)
    """Where each character begins and ends, px."""

    end: float = 0.0
    """Where the next character would begin."""

    def add(self, ink: Image.Image, left: float, top: float) -> None:
        """Put an ink on the line."""
        if ink.width and ink.height:
            self.inks.append((ink, round(left), round(top)))

    def box(self, least_top: float = 0.0) -> tuple[int, int, int, int]:
        """Return left, top, right and bottom of all inks; they reach up to ``least_top``."""
        if not self.inks:
            return 0, round(least_top), max(1, round(self.end)), 0
        return (
            min(x for _, x, _ in self.inks),
            min(round(least_top), *(y for _, _, y in self.inks)),
            max(x + ink.width for ink, x, _ in self.inks),
            max(0, *(y + ink.height for ink, _, y in self.inks)),
        )

    def draw(self, page: Image.Image, x: int, y: int) -> None:
        """Draw the inks on a page, mode L, with the line's origin at (x, y)."""
        for ink, left, top in self.inks:
            page.paste(255, (x + left, y + top), ink)


def master_size(size_px: float) -> int:
    """Return the size at which text of ``size_px`` is set, px per em."""
    return next((s for s in MASTER_SIZES_PX if s >= size_px), MASTER_SIZES_PX[-1])


@lru_cache(maxsize=4_000)
def _alphabet(font: FontFile, size_px: int) -> dict[str, Glyph | None]:
    """Return the glyphs that a font drew so far."""
    return {}


def glyphs_of(
    fonts: Sequence[FontFile], characters: Sequence[str], size_px: int
) -> list[Glyph | None]:
    """Return the glyph of each character in its font; None where the font does not have it."""
    result = []
    for font, character in zip(fonts, characters, strict=True):
        known = _alphabet(font, size_px)
        if character not in known:
            wanted = [c for f, c in zip(fonts, characters, strict=True) if f == font]
            new = dict.fromkeys(c for c in wanted if c not in known)
            known.update({**new, **font.glyphs(new, size_px)})
        result.append(known[character])
    return result


def spelled(text: str, fonts: Sequence[FontFile], size_px: int, dice: Dice) -> list[str]:
    """Return what is drawn for each character: print has several signs for some, `DRAWN_AS`."""
    drawn = {}
    for character, font in zip(text, fonts, strict=True):
        if character in DRAWN_AS and character not in drawn:
            sign = dice.pick(DRAWN_AS[character])
            has_it = None not in glyphs_of([font] * len(sign), sign, size_px)
            drawn[character] = sign if has_it else character
    return [drawn.get(c, c) for c in text]


def typeset(
    text: str,
    fonts: Sequence[FontFile],
    size_px: int,
    ranges: Typesetting,
    dice: Dice,
    without: str = "",
) -> Line:
    """Set a text in type.

    Args:
        text: The text.
        fonts: The font of each character.
        size_px: Size, px per em.
        ranges: Gaps.
        dice: Draws them.
        without: Characters whose places stay empty.
    """
    tracking = dice.between(ranges.tracking) * size_px
    is_wide = dice.happens(ranges.wide_gap_share)
    sign_gap = dice.between(ranges.wide_gap if is_wide else ranges.sign_gap) * size_px
    uneven = ranges.uneven * size_px
    line = Line()
    pen = 0.0
    signs = spelled(text, fonts, size_px, dice)
    for character, sign, font in zip(text, signs, fonts, strict=True):
        around = sign_gap if character in OPERATORS else 0.0
        pen += around
        start = pen
        for glyph in glyphs_of([font] * len(sign), sign, size_px):
            assert glyph is not None, (font, sign)
            if character not in without:
                line.add(glyph.ink, pen + glyph.left, glyph.top)
            pen += glyph.advance
        line.spans.append((start, pen))
        pen += around + tracking + dice.around(uneven)
    line.end = pen - tracking
    return line
