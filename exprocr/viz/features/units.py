"""A heat map of a layer's units over the frames, below the picture, column under column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.viz.canvas import drawing, page
from exprocr.viz.canvas.drawing import GRAY, LIGHT, Box
from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.canvas.heatmap import (
    MAX_WIDTH_PX,
    cells_of,
    draw_frame_axis,
    draw_row_axis,
    row_axis_width,
)
from exprocr.viz.features.channels import (
    FeatureStats,
    Shown,
    describe_broken,
    describe_choice,
    describe_dead,
)
from exprocr.words import quantity

MAX_HEIGHT_PX = 3200


def draw_units(
    stats: FeatureStats,
    shown: Shown,
    maps: NDArray[np.float32],
    image: Image.Image,
    reading: str,
    geometry: Geometry,
    row_labels: Sequence[str] | None,
) -> Image.Image:
    """Draw a heat map of (units, T); see `exprocr.viz.features.page.draw_grid`."""
    num_units, num_frames = len(shown.channels), maps.shape[1]
    # The picture keeps its proportions where it can; frames are 3 px wide or more.
    aspect = geometry.width / geometry.height
    width = min(max(480, round(320 * aspect)), 1160)
    width = min(max(width, 3 * num_frames), MAX_WIDTH_PX)
    picture_h = min(480, max(16, round(width / aspect)))
    height = min(num_units * min(max(3, 640 // num_units), 26), MAX_HEIGHT_PX)
    names = [row_labels[unit] if row_labels else str(unit) for unit in shown.channels]
    axis_w = row_axis_width(names)
    left = page.MARGIN_PX + axis_w
    explanation = _explain(stats, shown, geometry, (width, height))
    heading = page.Heading.of(
        f"Outputs of {stats.layer}", explanation, axis_w + width + page.BAR_ROOM_PX
    )
    picture_top = heading.bottom + page.READING_PX + 20
    picture = (left, picture_top, left + width, picture_top + picture_h)
    box = (left, picture[3] + 12, left + width, picture[3] + 12 + height)
    canvas = heading.new_page(box[3] + 2 * page.LABEL_PX)
    draw = ImageDraw.Draw(canvas)
    page.draw_reading(canvas, (left, heading.bottom), reading, width)
    page.draw_picture(canvas, image, geometry, picture)
    draw_heat(canvas, stats, shown, maps, geometry, box)
    name_all = bool(row_labels or shown.why)
    draw_row_axis(draw, names, box, "class" if row_labels else "unit", name_all=name_all)
    draw_frame_axis(draw, num_frames, geometry, box)
    if shown.has_scale:
        length = min(height, page.BAR_PX)
        page.draw_color_bar(
            canvas,
            (box[2] + 20, box[1]),
            drawing.viridis(),
            page.even_ticks(shown.low, shown.high, 5 if length >= 150 else 2),
            name="logit" if row_labels else "activation",
            upright_px=length,
        )
    return canvas


def _explain(
    stats: FeatureStats, shown: Shown, geometry: Geometry, size: tuple[int, int]
) -> Iterator[str]:
    """Yield sentences that explain a heat map of ``size`` (width, height) px."""
    num_frames = stats.shape[1]
    width, height = size
    dead = describe_dead(stats, "unit", "dashed" + " where drawn" * bool(shown.why))
    yield f"{describe_choice(stats, shown, 'unit')} over {quantity(num_frames, 'frame')}; {dead}."
    if shown.is_shared:
        yield "One color scale serves all units."
    else:
        yield "Each row is colored from its own minimum (dark) to its own maximum (light);"
        yield "colors of different rows cannot be compared."
    if height < len(shown.channels):
        yield f"There is room for {height} rows, evenly chosen."
    if width < num_frames:
        yield f"There is room for {width} frames, evenly chosen."
    yield "Frames lie under the columns of the picture that they see."
    if geometry.picture_width < geometry.width:
        yield page.WIDENED
    if note := describe_broken(stats, "unit"):
        yield note


def draw_heat(
    canvas: Image.Image,
    stats: FeatureStats,
    shown: Shown,
    maps: NDArray[np.float32],
    geometry: Geometry,
    box: Box,
) -> None:
    """Draw the values; rows of dead units are dashed lines."""
    left, top, right, _ = box
    num_units, num_frames = len(shown.channels), maps.shape[1]
    rows, columns = cells_of(box, num_units, num_frames, geometry.columns, geometry.width)
    units = np.array(shown.channels)[rows]
    values = drawing.sample_cells(maps, units, columns)
    low, high = shown.low, shown.high
    if not shown.is_shared:
        least, most = np.nan_to_num(stats.minimum), np.nan_to_num(stats.maximum)
        span = np.where(most > least, most - least, 1)
        values = ((values - least[units, None]) / span[units, None]).astype(np.float32)
        low, high = 0.0, 1.0
    pixels = drawing.colorize(values, low, high)
    dashes = np.where(np.arange(right - left) % 12 < 6, GRAY[0], LIGHT[0]).astype(np.uint8)
    for unit in set(stats.dead) & set(shown.channels):
        of_unit = np.flatnonzero(units == unit)
        pixels[of_unit] = LIGHT
        pixels[of_unit[len(of_unit) // 2 : len(of_unit) // 2 + 1]] = dashes[:, None]
    canvas.paste(Image.fromarray(pixels), (left, top))
    drawing.frame(ImageDraw.Draw(canvas), box)
