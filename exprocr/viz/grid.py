"""A grid of feature maps: one tile a channel, below the picture and what is read in it."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.viz import drawing
from exprocr.viz.drawing import DARK, GREY, TEXT_PX, Box
from exprocr.viz.features import FeatureStats
from exprocr.viz.geometry import Geometry

MARGIN_PX = 24
GAP_PX = 14
LABEL_PX = 20
TITLE_PX = 24
READING_PX = 20
LINE_PX = 20
PICTURE_HEIGHT_PX = 150
MIN_CONTENT_PX = 640
MAX_ASPECT = 30.0
"""Wider pictures get higher tiles than their own proportions, so that rows can be told apart."""


def plural(number: int, noun: str) -> str:
    """Return ``1 channel``, ``2 channels``."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def describe_dead(stats: FeatureStats, noun: str, mark: str) -> str:
    """Say how many channels are dead, which where they are few, and how they are marked."""
    dead = stats.dead
    if not dead:
        return "none dead"
    which = f": {', '.join(map(str, dead))}" if len(dead) <= 8 else ""
    return f"{plural(len(dead), noun)} dead{which} (constant in this picture; {mark})"


def draw_title(draw: ImageDraw.ImageDraw, title: str, lines: list[str]) -> int:
    """Draw the title and the lines below it; return where they end, px from the top."""
    draw.text((MARGIN_PX, MARGIN_PX - 6), title, fill=DARK, font=drawing.font(TITLE_PX))
    top = MARGIN_PX + TITLE_PX + 8
    for line in lines:
        draw.text((MARGIN_PX, top), line, fill=GREY, font=drawing.font())
        top += LINE_PX
    return top + 10


def title_height(lines: list[str]) -> int:
    """Return where `draw_title` ends, px from the top."""
    return MARGIN_PX + TITLE_PX + 8 + LINE_PX * len(lines) + 10


def draw_picture(canvas: Image.Image, image: Image.Image, geometry: Geometry, box: Box) -> None:
    """Draw the picture over the input's whole width; what was added on the right is hatched."""
    left, top, right, bottom = box
    draw = ImageDraw.Draw(canvas)
    width = max(1, round((right - left) * geometry.picture_width / geometry.width))
    if left + width < right:
        drawing.hatch(draw, box)
    method = Image.Resampling.LANCZOS if width < image.width else Image.Resampling.BICUBIC
    canvas.paste(drawing.to_rgb(image).resize((width, bottom - top), method), (left, top))
    drawing.frame(draw, box)


def draw_maps(
    stats: FeatureStats,
    maps: NDArray[np.float32],
    image: Image.Image,
    reading: str,
    geometry: Geometry,
    ink: NDArray[np.uint8] | None,
) -> Image.Image:
    """Draw a grid of feature maps; see `exprocr.viz.features.draw_grid`."""
    aspect = min(geometry.width / geometry.height, MAX_ASPECT)
    head = 330  # an upper bound of what is above the tiles
    widest, highest = (drawing.MAX_SIDE_PX - 2 * MARGIN_PX,) * 2
    pages = ((1500, 1100 - head), (1700, 2200), (1700, highest - head), (widest, highest - head))
    num_columns, tile_w, tile_h = drawing.tile_layout(
        len(maps), aspect, (GAP_PX, LABEL_PX + GAP_PX), pages
    )
    num_rows = -(-len(maps) // num_columns)
    content = max(MIN_CONTENT_PX, num_columns * (tile_w + GAP_PX) - GAP_PX)
    rows = drawing.nearest_cells(tile_h, geometry.height, geometry.rows, maps.shape[1])
    columns = drawing.nearest_cells(tile_w, geometry.width, geometry.columns, maps.shape[2])
    margin = " Grey margin: no cell is centred there." if min(*rows, *columns) < 0 else ""
    lines = drawing.wrap_text(
        f"{plural(stats.num_channels, 'channel')} of {stats.shape[1]} x {stats.shape[2]} cells "
        f"(rows x columns); {describe_dead(stats, 'channel', 'crossed out')}. Each map from its "
        f"own minimum (dark) to its own maximum (light), given above it.{margin}",
        content,
    )
    picture_h = picture_size(geometry, content, 1 if ink is None else 2)[1]
    top = title_height(lines) + LABEL_PX + picture_h + READING_PX + 34
    height = top + num_rows * (tile_h + LABEL_PX + GAP_PX) - GAP_PX + MARGIN_PX
    canvas = Image.new("RGB", (content + 2 * MARGIN_PX, height), drawing.WHITE)
    draw = ImageDraw.Draw(canvas)
    draw_title(draw, f"Feature maps of {stats.layer}", lines)
    draw_head(canvas, title_height(lines), content, image, reading, geometry, ink)
    for channel, values in enumerate(maps):
        left = MARGIN_PX + channel % num_columns * (tile_w + GAP_PX)
        y = top + channel // num_columns * (tile_h + LABEL_PX + GAP_PX) + LABEL_PX
        box = (left, y, left + tile_w, y + tile_h)
        draw_tile(canvas, stats, channel, drawing.sample_cells(values, rows, columns), box)
    # Thousands of channels: smaller than can be read without enlarging, but all there.
    canvas.thumbnail((drawing.MAX_SIDE_PX, drawing.MAX_SIDE_PX))
    return canvas


def picture_size(geometry: Geometry, content: int, num: int) -> tuple[int, int]:
    """Return the size, px, of ``num`` pictures side by side in ``content`` px."""
    aspect = geometry.width / geometry.height
    width = min((content - (num - 1) * 2 * GAP_PX) // num, round(PICTURE_HEIGHT_PX * aspect))
    return max(1, width), min(PICTURE_HEIGHT_PX, max(8, round(width / aspect)))


def draw_head(
    canvas: Image.Image,
    top: int,
    content: int,
    image: Image.Image,
    reading: str,
    geometry: Geometry,
    ink: NDArray[np.uint8] | None,
) -> None:
    """Draw the picture, the network's input beside it, and what is read below them."""
    draw = ImageDraw.Draw(canvas)
    width, height = picture_size(geometry, content, 1 if ink is None else 2)
    left, y = MARGIN_PX, top + LABEL_PX
    draw.text((left, top), "picture", fill=GREY, font=drawing.font())
    draw_picture(canvas, image, geometry, (left, y, left + width, y + height))
    if ink is not None:
        left += width + 2 * GAP_PX
        draw.text((left, top), "network's input", fill=GREY, font=drawing.font())
        picture = Image.fromarray(255 - ink).convert("RGB")
        canvas.paste(picture.resize((width, height), Image.Resampling.BILINEAR), (left, y))
        drawing.frame(draw, (left, y, left + width, y + height))
    draw_reading(draw, (MARGIN_PX, y + height + 8), reading, content)


def draw_reading(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], reading: str, width: int
) -> None:
    """Draw what the model reads, from ``place`` (left, top) on."""
    left, top = place
    draw.text((left, top + 5), "read", fill=GREY, font=drawing.font())
    text = drawing.clip_text(reading or "nothing", width - 44, READING_PX)
    draw.text((left + 44, top), text, fill=DARK, font=drawing.font(READING_PX))


def draw_tile(
    canvas: Image.Image,
    stats: FeatureStats,
    channel: int,
    values: NDArray[np.float32],
    box: Box,
) -> None:
    """Draw one map and its label: number, and range or ``dead``."""
    draw = ImageDraw.Draw(canvas)
    low, high = float(stats.minimum[channel]), float(stats.maximum[channel])
    label = (box[0], box[1] - LABEL_PX + 1)
    number = str(channel)
    draw.text(label, number, fill=DARK, font=drawing.font())
    if channel in stats.dead:
        drawing.cross_out(draw, box)
        note, colour = "dead", DARK
    else:
        canvas.paste(Image.fromarray(drawing.colourise(values, low, high)), box[:2])
        note, colour = f"{low:.3g} to {high:.3g}", GREY
    drawing.frame(draw, box)
    room = box[2] - box[0] - drawing.font().getlength(number) - 8
    length = drawing.font().getlength(note)
    if length <= room:
        draw.text((box[2] - length, label[1]), note, fill=colour, font=drawing.font(TEXT_PX))
