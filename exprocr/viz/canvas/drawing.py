"""Colors, and the pixels of cells: what pictures made with Pillow are drawn with."""

from __future__ import annotations

from functools import lru_cache

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from exprocr.core.image.preprocess import ground_of, lay_over, to_gray

Color = tuple[int, int, int]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, px; right and bottom are outside."""

MAX_SIDE_PX = 4000
TEXT_PX = 14
WHITE: Color = (255, 255, 255)
DARK: Color = (32, 32, 32)
GRAY: Color = (96, 96, 96)
LIGHT: Color = (236, 236, 236)
LINE: Color = (190, 190, 190)


@lru_cache
def font(size_px: int = TEXT_PX) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font."""
    return ImageFont.load_default(size_px)


@lru_cache
def viridis() -> NDArray[np.uint8]:
    """Return the color map viridis, uint8 (256, 3): perceptually uniform, in gray as well."""
    colors = mpl.colormaps["viridis"](np.arange(256), bytes=True)
    return np.asarray(colors, dtype=np.uint8)[:, :3]


def colorize(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.uint8]:
    """Color values by viridis; NaN and infinity become light gray.

    Args:
        values: Any shape.
        low: Value of the darkest color.
        high: Value of the lightest color.

    Returns:
        uint8, the shape of ``values`` with 3 color channels behind.
    """
    scale = 255 / (high - low) if high > low else 0.0
    missing = ~np.isfinite(values)
    with np.errstate(over="ignore"):  # a network that diverged: the top of the scale
        levels = np.clip((np.where(missing, low, values) - low) * scale, 0, 255)
    colors: NDArray[np.uint8] = viridis()[np.rint(levels).astype(np.uint8)]
    colors[missing] = LIGHT
    return colors


def nearest_cells(
    num_px: int, length: float, axis: tuple[float, float], num: int
) -> NDArray[np.intp]:
    """Return the cell that each pixel of a drawing shows.

    Args:
        num_px: Pixels of the drawing along this axis.
        length: Length of the input they stand for, input px.
        axis: Center of the first cell and distance between cells, input px.
        num: Number of cells.

    Returns:
        int (num_px,): indices of cells, -1 where there is none.
    """
    start, step = axis
    positions = (np.arange(num_px) + 0.5) * (length / num_px)
    cells = np.floor((positions - start) / step + 0.5).astype(np.intp)
    # A stride leaves up to half a cell at an edge; it belongs to the edge's cell.
    overshoot = np.abs((positions - start) / step - np.clip(cells, 0, num - 1))
    return np.where(overshoot < 1.0, np.clip(cells, 0, num - 1), -1)


def sample_cells(
    values: NDArray[np.float32], rows: NDArray[np.intp], columns: NDArray[np.intp]
) -> NDArray[np.float32]:
    """Return ``values[rows, columns]`` as a grid, NaN where an index is -1."""
    sampled: NDArray[np.float32] = values[np.ix_(rows, columns)]
    sampled[rows < 0] = np.nan
    sampled[:, columns < 0] = np.nan
    return sampled


def to_rgb(image: Image.Image) -> Image.Image:
    """Convert a picture of any mode; a transparent one as it is read, 16 bits become 8."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(np.rint(to_gray(image) * 255).astype(np.uint8)).convert("RGB")
    return lay_over(image, ground_of(image)).convert("RGB")


def cross_out(draw: ImageDraw.ImageDraw, box: Box) -> None:
    """Draw an empty box with both diagonals."""
    left, top, right, bottom = box[0], box[1], box[2] - 1, box[3] - 1
    draw.rectangle((left, top, right, bottom), fill=LIGHT, outline=GRAY)
    draw.line((left, top, right, bottom), fill=GRAY)
    draw.line((left, bottom, right, top), fill=GRAY)


def frame(draw: ImageDraw.ImageDraw, box: Box) -> None:
    """Draw a thin line around a box, outside it."""
    draw.rectangle((box[0] - 1, box[1] - 1, box[2], box[3]), outline=LINE)
