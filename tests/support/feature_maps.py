"""What the tests of feature maps share: drawings of maps, and what is found in a drawing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.core.model.geometry import CellAxis
from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.features.page import draw_grid

YELLOW = (253, 231, 36)  # the light end of viridis
FRAME = (190, 190, 190)
LIGHT = (236, 236, 236)

Box = tuple[int, int, int, int]


def white(width: int = 180, height: int = 60) -> Image.Image:
    return Image.new("RGB", (width, height), "white")


def boxes_of(image: Image.Image, color: tuple[int, int, int]) -> list[Box]:
    """Return the boxes of rectangles of a color: left, top, right, bottom, by rows."""
    mask = (np.asarray(image) == color).all(axis=2)
    boxes = []
    for y, x in np.argwhere(mask).tolist():
        if not mask[y, x]:  # in a box that was found
            continue
        right = x + int(np.argmin(np.append(mask[y, x:], False)))
        bottom = y + int(np.argmin(np.append(mask[y:, x], False)))
        mask[y:bottom, x:right] = False
        boxes.append((x, y, right, bottom))
    return boxes


def frames_of(image: Image.Image, least_px: int = 15) -> list[Box]:
    """Return what is inside the thin frames of a drawing, by rows."""
    outlines = [
        box for box in boxes_of(image, FRAME) if min(box[2] - box[0], box[3] - box[1]) > least_px
    ]
    return [(left + 1, top + 1, right - 1, bottom - 1) for left, top, right, bottom in outlines]


def spread_grid(
    layer: str, maps: NDArray[np.float32], image: Image.Image, reading: str, **options: Any
) -> Image.Image:
    """Draw maps whose cells divide the whole picture evenly."""
    width, height = image.size
    columns = width / maps.shape[-1]
    rows = height / (maps.shape[1] if maps.ndim == 3 else 1)
    axes = CellAxis(columns / 2, columns), CellAxis(rows / 2, rows)
    geometry = Geometry(width, height, width, *axes)
    return draw_grid(layer, maps, image, reading, geometry=geometry, **options)


def cell_colors(
    image: Image.Image | NDArray[np.uint8], box: Box, rows: int, columns: int
) -> NDArray[np.uint8]:
    """Return the colors in the middles of a box's cells, (rows, columns, 3)."""
    left, top, right, bottom = box
    xs = left + ((np.arange(columns) + 0.5) * (right - left) / columns).astype(int)
    ys = top + ((np.arange(rows) + 0.5) * (bottom - top) / rows).astype(int)
    colors: NDArray[np.uint8] = np.asarray(image)[np.ix_(ys, xs)]
    return colors


def viridis(values: NDArray[Any], low: float, high: float) -> NDArray[np.uint8]:
    """Return matplotlib's own colors of values."""
    shares = (values.astype(np.float64) - low) / (high - low)
    colors = mpl.colormaps["viridis"](np.rint(shares * 255).astype(int), bytes=True)
    return np.asarray(colors)[..., :3]


def assert_near(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> None:
    """Check colors; a value between two of the 256 may be rounded either way."""
    assert np.abs(found.astype(int) - expected.astype(int)).max() <= 6


@contextmanager
def written(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[str, tuple[float, float]]]]:
    """Note what is written on drawings, and where."""
    texts: list[tuple[str, tuple[float, float]]] = []
    draw_text = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, xy: Any, text: str, *args: Any, **options: Any) -> None:
        texts.append((text, xy))
        draw_text(self, xy, text, *args, **options)

    with monkeypatch.context() as patch:
        patch.setattr(ImageDraw.ImageDraw, "text", text)
        yield texts
