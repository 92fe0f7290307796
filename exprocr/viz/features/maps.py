"""A grid of feature maps: one tile per channel, below the picture and what is read in it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.viz.canvas import drawing, page
from exprocr.viz.canvas.drawing import DARK, GRAY, Box
from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.features.channels import (
    FeatureStats,
    Shown,
    describe_broken,
    describe_choice,
    describe_dead,
)

PICTURE_HEIGHT_PX = 150
LEAST_PICTURE_PX = 60
"""Pictures are not side by side if they were lower than this."""

MAX_HEAD_PX = 600
"""What is above the tiles is not higher than this."""

WIDEST_PX = drawing.MAX_SIDE_PX - 2 * page.MARGIN_PX
HIGHEST_PX = WIDEST_PX - MAX_HEAD_PX
PAGES_PX = ((1500, 770), (1700, 1870), (1700, HIGHEST_PX), (2600, 1870), (WIDEST_PX, HIGHEST_PX))
"""Room for all tiles, from a screen's to as much as a picture may have."""

MAX_ASPECT = 30.0
"""Wider pictures get higher tiles than their own proportions, so that rows can be told apart."""


@dataclass(frozen=True)
class Layout:
    """Where the tiles are, and which cells they show."""

    tile: tuple[int, int]
    """Width and height of a tile, px."""

    num_columns: int
    """Tiles in a row."""

    content: int
    """Width between the margins, px."""

    rows: NDArray[np.intp]
    """The row of cells that each row of pixels shows, -1 for none."""

    columns: NDArray[np.intp]
    """The column of cells that each column of pixels shows, -1 for none."""

    def box(self, index: int, top: int) -> Box:
        """Return where a tile is, its label above it, if the first label is at ``top``."""
        row, column = divmod(index, self.num_columns)
        width, height = self.tile
        left = page.MARGIN_PX + column * (width + page.GAP_PX)
        y = top + row * (height + page.LABEL_PX + page.GAP_PX) + page.LABEL_PX
        return (left, y, left + width, y + height)


def lay_out(num: int, shape: tuple[int, ...], geometry: Geometry) -> Layout:
    """Arrange the tiles of ``num`` maps of ``shape`` (C, H', W')."""
    aspect = min(geometry.width / geometry.height, MAX_ASPECT)
    # Where tiles have a pixel for each cell, none is skipped.
    cells_px = max(
        geometry.width / geometry.columns.step, geometry.height / geometry.rows.step * aspect
    )
    num_columns, tile_w, tile_h = fit_tiles(num, aspect, cells_px)
    return Layout(
        (tile_w, tile_h),
        num_columns,
        max(page.MIN_CONTENT_PX, num_columns * (tile_w + page.GAP_PX) - page.GAP_PX),
        drawing.nearest_cells(tile_h, geometry.height, geometry.rows, shape[1]),
        drawing.nearest_cells(tile_w, geometry.width, geometry.columns, shape[2]),
    )


def fit_tiles(num: int, aspect: float, cells_px: float) -> tuple[int, int, int]:
    """Make tiles as large as they fit on the first of `PAGES_PX` where they are large enough.

    That is 120 px wide, 16 px high, and ``cells_px`` wide.

    Args:
        num: Number of tiles.
        aspect: Width by height of a tile.
        cells_px: Width at which tiles show all their cells, px.

    Returns:
        Number of columns, width and height of a tile, px.
    """
    best = (1, 1, 1)
    down = page.LABEL_PX + page.GAP_PX  # between tiles
    for page_width, page_height in PAGES_PX:
        widest = 0.0
        for num_columns in range(1, num + 1):
            num_rows = -(-num // num_columns)
            height = (page_height + down) // num_rows - down
            width = min((page_width + page.GAP_PX) // num_columns - page.GAP_PX, height * aspect)
            if width > widest:
                widest = width
                best = (num_columns, int(width), max(1, round(int(width) / aspect)))
        if widest >= max(120, 16 * aspect, cells_px):
            break
    return best


def draw_maps(
    stats: FeatureStats,
    shown: Shown,
    maps: NDArray[np.float32],
    image: Image.Image,
    reading: str,
    geometry: Geometry,
    ink: NDArray[np.uint8] | None,
) -> Image.Image:
    """Draw a grid of feature maps; see `exprocr.viz.features.page.draw_grid`."""
    num = len(shown.channels)
    layout = lay_out(num, maps.shape, geometry)
    explanation = _explain(stats, shown, layout, geometry)
    heading = page.Heading.of(f"Feature maps of {stats.layer}", explanation, layout.content)
    boxes = picture_boxes(geometry, layout.content, 1 if ink is None else 2, heading.bottom)
    reading_top = boxes[-1][3] + 8
    bar_top = reading_top + page.READING_PX + 26 + page.LABEL_PX
    top = bar_top + page.BAR_HEIGHT_PX + page.GAP_PX if shown.has_scale else bar_top - page.LABEL_PX
    canvas = heading.new_page(layout.box(num - 1, top)[3])
    draw = ImageDraw.Draw(canvas)
    for (left, upper, _, _), name in zip(boxes, ("picture", "network's input"), strict=False):
        draw.text((left, upper - page.LABEL_PX), name, fill=GRAY, font=drawing.font())
    page.draw_picture(canvas, image, geometry, boxes[0])
    if ink is not None:
        left, upper, right, lower = boxes[1]
        picture = Image.fromarray(255 - ink).convert("RGB")
        picture = picture.resize((right - left, lower - upper), Image.Resampling.BILINEAR)
        canvas.paste(picture, (left, upper))
        drawing.frame(draw, boxes[1])
    page.draw_reading(canvas, (page.MARGIN_PX, reading_top), reading, layout.content)
    if shown.has_scale:
        ticks = page.even_ticks(shown.low, shown.high, 5)
        name = "activation, all maps"
        page.draw_color_bar(canvas, (page.MARGIN_PX, bar_top), drawing.viridis(), ticks, name=name)
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
    """Yield sentences that explain a grid of maps."""
    num_rows, num_columns = stats.shape[1:]
    dead = describe_dead(stats, "channel", "crossed out" + " where drawn" * bool(shown.why))
    yield f"{describe_choice(stats, shown, 'channel')} of {num_rows} x {num_columns} cells"
    yield f"(rows x columns); {dead}."
    if shown.is_shared:
        yield "One color scale serves all maps; the range of each is given above it."
    else:
        yield "Each map is colored from its own minimum (dark) to its own maximum (light), given"
        yield "above it."
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
        yield page.WIDENED
    if note := describe_broken(stats, "channel"):
        yield note


def picture_boxes(geometry: Geometry, content: int, num: int, top: int) -> list[Box]:
    """Place ``num`` pictures in ``content`` px: side by side, or below each other if very wide.

    Their names go above them; the first name is at ``top`` px.
    """
    aspect = geometry.width / geometry.height

    def size(room: int) -> tuple[int, int]:
        width = min(room, round(PICTURE_HEIGHT_PX * aspect))
        return max(1, width), min(PICTURE_HEIGHT_PX, max(8, round(width / aspect)))

    across, down = 2 * page.GAP_PX, page.LABEL_PX + page.GAP_PX
    width, height = size((content - (num - 1) * across) // num)
    is_beside = height >= LEAST_PICTURE_PX
    if not is_beside:
        width, height = size(content)
    boxes = []
    for number in range(num):
        left = page.MARGIN_PX + number * (width + across) * is_beside
        upper = top + page.LABEL_PX + number * (height + down) * (not is_beside)
        boxes.append((left, upper, left + width, upper + height))
    return boxes


def draw_tile(
    canvas: Image.Image,
    number: str,
    limits: tuple[float, float],
    pixels: NDArray[np.uint8] | None,
    box: Box,
) -> None:
    """Draw one map, crossed out where ``pixels`` are None; above it its number and its range."""
    draw = ImageDraw.Draw(canvas)
    top = box[1] - page.LABEL_PX + 1
    number_w = drawing.font().getlength(number)
    if number_w <= box[2] - box[0] + page.GAP_PX - 4:
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
        draw.text((box[2] - length, top), note, fill=color, font=drawing.font())
