"""Texts on pictures: any characters, cut or broken into lines, and two compared."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

from exprocr.core.evaluation.metrics import align
from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.drawing import DARK, GRAY, TEXT_PX, WHITE

Font = ImageFont.FreeTypeFont | ImageFont.ImageFont
Pairs = Sequence[tuple[str, str]]
"""Two aligned texts, character by character; empty where one has no counterpart."""

NOTHING = "(nothing)"
"""Written for an empty text."""

DOTS = "..."
SPELLING_PX = 18
NUM_BEFORE = 3
"""Characters shown before the first difference, where a text has to be cut."""

_NO_CHARACTER = "\U0010fffe"


@lru_cache
def _wide_font(size_px: int) -> ImageFont.FreeTypeFont:
    """Return matplotlib's font, which has many more characters than Pillow's."""
    path = Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf"
    return ImageFont.truetype(path, size_px, layout_engine=ImageFont.Layout.BASIC)


@lru_cache(maxsize=10_000)
def _draws(size_px: int, character: str, *, wide: bool) -> bool:
    """Return whether a font has a character."""
    font = _wide_font(size_px) if wide else drawing.font(size_px)
    masks = [font.getmask(one, mode="L") for one in (character, _NO_CHARACTER)]
    return masks[0].size != masks[1].size or bytes(masks[0]) != bytes(masks[1])


def typeset(text: str, size_px: int = TEXT_PX) -> tuple[str, Font]:
    """Return what to write for a text on one line, and the font that has its characters.

    A single character that no font has becomes its number (``U+4E2D``), others a question mark.
    """
    text = "".join(c if c.isprintable() else "?" for c in text)
    if all(_draws(size_px, c, wide=False) for c in text):
        return text, drawing.font(size_px)
    if len(text) == 1 and not _draws(size_px, text, wide=True):
        return f"U+{ord(text):04X}", drawing.font(size_px)
    shown = "".join(c if _draws(size_px, c, wide=True) else "?" for c in text)
    return shown, _wide_font(size_px)


def clip(text: str, width: int, size_px: int = TEXT_PX) -> tuple[str, Font]:
    """`typeset`, cut with dots where the text is wider than ``width`` px."""
    text, font = typeset(text[:2000], size_px)
    if font.getlength(text) <= width:
        return text, font
    low, high = 0, len(text)
    while low < high - 1:  # the longest that fits
        middle = (low + high) // 2
        if font.getlength(text[:middle] + DOTS) <= width:
            low = middle
        else:
            high = middle
    return text[:low] + DOTS, font


def wrap(text: str, width: int) -> list[str]:
    """Break a text at spaces into lines at most ``width`` px wide; cut words that are wider."""
    return [clip(line, width)[0] for line in break_lines(text, width, drawing.font().getlength)]


def break_lines(text: str, width: float, length_of: Callable[[str], float]) -> list[str]:
    """Break a text at spaces into lines at most ``width`` long; words are kept whole."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and length_of(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines


def pairs_of(one: str, other: str) -> list[tuple[str, str]]:
    """Return two texts below each other with the fewest differences.

    Texts of thousands of characters are cut; no picture has room for them.
    """
    return align(one[:1000], other[:1000])


def draw_side(
    canvas: Image.Image,
    place: tuple[int, int],
    pairs: Pairs,
    side: int,
    width: int,
    size_px: int = SPELLING_PX,
) -> None:
    """Draw one of two aligned texts, each character in a cell as wide as its counterpart's.

    A character that differs is white on dark; where one is missing, the cell is empty and framed.

    Args:
        canvas: What to draw on.
        place: Left and top, px.
        pairs: Both texts.
        side: 0 or 1, the text to draw.
        width: Room, px; cells without room become dots, the same in both texts.
        size_px: Size of the characters.
    """
    draw = ImageDraw.Draw(canvas)
    left, top = place
    bottom = top + size_px + 4
    if not any(pair[side] for pair in pairs):
        middle = (top + bottom) // 2
        draw.text((left, middle), NOTHING, fill=GRAY, font=drawing.font(), anchor="lm")
        return
    start, stop = window(pairs, width, size_px)
    x = left
    if start:
        draw.text((x, bottom - 5), DOTS, fill=DARK, font=drawing.font(size_px), anchor="ls")
        x += _dots_width(size_px)
    for pair in pairs[start:stop]:
        cell_w = _pair_width(pair, size_px)
        differs = pair[0] != pair[1]
        if differs:
            box = (x, top, x + cell_w - 2, bottom - 1)
            draw.rectangle(box, fill=DARK if pair[side] else WHITE, outline=DARK)
        if pair[side]:
            text, font = typeset(pair[side], size_px)
            color = WHITE if differs else DARK
            # On one line, whatever the character: a minus is not a hyphen at the top.
            draw.text((x + cell_w / 2, bottom - 5), text, fill=color, font=font, anchor="ms")
        x += cell_w
    if stop < len(pairs):
        draw.text((x, bottom - 5), DOTS, fill=DARK, font=drawing.font(size_px), anchor="ls")


def window(pairs: Pairs, width: int, size_px: int = SPELLING_PX) -> tuple[int, int]:
    """Return the range of cells to draw: all, or as many as fit, with the first difference."""
    widths = [_pair_width(pair, size_px) for pair in pairs]
    if sum(widths) <= width:
        return 0, len(pairs)
    differs = next((i for i, (one, other) in enumerate(pairs) if one != other), 0)
    stop = _fitting(widths, 0, width - _dots_width(size_px))
    if differs < stop:
        return 0, stop
    start = max(differs - NUM_BEFORE, 1)
    return start, _fitting(widths, start, width - 2 * _dots_width(size_px))


def _fitting(widths: Sequence[int], start: int, width: int) -> int:
    """Return the end of the range of cells from ``start`` on that fits."""
    stop = start
    while stop < len(widths) and widths[stop] <= width:
        width -= widths[stop]
        stop += 1
    return stop


def _dots_width(size_px: int) -> int:
    return math.ceil(drawing.font(size_px).getlength(DOTS))


def _pair_width(pair: tuple[str, str], size_px: int) -> int:
    return max(cell_width(character, size_px) for character in pair)


def side_width(pairs: Pairs, size_px: int = SPELLING_PX) -> int:
    """Return the width that `draw_side` takes where it has room, px."""
    if not any(one or other for one, other in pairs):
        return math.ceil(drawing.font().getlength(NOTHING))
    return sum(_pair_width(pair, size_px) for pair in pairs)


def cell_width(character: str, size_px: int) -> int:
    """Return the width of a character's cell, px."""
    text, font = typeset(character, size_px)
    return max(round(size_px * 0.75), math.ceil(font.getlength(text)) + 3)
