"""A heat map over frames: its cells and axes, column under column of the picture above it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import ImageDraw

from exprocr.core.model.geometry import CellAxis
from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.drawing import DARK, GRAY, TEXT_PX, Box
from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.canvas.page import LABEL_PX
from exprocr.viz.canvas.text import typeset

MAX_WIDTH_PX = 3600


def cells_of(
    box: Box, num_rows: int, num_frames: int, columns: CellAxis, input_width: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the cell that each pixel of a heat map shows.

    Args:
        box: Where the heat map is, over the whole width of the network's input.
        num_rows: Rows of cells, all equally high.
        num_frames: Columns of cells.
        columns: Where they lie, px of the network's input.
        input_width: Width of the network's input, px.

    Returns:
        The row that each row of pixels shows, and the column that each column shows; -1 for none.
    """
    left, top, right, bottom = box
    rows = drawing.nearest_cells(bottom - top, num_rows, (0.5, 1.0), num_rows)
    return rows, drawing.nearest_cells(right - left, input_width, columns, num_frames)


def row_axis_width(names: Sequence[str]) -> int:
    """Return the room that the names of rows take, px."""
    typed = (typeset(name) for name in names)
    return round(max(font.getlength(text) for text, font in typed)) + 30


def draw_row_axis(
    draw: ImageDraw.ImageDraw, names: Sequence[str], box: Box, title: str, *, name_all: bool = True
) -> None:
    """Name the rows at the left: all that have room, or those at round numbers."""
    left, top, _, bottom = box
    row_h = (bottom - top) / len(names)
    step = tick_step(len(names), bottom - top, TEXT_PX + 3 if name_all else 30)
    for row in range(0, len(names), step):
        y = round(top + (row + 0.5) * row_h)
        draw.line((left - 6, y, left - 2, y), fill=GRAY)
        text, font = typeset(names[row])
        draw.text((left - 10, y), text, fill=DARK, font=font, anchor="rm")
    draw.text((left - 10, top - 8), title, fill=GRAY, font=drawing.font(), anchor="rb")


def draw_frame_axis(
    draw: ImageDraw.ImageDraw, num_frames: int, geometry: Geometry, box: Box
) -> None:
    """Number the frames below the heat map, each at the center of its columns."""
    left, _, right, bottom = box
    scale = (right - left) / geometry.width
    step = tick_step(num_frames, num_frames * geometry.columns.step * scale, 48)
    for number in range(0, num_frames, step):
        x = round(left + geometry.columns.center(number) * scale)
        if x >= right:
            break
        draw.line((x, bottom + 1, x, bottom + 5), fill=GRAY)
        draw.text((x, bottom + 8), str(number), fill=DARK, font=drawing.font(), anchor="mt")
    place = ((left + right) // 2, bottom + 8 + LABEL_PX)
    draw.text(place, "frame", fill=GRAY, font=drawing.font(), anchor="mt")


def tick_step(num: int, length_px: float, apart_px: float) -> int:
    """Return a round step (1, 2 or 5 times a power of ten) that keeps ticks ``apart_px`` apart."""
    least = max(1.0, apart_px * num / max(length_px, 1))
    power = 10 ** math.floor(math.log10(least))
    return int(next(m * power for m in (1, 2, 5, 10) if m * power >= least))
