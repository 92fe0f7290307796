"""What the tests of pictures share: maps drawn, and where two drawings differ."""

from __future__ import annotations

from collections.abc import Callable, Iterator
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

Box = tuple[int, int, int, int]
"""Left, top, right, bottom, px; right and bottom are outside."""


def white(width: int = 180, height: int = 60) -> Image.Image:
    return Image.new("RGB", (width, height), "white")


def box_of_change(one: Image.Image, other: Image.Image) -> Box:
    """Return the box in which two drawings differ."""
    ys, xs = np.nonzero((np.asarray(one) != np.asarray(other)).any(axis=2))
    return int(xs.min()), int(ys.min()), int(xs.max()) + 1, int(ys.max()) + 1


def box_of_channel(
    draw: Callable[[NDArray[np.float32]], Image.Image], maps: NDArray[np.float32], channel: int
) -> Box:
    """Return where the cells of a channel are drawn: what changes if they change places.

    Its range, and so its colors and its label, stay what they are.
    """
    turned = maps.copy()
    turned[channel] = np.flip(maps[channel])
    return box_of_change(draw(maps), draw(turned))


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


def cell_colors(image: Image.Image, box: Box, rows: int, columns: int) -> NDArray[np.uint8]:
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


def is_gray(colors: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """Return which colors are gray, as none of viridis is."""
    return np.asarray(np.ptp(colors.astype(int), axis=-1) == 0)


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
