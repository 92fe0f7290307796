"""A heat map of a layer's units over the frames, below the picture, column under column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.drawing import DARK, GRAY, LIGHT, TEXT_PX, Box
from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.canvas.text import typeset
from exprocr.viz.features.channels import FeatureStats, Shown
from exprocr.viz.features.grid import (
    LABEL_PX,
    MARGIN_PX,
    READING_PX,
    WIDENED,
    describe_broken,
    describe_choice,
    describe_dead,
    draw_picture,
    draw_reading,
    draw_title,
    title_height,
)
from exprocr.words import quantity

MAX_PLOT_WIDTH_PX = 3600
MAX_PLOT_HEIGHT_PX = 3200
BAR_PX = 130
"""Room of the color bar and its figures."""


def draw_units(
    stats: FeatureStats,
    shown: Shown,
    maps: NDArray[np.float32],
    image: Image.Image,
    reading: str,
    geometry: Geometry,
    row_labels: Sequence[str] | None,
) -> Image.Image:
    """Draw a heat map of (units, T); see `exprocr.viz.features.features.draw_grid`."""
    num_units, num_frames = len(shown.channels), maps.shape[1]
    # The picture keeps its proportions where it can; frames are 3 px wide or more.
    aspect = geometry.width / geometry.height
    width = min(max(480, round(320 * aspect)), 1160)
    width = min(max(width, 3 * num_frames), MAX_PLOT_WIDTH_PX)
    picture_h = min(480, max(16, round(width / aspect)))
    height = min(num_units * min(max(3, 640 // num_units), 26), MAX_PLOT_HEIGHT_PX)
    names = [row_labels[unit] if row_labels else str(unit) for unit in shown.channels]
    typed = (typeset(name) for name in names)
    axis_w = round(max(font.getlength(text) for text, font in typed)) + 30
    left = MARGIN_PX + axis_w
    content = axis_w + width + BAR_PX
    lines = drawing.wrap_text(" ".join(_explain(stats, shown, geometry, (width, height))), content)
    top = title_height(lines)
    plot_top = top + READING_PX + 20 + picture_h + 12
    size = (content + 2 * MARGIN_PX, plot_top + height + 2 * LABEL_PX + MARGIN_PX)
    canvas = Image.new("RGB", size, drawing.WHITE)
    draw = ImageDraw.Draw(canvas)
    draw_title(draw, f"Outputs of {stats.layer}", lines)
    draw_reading(draw, (left, top), reading, width)
    picture_top = top + READING_PX + 20
    draw_picture(
        canvas, image, geometry, (left, picture_top, left + width, picture_top + picture_h)
    )
    box = (left, plot_top, left + width, plot_top + height)
    draw_heat(canvas, stats, shown, maps, geometry, box)
    title = "class" if row_labels else "unit"
    draw_unit_axis(draw, names, box, title, name_all=bool(row_labels or shown.why))
    draw_frame_axis(draw, num_frames, geometry, box)
    if shown.has_scale:
        draw_color_bar(canvas, shown, box, "logit" if row_labels else "activation")
    return canvas


def _explain(
    stats: FeatureStats, shown: Shown, geometry: Geometry, size: tuple[int, int]
) -> Iterator[str]:
    """Yield what is to be known about a heat map of ``size`` (width, height) px, by sentences."""
    num_frames = stats.shape[1]
    width, height = size
    dead = describe_dead(stats, "unit", "dashed" + " where drawn" * bool(shown.why))
    yield f"{describe_choice(stats, shown, 'unit')} over {quantity(num_frames, 'frame')}; {dead}."
    if shown.is_shared:
        yield "One color scale serves all units."
    else:
        yield "Each unit's row from its own minimum (dark) to its own maximum (light): colors of"
        yield "different rows cannot be compared."
    if height < len(shown.channels):
        yield f"There is room for {height} rows, evenly chosen."
    if width < num_frames:
        yield f"There is room for {width} frames, evenly chosen."
    yield "Frames lie under the columns of the picture that they see."
    if geometry.picture_width < geometry.width:
        yield WIDENED
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
    left, top, right, bottom = box
    num_units, num_frames = len(shown.channels), maps.shape[1]
    rows = drawing.nearest_cells(bottom - top, num_units, (0.5, 1.0), num_units)
    columns = drawing.nearest_cells(right - left, geometry.width, geometry.columns, num_frames)
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


def draw_unit_axis(
    draw: ImageDraw.ImageDraw, names: Sequence[str], box: Box, title: str, *, name_all: bool
) -> None:
    """Name the rows at the left: all that have room, or at round numbers."""
    left, top, _, bottom = box
    row_h = (bottom - top) / len(names)
    step = drawing.tick_step(len(names), bottom - top, TEXT_PX + 3 if name_all else 30)
    for unit in range(0, len(names), step):
        y = round(top + (unit + 0.5) * row_h)
        draw.line((left - 6, y, left - 2, y), fill=GRAY)
        text, font = typeset(names[unit])
        draw.text((left - 10, y), text, fill=DARK, font=font, anchor="rm")
    draw.text((left - 10, top - 8), title, fill=GRAY, font=drawing.font(), anchor="rb")


def draw_frame_axis(
    draw: ImageDraw.ImageDraw, num_frames: int, geometry: Geometry, box: Box
) -> None:
    """Number the frames below the heat map, each at the center of its columns."""
    left, _, right, bottom = box
    scale = (right - left) / geometry.width
    start, distance = geometry.columns
    step = drawing.tick_step(num_frames, num_frames * distance * scale, 48)
    for number in range(0, num_frames, step):
        x = round(left + (start + number * distance) * scale)
        if x >= right:
            break
        draw.line((x, bottom + 1, x, bottom + 5), fill=GRAY)
        draw.text((x, bottom + 8), str(number), fill=DARK, font=drawing.font(), anchor="mt")
    place = ((left + right) // 2, bottom + 8 + LABEL_PX)
    draw.text(place, "frame", fill=GRAY, font=drawing.font(), anchor="mt")


def draw_color_bar(canvas: Image.Image, shown: Shown, box: Box, title: str) -> None:
    """Draw the colors from the least value to the greatest, at the right."""
    left, top = box[2] + 20, box[1]
    height = min(box[3] - box[1], 320)
    ramp = np.linspace(1, 0, height, dtype=np.float32)[:, None].repeat(18, axis=1)
    canvas.paste(Image.fromarray(drawing.colorize(ramp, 0, 1)), (left, top))
    draw = ImageDraw.Draw(canvas)
    drawing.frame(draw, (left, top, left + 18, top + height))
    values = drawing.scale_values(shown.low, shown.high, 5 if height >= 150 else 2)
    for tick, value in enumerate(reversed(values)):
        y = round(top + tick / (len(values) - 1) * (height - 1))
        draw.line((left + 18, y, left + 22, y), fill=GRAY)
        draw.text((left + 26, y), value, fill=DARK, font=drawing.font(), anchor="lm")
    draw.text((left, top - 8), title, fill=GRAY, font=drawing.font(), anchor="lb")
