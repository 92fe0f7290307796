"""A heat map of the classes' probabilities in each frame, column under column of the picture."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.core.model.geometry import CellAxis
from exprocr.core.reading.prediction import Character
from exprocr.viz.alignment.frames import Frames
from exprocr.viz.canvas import drawing
from exprocr.viz.canvas.drawing import DARK, WHITE, Box
from exprocr.viz.canvas.heatmap import cells_of

ROW_PX = 24
MAX_ROWS = 48
NUMBER_PX = 12


def pick_rows(frames: Frames, characters: Sequence[Character]) -> list[int]:
    """Return the classes to draw, in their order: all, or those with the greatest probabilities.

    Where there is no room for all, the blank and the characters that were read come first.
    """
    num = len(frames.classes)
    if num <= MAX_ROWS:
        return list(range(num))
    rank = frames.probabilities.max(axis=0)
    read = {character.text for character in characters}
    rank[[i == 0 or name in read for i, name in enumerate(frames.classes)]] += 1
    return sorted(np.argsort(-rank, kind="stable")[:MAX_ROWS].tolist())


def has_numbers(frames: Frames, width: int) -> bool:
    """Return whether the cells of a heat map ``width`` px wide have room for two digits."""
    frame_w = frames.geometry.columns.step * width / frames.geometry.width
    return frame_w >= drawing.font(NUMBER_PX).getlength("99") + 3


def draw_probabilities(canvas: Image.Image, frames: Frames, rows: Sequence[int], box: Box) -> None:
    """Draw the heat map of some classes, and numbers in the cells if they have room for them."""
    left, top, right, _ = box
    pooled, axis, _ = frames.pooled(right - left)
    values = pooled[:, rows]
    cells = cells_of(box, len(rows), len(values), axis, frames.geometry.width)
    shades = np.cbrt(values).T.astype(np.float32)
    pixels = drawing.colorize(drawing.sample_cells(shades, *cells), 0.0, 1.0)
    canvas.paste(Image.fromarray(pixels), (left, top))
    draw = ImageDraw.Draw(canvas)
    drawing.frame(draw, box)
    if has_numbers(frames, right - left):
        _draw_numbers(draw, values, axis, (right - left) / frames.geometry.width, box)


def _draw_numbers(
    draw: ImageDraw.ImageDraw, values: NDArray[np.float64], axis: CellAxis, scale: float, box: Box
) -> None:
    """Write the percentage where a probability is neither near 0 nor near 1."""
    left, top, right, _ = box
    for frame, row in np.argwhere((values >= 0.01) & (values < 0.99)).tolist():
        share = values[frame, row]
        x, y = left + axis.center(frame) * scale, top + (row + 0.5) * ROW_PX
        if x < right:
            color = WHITE if share < 0.4 else DARK
            text = str(math.floor(100 * share))
            draw.text((x, y), text, fill=color, font=drawing.font(NUMBER_PX), anchor="mm")


def draw_runs(
    draw: ImageDraw.ImageDraw,
    characters: Sequence[Character],
    names: Sequence[str],
    frames: Frames,
    box: Box,
) -> None:
    """Draw a box around the frames of each character, in the row of its class."""
    left, top, right, _ = box
    scale = (right - left) / frames.geometry.width
    first, step = frames.geometry.columns
    for character in characters:
        if character.text not in names:
            continue
        y = top + names.index(character.text) * ROW_PX
        x0, x1 = (
            left + round((first + (frame + side) * step) * scale)
            for frame, side in zip(character.frames, (-0.5, 0.5), strict=True)
        )
        x0 = min(max(x0, left), right - 1)
        x1 = min(max(x1, x0 + 1), right)
        # Outside the cells, so that their colors stay visible however narrow they are.
        draw.rectangle((x0 - 1, y - 1, x1, y + ROW_PX), outline=DARK)
        draw.rectangle((x0 - 2, y - 2, x1 + 1, y + ROW_PX + 1), outline=WHITE)
