"""What every page has: margins, a heading, the picture, what was read, and color bars."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.drawing import DARK, GRAY, LIGHT, WHITE, Box
from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.canvas.text import clip, wrap

MARGIN_PX = 24
GAP_PX = 14
TITLE_PX = 24
READING_PX = 20
LINE_PX = 20
"""From a line of text to the next."""

LABEL_PX = 20
"""Room of a line of text above what it names."""

MIN_CONTENT_PX = 640
BAR_PX = 320
"""Length of a color bar, where there is room."""

BAR_HEIGHT_PX = 40
"""Height of a level color bar with its values."""

BAR_ROOM_PX = 130
"""Width that an upright color bar takes beside a plot, with its values."""

WIDENED = "Hatched: background that the picture was widened with."


@dataclass(frozen=True)
class Heading:
    """The title of a page, and an explanation of what is drawn."""

    title: str
    lines: list[str]
    """The explanation."""

    content: int
    """Width between the margins, px."""

    @classmethod
    def of(cls, title: str, explanation: str | Iterable[str], content: int) -> Heading:
        """Return a heading for a page ``content`` px wide between its margins.

        Args:
            title: The title; it is cut where it is too wide.
            explanation: Sentences, broken into lines.
            content: Width, px.
        """
        sentences = [explanation] if isinstance(explanation, str) else explanation
        return cls(title, wrap(" ".join(sentences), content), content)

    @property
    def bottom(self) -> int:
        """Where the heading ends, px from the top of the page."""
        return MARGIN_PX + TITLE_PX + 8 + LINE_PX * len(self.lines) + 10

    def new_page(self, bottom: int) -> Image.Image:
        """Return a white page with this heading, whose content ends at ``bottom`` px."""
        canvas = Image.new("RGB", (self.content + 2 * MARGIN_PX, bottom + MARGIN_PX), WHITE)
        draw = ImageDraw.Draw(canvas)
        title, font = clip(self.title, self.content, TITLE_PX)
        draw.text((MARGIN_PX, MARGIN_PX - 6), title, fill=DARK, font=font)
        for index, line in enumerate(self.lines):
            top = MARGIN_PX + TITLE_PX + 8 + LINE_PX * index
            text, font = clip(line, self.content)
            draw.text((MARGIN_PX, top), text, fill=GRAY, font=font)
        return canvas


def draw_reading(canvas: Image.Image, place: tuple[int, int], reading: str, width: int) -> None:
    """Draw what the model reads, from ``place`` (left, top) on, ``width`` px wide at most."""
    draw = ImageDraw.Draw(canvas)
    left, top = place
    draw.text((left, top + 5), "read", fill=GRAY, font=drawing.font())
    text, font = clip(reading or "nothing", width - 44, READING_PX)
    draw.text((left + 44, top), text, fill=DARK, font=font)


def draw_picture(canvas: Image.Image, image: Image.Image, geometry: Geometry, box: Box) -> None:
    """Draw a picture of any mode over the width of the network's input.

    The background that it was widened with on the right is hatched.
    """
    left, top, right, bottom = box
    draw = ImageDraw.Draw(canvas)
    width = max(1, round((right - left) * geometry.picture_width / geometry.width))
    if left + width < right:
        _hatch(draw, box)
    method = Image.Resampling.LANCZOS if width < image.width else Image.Resampling.BICUBIC
    canvas.paste(drawing.to_rgb(image).resize((width, bottom - top), method), (left, top))
    drawing.frame(draw, box)


def _hatch(draw: ImageDraw.ImageDraw, box: Box) -> None:
    """Fill a box with diagonal lines."""
    left, top, right, bottom = box
    draw.rectangle((left, top, right - 1, bottom - 1), fill=LIGHT)
    height = bottom - top
    for x in range(left - height, right, 8):
        # The line from (x, bottom) up to (x + height, top), cut at the box's sides.
        x0, x1 = max(x, left), min(x + height, right - 1)
        if x0 <= x1:
            ends = (x0, bottom - 1 - (x0 - x), x1, max(top, bottom - 1 - (x1 - x)))
            draw.line(ends, fill=(200, 200, 200))


Ticks = Sequence[tuple[float, str]]
"""Values of a color bar: where each stands, from 0 (its lowest end) to 1, and its text."""


def even_ticks(low: float, high: float, num: int) -> Ticks:
    """Return ``num`` values from ``low`` to ``high``, evenly spaced."""
    shares = [tick / (num - 1) for tick in range(num)]
    values = [low + (high - low) * share for share in shares]
    # A value that is 0 but for rounding is 0.
    values = [0.0 if abs(value) < 1e-4 * (high - low) else value for value in values]
    return [(share, f"{value:.3g}") for share, value in zip(shares, values, strict=True)]


def draw_color_bar(
    canvas: Image.Image,
    place: tuple[int, int],
    colors: NDArray[np.uint8],
    ticks: Ticks,
    *,
    name: str = "",
    upright_px: int | None = None,
) -> None:
    """Draw a bar of colors with its values.

    Args:
        canvas: What is drawn on.
        place: Left and top of the bar, px.
        colors: uint8 (N, 3), the color of the lowest value first.
        ticks: Its values.
        name: What the values are, written above the bar.
        upright_px: Height of an upright bar; None draws a level one, `BAR_PX` long.
    """
    left, top = place
    draw = ImageDraw.Draw(canvas)
    length = upright_px or BAR_PX
    ramp = colors[np.rint(np.linspace(0, len(colors) - 1, length)).astype(int)]
    pixels = ramp[None].repeat(16, axis=0) if upright_px is None else ramp[::-1, None].repeat(18, 1)
    canvas.paste(Image.fromarray(pixels), place)
    right, bottom = left + pixels.shape[1], top + pixels.shape[0]
    drawing.frame(draw, (left, top, right, bottom))
    draw.text((left, top - 8), name, fill=GRAY, font=drawing.font(), anchor="lb")
    for share, value in ticks:
        offset = share * (length - 1)
        if upright_px is None:
            x = left + round(offset)
            draw.line((x, bottom + 1, x, bottom + 4), fill=GRAY)
            spot = (x, bottom + 18)
            anchor = "ls" if share == 0 else "rs" if share == 1 else "ms"
        else:
            y = round(bottom - 1 - offset)
            draw.line((right, y, right + 4, y), fill=GRAY)
            spot, anchor = (right + 8, y), "lm"
        draw.text(spot, value, fill=DARK, font=drawing.font(), anchor=anchor)
