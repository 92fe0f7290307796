"""The pixels that a reading rests on: maps drawn over the picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.core.reading.prediction import Character, Prediction
from exprocr.viz.canvas import drawing, page
from exprocr.viz.canvas.drawing import DARK, GRAY, Box, Color
from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.canvas.text import wrap
from exprocr.viz.saliency.maps import SaliencyMap

MAX_SCALE = 5
WIDE_PX, MAX_WIDTH_PX, HIGH_PX = 1600, 3900, 400
"""Pictures are enlarged by whole numbers, up to about `WIDE_PX` or `HIGH_PX`, and never beyond
`MAX_WIDTH_PX`."""

MIN_CONTENT_PX = 900
NAME_PX = 18
EMPTY = "0 everywhere."
LABEL_GAP_PX = 7

HEAT: tuple[Color, ...] = ((255, 255, 255), (254, 217, 118), (253, 141, 60), (214, 40, 30))
"""From nothing to the strongest: darker in gray as well, and never too dark for strokes."""

FOR: Color = (140, 20, 10)
AGAINST: Color = (0, 90, 200)
STROKE_SHADE = 0.35
"""Share of the brightness that strokes take from the color below."""

PALE_STROKE = 60
"""Gray levels by which strokes without evidence are darker than paper."""


@dataclass(frozen=True)
class _Layout:
    """Where everything is, px."""

    content: int
    width: int
    height: int
    """Of a picture."""

    zoom: float
    """Pixels of the drawing per pixel of the network's input."""

    @classmethod
    def of(cls, geometry: Geometry) -> _Layout:
        zoom: float = min(WIDE_PX // geometry.width, HIGH_PX // geometry.height, MAX_SCALE)
        zoom = min(max(zoom, 1), MAX_WIDTH_PX / geometry.width)
        width = max(1, round(zoom * geometry.width))
        height = max(1, round(zoom * geometry.height))
        return cls(max(MIN_CONTENT_PX, width), width, height, zoom)

    def box(self, top: int) -> Box:
        return page.MARGIN_PX, top, page.MARGIN_PX + self.width, top + self.height


def draw_saliency(
    image: Image.Image,
    ink: NDArray[np.uint8],
    prediction: Prediction,
    reading: str,
    maps: Sequence[SaliencyMap],
    geometry: Geometry,
    *,
    about: str,
    number: int | None = None,
) -> Image.Image:
    """Draw the picture, and below it maps over it.

    Args:
        image: The picture, of any mode.
        ink: The network's input, uint8 (H, W).
        prediction: What was read, with characters placed in ``image``.
        reading: The text, its value and confidence, on one line.
        maps: What to draw.
        geometry: Where the picture lies in the network's input.
        about: What the maps explain.
        number: The character that they explain, from 1; None is the whole reading.

    Returns:
        An RGB picture, neither side longer than 4000 px.
    """
    layout = _Layout.of(geometry)
    character = prediction.characters[number - 1] if number else None
    title = "Saliency: which pixels the reading rests on"
    if character:
        of = f"{number} of {len(prediction.characters)}"
        title = f"Saliency: which pixels character {of}, '{character.text}', rests on"
    heading = page.Heading.of(title, about, layout.content)
    room = layout.content - page.BAR_PX - 2 * page.GAP_PX
    texts = [wrap(one.about if one.limit else EMPTY, room) for one in maps]
    heads = [max(NAME_PX + 6 + page.LINE_PX * len(text), page.BAR_HEIGHT_PX) for text in texts]
    top = heading.bottom + page.READING_PX + 20
    below = sum(2 * page.GAP_PX + head + LABEL_GAP_PX + layout.height for head in heads)
    canvas = heading.new_page(top + layout.height + below)
    draw = ImageDraw.Draw(canvas)
    page.draw_reading(canvas, (page.MARGIN_PX, heading.bottom), reading, layout.content)
    page.draw_picture(canvas, image, geometry, layout.box(top))
    _mark(draw, character, image, geometry, layout.box(top))
    for one, text_lines, head in zip(maps, texts, heads, strict=True):
        top += layout.height + 2 * page.GAP_PX
        _draw_head(canvas, one, text_lines, (top, page.MARGIN_PX + layout.content))
        top += head + LABEL_GAP_PX
        box = layout.box(top)
        canvas.paste(Image.fromarray(_color(one, ink, layout)), box[:2])
        drawing.frame(draw, box)
        _mark(draw, character, image, geometry, box)
    return canvas


def _draw_head(
    canvas: Image.Image, one: SaliencyMap, lines: Sequence[str], place: tuple[int, int]
) -> None:
    """Write a map's name and how to read it, and draw its color bar; ``place`` is top and right."""
    draw = ImageDraw.Draw(canvas)
    top, right = place
    draw.text((page.MARGIN_PX, top - 3), one.name, fill=DARK, font=drawing.font(NAME_PX))
    for index, line in enumerate(lines):
        y = top + NAME_PX + 6 + page.LINE_PX * index
        draw.text((page.MARGIN_PX, y), line, fill=GRAY, font=drawing.font())
    if not one.limit:
        return
    ramp = np.linspace(-1 if one.is_signed else 0, 1, page.BAR_PX)
    if one.is_signed:
        paper = np.full((len(ramp), 3), 255.0 - PALE_STROKE)
        is_dot = np.arange(len(ramp)) // 3 % 2 == 0
        colors, ends = _signed(ramp, paper, is_dot), [-one.limit, 0.0, one.limit]
    else:
        colors, ends = _heat(ramp), [0.0, one.limit / 2, one.limit]
    values = [f"{value:+.2g}" if one.is_signed and value else f"{value:.2g}" for value in ends]
    values[-1] += f" {one.unit}" if one.unit else ""
    ticks = list(zip((0.0, 0.5, 1.0), values, strict=True))
    page.draw_color_bar(canvas, (right - page.BAR_PX, top), np.rint(colors).astype(np.uint8), ticks)


def _heat(levels: NDArray[np.floating]) -> NDArray[np.float64]:
    """Return the colors (..., 3) of levels from 0 to 1."""
    stops = np.linspace(0, 1, len(HEAT))
    channels = [np.interp(levels, stops, [c[i] for c in HEAT]) for i in range(3)]
    return np.stack(channels, axis=-1)


def _signed(
    levels: NDArray[np.floating], paper: NDArray[np.float64], is_dot: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Return the colors (..., 3) of levels from -1 to 1 over ``paper``; below 0 only in dots."""
    strength = np.where((levels >= 0) | is_dot, np.abs(levels), 0.0)[..., None]
    full = np.where((levels >= 0)[..., None], FOR, AGAINST)
    mixed: NDArray[np.float64] = paper * (1 - strength) + full * strength
    return mixed


def _color(one: SaliencyMap, ink: NDArray[np.uint8], layout: _Layout) -> NDArray[np.uint8]:
    """Return the pixels of a map over the pale picture, uint8 (height, width, 3)."""
    levels = np.nan_to_num(one.values) / (one.limit or 1.0)
    size = (layout.width, layout.height)
    # Values of single pixels stay blocks; maps that were interpolated stay smooth.
    method = Image.Resampling.BILINEAR
    if one.is_signed:
        method = Image.Resampling.BOX if layout.zoom < 1 else Image.Resampling.NEAREST
    levels = np.clip(
        np.asarray(Image.fromarray(levels.astype(np.float32)).resize(size, method)), -1, 1
    )
    strokes = np.asarray(Image.fromarray(ink).resize(size, method), dtype=np.float64)[..., None]
    strokes = strokes / 255
    if one.is_signed:
        paper = np.broadcast_to(255.0 - PALE_STROKE * strokes, (*levels.shape, 3))
        colors = _signed(levels, paper, _dots(layout))
    else:
        colors = _heat(levels) * (1 - STROKE_SHADE * strokes)
    return np.rint(colors).astype(np.uint8)


def _dots(layout: _Layout) -> NDArray[np.bool_]:
    """Return where the dots of pixels are, (height, width); small ones form a checkerboard."""
    rows, columns = np.arange(layout.height)[:, None], np.arange(layout.width)
    if layout.zoom < 3:
        return np.asarray((rows + columns) % 2 == 0)
    side = int(layout.zoom)
    inner = (np.arange(side) > 0) & (np.arange(side) < side - 1)
    return np.asarray(inner[rows % side] & inner[columns % side])


def _mark(
    draw: ImageDraw.ImageDraw,
    character: Character | None,
    image: Image.Image,
    geometry: Geometry,
    box: Box,
) -> None:
    """Draw a line around a character."""
    if character is None:
        return
    left, top, right, bottom = box
    scale = geometry.zoom(right - left, image.width)
    x0, x1 = (left + round(x * scale) for x in (character.box[0], character.box[2]))
    draw.rectangle((x0, top, min(max(x1, x0 + 2), right) - 1, bottom - 1), outline=DARK, width=2)
