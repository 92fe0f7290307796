"""A grid of feature maps: one tile a channel, below the picture and what is read in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.drawing import DARK, GRAY, TEXT_PX, Box
from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.canvas.text import clip
from exprocr.viz.features.channels import FeatureStats, Shown
from exprocr.words import quantity

MARGIN_PX = 24
GAP_PX = 14
LABEL_PX = 20
TITLE_PX = 24
READING_PX = 20
LINE_PX = 20
PICTURE_HEIGHT_PX = 150
LEAST_PICTURE_PX = 60
"""Pictures are not side by side if they were lower than this."""

MIN_CONTENT_PX = 640
MAX_HEAD_PX = 600
"""What is above the tiles is not higher than this."""

WIDENED = "Hatched: background that the picture was widened with."
MAX_ASPECT = 30.0
"""Wider pictures get higher tiles than their own proportions, so that rows can be told apart."""


def describe_dead(stats: FeatureStats, noun: str, mark: str) -> str:
    """Say how many channels are dead, which where they are few, and how they are marked."""
    dead = stats.dead
    if not dead:
        return "none dead"
    which = f": {', '.join(map(str, dead))}" if len(dead) <= 8 else ""
    return f"{quantity(len(dead), noun)} dead{which} (constant in this picture; {mark})"


def describe_choice(stats: FeatureStats, shown: Shown, noun: str) -> str:
    """Say how many channels are drawn: ``16 channels``, ``3 of 16 channels, as asked for,``."""
    if not shown.why:
        return quantity(stats.num_channels, noun)
    return f"{len(shown.channels)} of {quantity(stats.num_channels, noun)}, {shown.why},"


def describe_broken(stats: FeatureStats, noun: str) -> str:
    """Say how many channels hold values that are no numbers; empty if none does."""
    number = int((stats.finite < 1).sum())
    if not number:
        return ""
    holds = "holds" if number == 1 else "hold"
    return f"{quantity(number, noun)} {holds} NaN or infinity, drawn light gray."


def draw_title(draw: ImageDraw.ImageDraw, title: str, lines: list[str]) -> int:
    """Draw the title and the lines below it; return where they end, px from the top."""
    draw.text((MARGIN_PX, MARGIN_PX - 6), title, fill=DARK, font=drawing.font(TITLE_PX))
    top = MARGIN_PX + TITLE_PX + 8
    for line in lines:
        draw.text((MARGIN_PX, top), line, fill=GRAY, font=drawing.font())
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


@dataclass(frozen=True)
class Layout:
    """Where the tiles are, and which cells they show."""

    tile: tuple[int, int]
    """Width and height of a tile, px."""

    num_columns: int
    """Tiles in a row."""

    content: int
    """Width of all there is, px."""

    rows: NDArray[np.intp]
    """The cells' row that each row of pixels shows, -1 for none."""

    columns: NDArray[np.intp]
    """The same of columns."""

    def box(self, index: int, top: int) -> Box:
        """Return where a tile is, its label above it, if the first label is at ``top``."""
        row, column = divmod(index, self.num_columns)
        width, height = self.tile
        left = MARGIN_PX + column * (width + GAP_PX)
        y = top + row * (height + LABEL_PX + GAP_PX) + LABEL_PX
        return (left, y, left + width, y + height)


def lay_out(num: int, shape: tuple[int, ...], geometry: Geometry) -> Layout:
    """Arrange the tiles of ``num`` maps of ``shape`` (C, H', W')."""
    aspect = min(geometry.width / geometry.height, MAX_ASPECT)
    widest, highest = (drawing.MAX_SIDE_PX - 2 * MARGIN_PX,) * 2
    highest -= MAX_HEAD_PX
    pages = ((1500, 770), (1700, 1870), (1700, highest), (2600, 1870), (widest, highest))
    # Where tiles have a pixel for each cell, none is skipped.
    cells_px = max(
        geometry.width / geometry.columns.step, geometry.height / geometry.rows.step * aspect
    )
    num_columns, tile_w, tile_h = drawing.tile_layout(
        num, aspect, (GAP_PX, LABEL_PX + GAP_PX), pages, cells_px
    )
    return Layout(
        (tile_w, tile_h),
        num_columns,
        max(MIN_CONTENT_PX, num_columns * (tile_w + GAP_PX) - GAP_PX),
        drawing.nearest_cells(tile_h, geometry.height, geometry.rows, shape[1]),
        drawing.nearest_cells(tile_w, geometry.width, geometry.columns, shape[2]),
    )


def draw_maps(
    stats: FeatureStats,
    shown: Shown,
    maps: NDArray[np.float32],
    image: Image.Image,
    reading: str,
    geometry: Geometry,
    ink: NDArray[np.uint8] | None,
) -> Image.Image:
    """Draw a grid of feature maps; see `exprocr.viz.features.features.draw_grid`."""
    num = len(shown.channels)
    layout = lay_out(num, maps.shape, geometry)
    lines = drawing.wrap_text(" ".join(_explain(stats, shown, layout, geometry)), layout.content)
    head = place_head(geometry, layout.content, 1 if ink is None else 2)
    reading_top = title_height(lines) + head.height + 8
    scale_top = reading_top + READING_PX + 26
    top = scale_top + shown.has_scale * (LABEL_PX + drawing.SCALE_HEIGHT_PX + GAP_PX)
    height = layout.box(num - 1, top)[3] + MARGIN_PX
    canvas = Image.new("RGB", (layout.content + 2 * MARGIN_PX, height), drawing.WHITE)
    draw = ImageDraw.Draw(canvas)
    draw_title(draw, f"Feature maps of {stats.layer}", lines)
    draw_head(canvas, title_height(lines), head, image, geometry, ink)
    draw_reading(draw, (MARGIN_PX, reading_top), reading, layout.content)
    if shown.has_scale:
        draw.text((MARGIN_PX, scale_top), "activation, all maps", fill=GRAY, font=drawing.font())
        values = drawing.scale_values(shown.low, shown.high, 5)
        drawing.draw_scale(canvas, (MARGIN_PX, scale_top + LABEL_PX), drawing.viridis(), values)
    dead = set(stats.dead)
    for index, channel in enumerate(shown.channels):
        values_shown = drawing.sample_cells(maps[channel], layout.rows, layout.columns)
        own = float(stats.minimum[channel]), float(stats.maximum[channel])
        limits = (shown.low, shown.high) if shown.is_shared else own
        pixels = None if channel in dead else drawing.colorize(values_shown, *limits)
        draw_tile(canvas, str(channel), own, pixels, layout.box(index, top))
    return canvas


def _explain(
    stats: FeatureStats, shown: Shown, layout: Layout, geometry: Geometry
) -> Iterator[str]:
    """Yield what is to be known about a grid of maps, by sentences."""
    num_rows, num_columns = stats.shape[1:]
    dead = describe_dead(stats, "channel", "crossed out" + " where drawn" * bool(shown.why))
    yield f"{describe_choice(stats, shown, 'channel')} of {num_rows} x {num_columns} cells"
    yield f"(rows x columns); {dead}."
    if shown.is_shared:
        yield "One color scale serves all maps; the range of each is given above it."
    else:
        yield "Each map from its own minimum (dark) to its own maximum (light), given above it."
    cells = geometry.width / geometry.columns.step, geometry.height / geometry.rows.step
    if layout.tile[0] < cells[0] or layout.tile[1] < cells[1]:
        seen = [len(set(lines.tolist()) - {-1}) for lines in (layout.rows, layout.columns)]
        yield f"There is room for {seen[0]} rows and {seen[1]} columns of the cells;"
        yield "fewer channels are drawn larger."
    if geometry.width / geometry.height > MAX_ASPECT:
        yield "Maps are drawn higher than in proportion, so that rows can be told apart."
    if min(*layout.rows, *layout.columns) < 0:
        yield "Gray margin: no cell is centered there."
    if geometry.picture_width < geometry.width:
        yield WIDENED
    if note := describe_broken(stats, "channel"):
        yield note


@dataclass(frozen=True)
class Head:
    """Where the pictures above the tiles are: side by side, or below each other if very wide."""

    size: tuple[int, int]
    """Width and height of a picture, px."""

    places: tuple[tuple[int, int], ...]
    """Left and top of each one's label, px from those of the first."""

    @property
    def height(self) -> int:
        """Height of all with their labels, px."""
        return self.places[-1][1] + LABEL_PX + self.size[1]


def place_head(geometry: Geometry, content: int, num: int) -> Head:
    """Place ``num`` pictures in ``content`` px."""
    aspect = geometry.width / geometry.height

    def size(room: int) -> tuple[int, int]:
        width = min(room, round(PICTURE_HEIGHT_PX * aspect))
        return max(1, width), min(PICTURE_HEIGHT_PX, max(8, round(width / aspect)))

    beside = size((content - (num - 1) * 2 * GAP_PX) // num)
    if beside[1] >= LEAST_PICTURE_PX:
        return Head(beside, tuple((i * (beside[0] + 2 * GAP_PX), 0) for i in range(num)))
    full = size(content)
    return Head(full, tuple((0, i * (full[1] + LABEL_PX + GAP_PX)) for i in range(num)))


def draw_head(
    canvas: Image.Image,
    top: int,
    head: Head,
    image: Image.Image,
    geometry: Geometry,
    ink: NDArray[np.uint8] | None,
) -> None:
    """Draw the picture, and the network's input."""
    draw = ImageDraw.Draw(canvas)
    boxes = []
    for (x, y), name in zip(head.places, ("picture", "network's input"), strict=False):
        left, label_top = MARGIN_PX + x, top + y
        draw.text((left, label_top), name, fill=GRAY, font=drawing.font())
        upper = label_top + LABEL_PX
        boxes.append((left, upper, left + head.size[0], upper + head.size[1]))
    draw_picture(canvas, image, geometry, boxes[0])
    if ink is not None:
        picture = Image.fromarray(255 - ink).convert("RGB")
        canvas.paste(picture.resize(head.size, Image.Resampling.BILINEAR), boxes[1][:2])
        drawing.frame(draw, boxes[1])


def draw_reading(
    draw: ImageDraw.ImageDraw, place: tuple[int, int], reading: str, width: int
) -> None:
    """Draw what the model reads, from ``place`` (left, top) on."""
    left, top = place
    draw.text((left, top + 5), "read", fill=GRAY, font=drawing.font())
    text, font = clip(reading or "nothing", width - 44, READING_PX)
    draw.text((left + 44, top), text, fill=DARK, font=font)


def draw_tile(
    canvas: Image.Image,
    number: str,
    limits: tuple[float, float],
    pixels: NDArray[np.uint8] | None,
    box: Box,
) -> None:
    """Draw one map, crossed out where ``pixels`` are None, and its label: number, and range."""
    draw = ImageDraw.Draw(canvas)
    top = box[1] - LABEL_PX + 1
    number_w = drawing.font().getlength(number)
    if number_w <= box[2] - box[0] + GAP_PX - 4:
        draw.text((box[0], top), number, fill=DARK, font=drawing.font())
    if pixels is None:
        drawing.cross_out(draw, box)
        note, color = "dead", DARK
    else:
        canvas.paste(Image.fromarray(pixels), box[:2])
        note, color = f"{limits[0]:.3g} to {limits[1]:.3g}", GRAY
    drawing.frame(draw, box)
    length = drawing.font().getlength(note)
    if number_w + 8 + length <= box[2] - box[0]:
        draw.text((box[2] - length, top), note, fill=color, font=drawing.font(TEXT_PX))
