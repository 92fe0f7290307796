"""What the pictures of feature maps are drawn with: words, colors, hatching, sampling, layout."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from exprocr.core.image.preprocess import to_gray

Color = tuple[int, int, int]
Box = tuple[int, int, int, int]
"""Left, top, right, bottom, px; right and bottom are outside."""

MAX_SIDE_PX = 4000
TEXT_PX = 14
SCALE_PX = 320
SCALE_HEIGHT_PX = 40
WHITE: Color = (255, 255, 255)
DARK: Color = (32, 32, 32)
GRAY: Color = (96, 96, 96)
LIGHT: Color = (236, 236, 236)


@lru_cache
def font(size_px: int = TEXT_PX) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Return Pillow's own font."""
    return ImageFont.load_default(size_px)


@lru_cache
def viridis() -> NDArray[np.uint8]:
    """Return the color map viridis, (256, 3): perceptually uniform, and in gray as well."""
    import matplotlib

    colors = matplotlib.colormaps["viridis"](np.arange(256), bytes=True)
    return np.asarray(colors, dtype=np.uint8)[:, :3]


def colorize(
    values: NDArray[np.float32], low: float, high: float, background: Color = LIGHT
) -> NDArray[np.uint8]:
    """Turn values into viridis.

    Args:
        values: Any shape; what is no finite number takes the background.
        low: Value of the darkest color.
        high: Value of the lightest color.
        background: Color of what is no finite number.

    Returns:
        uint8, the shape of ``values`` with 3 color channels behind.
    """
    scale = 255 / (high - low) if high > low else 0.0
    missing = ~np.isfinite(values)
    with np.errstate(over="ignore"):  # a network that diverged: the top of the scale
        levels = np.clip((np.where(missing, low, values) - low) * scale, 0, 255)
    colors: NDArray[np.uint8] = viridis()[np.rint(levels).astype(np.uint8)]
    colors[missing] = background
    return colors


def nearest_cells(
    num_px: int, length: float, axis: tuple[float, float], num: int
) -> NDArray[np.intp]:
    """Return which cell each pixel of a drawing shows.

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
    """Convert a picture of any mode; transparency is laid over white, 16 bits become 8."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(np.rint(to_gray(image) * 255).astype(np.uint8)).convert("RGB")
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
    return image.convert("RGB")


def hatch(draw: ImageDraw.ImageDraw, box: Box, color: Color = (200, 200, 200)) -> None:
    """Fill a box with diagonal lines."""
    left, top, right, bottom = box
    draw.rectangle((left, top, right - 1, bottom - 1), fill=LIGHT)
    height = bottom - top
    for x in range(left - height, right, 8):
        # The line from (x, bottom) up to (x + height, top), cut at the box's sides.
        x0, x1 = max(x, left), min(x + height, right - 1)
        if x0 <= x1:
            draw.line((x0, bottom - 1 - (x0 - x), x1, max(top, bottom - 1 - (x1 - x))), fill=color)


def cross_out(draw: ImageDraw.ImageDraw, box: Box) -> None:
    """Draw an empty box with both diagonals."""
    left, top, right, bottom = box[0], box[1], box[2] - 1, box[3] - 1
    draw.rectangle((left, top, right, bottom), fill=LIGHT, outline=GRAY)
    draw.line((left, top, right, bottom), fill=GRAY)
    draw.line((left, bottom, right, top), fill=GRAY)


def frame(draw: ImageDraw.ImageDraw, box: Box) -> None:
    """Draw a thin line round a box, outside it."""
    draw.rectangle((box[0] - 1, box[1] - 1, box[2], box[3]), outline=(190, 190, 190))


def scale_values(low: float, high: float, num: int) -> list[str]:
    """Return ``num`` values from ``low`` to ``high``, evenly apart, as a scale gives them."""
    values = (low + (high - low) * tick / (num - 1) for tick in range(num))
    # Rounding, or too near to 0 for a scale to tell, is 0.
    return [f"{0.0 if abs(v) < 1e-4 * (high - low) else v:.3g}" for v in values]


def draw_scale(
    canvas: Image.Image, place: tuple[int, int], colors: NDArray[np.uint8], values: Sequence[str]
) -> None:
    """Draw a bar of colors from left to right, and values below it.

    Args:
        canvas: What is drawn on.
        place: Left and top of the bar, px; it is `SCALE_PX` wide, `SCALE_HEIGHT_PX` high with its
            values.
        colors: uint8 (N, 3), of the least value first.
        values: Two or more, evenly apart.
    """
    left, top = place
    right, bottom = left + SCALE_PX, top + 16
    columns = np.arange(SCALE_PX) * len(colors) // SCALE_PX
    pixels = colors[columns][None].repeat(bottom - top, axis=0)
    canvas.paste(Image.fromarray(pixels), place)
    draw = ImageDraw.Draw(canvas)
    frame(draw, (left, top, right, bottom))
    for tick, value in enumerate(values):
        x = left + round(tick / (len(values) - 1) * (SCALE_PX - 1))
        anchor = "ls" if tick == 0 else "rs" if tick == len(values) - 1 else "ms"
        draw.line((x, bottom + 1, x, bottom + 4), fill=GRAY)
        draw.text((x, bottom + 18), value, fill=DARK, font=font(), anchor=anchor)


def clip_text(text: str, width: int, size_px: int = TEXT_PX) -> str:
    """Return ``text``, cut with dots where it is wider than ``width`` px."""
    if font(size_px).getlength(text) <= width:
        return text
    while text and font(size_px).getlength(text + "...") > width:
        text = text[:-1]
    return text + "..."


def wrap_text(text: str, width: int) -> list[str]:
    """Break ``text`` at spaces into lines at most ``width`` px wide."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font().getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return [clip_text(line, width) for line in lines]


def tick_step(num: int, length_px: float, apart_px: float) -> int:
    """Return a round step (1, 2 or 5 times a power of ten) with ticks ``apart_px`` or more."""
    least = max(1.0, apart_px * num / max(length_px, 1))
    power = 10 ** math.floor(math.log10(least))
    return int(next(m * power for m in (1, 2, 5, 10) if m * power >= least))


def tile_layout(
    num: int,
    aspect: float,
    extra: tuple[int, int],
    pages: Iterable[tuple[int, int]],
    least_px: float = 0,
) -> tuple[int, int, int]:
    """Arrange tiles as large as they fit.

    Args:
        num: Number of tiles.
        aspect: Width by height of a tile.
        extra: Space between tiles, across and down (with a label), px.
        pages: Sizes to fit into, px; the first is taken in which tiles are large enough: 120 px
            wide, 16 px high, and ``least_px`` wide.
        least_px: Width at which tiles show all that is in them, px.

    Returns:
        Number of columns, width and height of a tile, px.
    """
    best = (1, 1, 1)
    for page_width, page_height in pages:
        widest = 0.0
        for num_columns in range(1, num + 1):
            num_rows = -(-num // num_columns)
            across = (page_width + extra[0]) // num_columns - extra[0]
            down = (page_height + extra[1]) // num_rows - extra[1]
            width = min(across, down * aspect)
            if width > widest:
                widest = width
                best = (num_columns, int(width), max(1, round(int(width) / aspect)))
        if widest >= max(120, 16 * aspect, least_px):
            break
    return best
