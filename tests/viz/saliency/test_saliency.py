"""Drawings of saliency against crafted maps: what is drawn where, and how strong."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.config.schema import PRESETS, PreprocessConfig
from exprocr.core.model.geometry import CellAxis
from exprocr.core.reading.prediction import Character, Prediction
from exprocr.viz.canvas.geometry import Geometry, geometry_of
from exprocr.viz.saliency.maps import SaliencyMap, spread
from exprocr.viz.saliency.page import draw_saliency

SIZE = (180, 60)


def geometry(width: int = 180, height: int = 60, picture_width: int | None = None) -> Geometry:
    cells = CellAxis(4.5, 9), CellAxis(5, 10)
    return Geometry(width, height, picture_width or width, *cells)


def character(text: str, left: int, right: int) -> Character:
    return Character(text=text, x=left, box=(left, 0, right, 60), probability=1.0, alternative="",
                     alternative_probability=0.0, frames=(0, 0))  # fmt: skip


PREDICTION = Prediction(
    text="1+2", value=None, confidence=0.9,
    characters=(character("1", 10, 50), character("+", 60, 100), character("2", 110, 150)),
)  # fmt: skip


def draw(
    values: NDArray[np.float32],
    *,
    is_signed: bool = False,
    ink: NDArray[np.uint8] | None = None,
    **options: Any,
) -> Image.Image:
    height, width = values.shape
    if ink is None:
        ink = np.zeros(values.shape, dtype=np.uint8)
    where = options.pop("where", geometry(width, height))
    image = options.pop("image", Image.new("RGB", (where.picture_width, height), "white"))
    maps = [SaliencyMap("map", "about", values, is_signed, "nats")]
    return draw_saliency(
        image, ink, options.pop("prediction", PREDICTION), "1+2", maps, where, about="a", **options
    )


def panel(canvas: Image.Image, width: int = 900, height: int = 300) -> NDArray[np.int64]:
    """Return the pixels of the last map, which stands above the margin."""
    pixels = np.asarray(canvas).astype(int)
    bottom = pixels.shape[0] - 24
    return pixels[bottom - height : bottom, 24 : 24 + width]


def hottest(pixels: NDArray[np.int64]) -> tuple[float, float]:
    """Return the center, column and row, of what is drawn hottest."""
    rows, columns = np.nonzero(pixels[..., 1] <= pixels[..., 1].min() + 2)
    return float(columns.mean() + 0.5), float(rows.mean() + 0.5)


@pytest.mark.parametrize(("row", "column"), [(0, 0), (5, 19), (2, 7), (4, 12)])
def test_a_hot_cell_is_drawn_where_its_receptive_field_is_centered(row: int, column: int) -> None:
    cells = np.zeros((6, 20), dtype=np.float32)
    cells[row, column] = 1
    values = spread(cells, geometry())
    x, y = hottest(panel(draw(values)))
    assert x / 5 == pytest.approx(
        geometry().columns.center(column), abs=2.6 * (column in (0, 19)) + 0.5
    )
    assert y / 5 == pytest.approx(geometry().rows.center(row), abs=2.6 * (row in (0, 5)) + 0.5)


def test_between_the_centers_a_map_is_linear() -> None:
    cells = np.random.default_rng(0).random((6, 20)).astype(np.float32)
    where = geometry()
    rows, columns = ([axis.center(i) for i in range(n)]
                     for axis, n in ((where.rows, 6), (where.columns, 20)))  # fmt: skip
    of_rows = [np.interp(np.arange(60) + 0.5, rows, column) for column in cells.T]
    expected = [np.interp(np.arange(180) + 0.5, columns, row) for row in np.transpose(of_rows)]
    np.testing.assert_allclose(spread(cells, where), expected, atol=1e-6)


def test_nothing_is_claimed_far_from_the_cells() -> None:
    """Without padding the outermost cells are centered well inside."""
    preset = PRESETS["reference"].model
    where = geometry_of("conv3", SIZE, preset, PreprocessConfig())
    cells = np.ones((3, 17), dtype=np.float32)
    values = spread(cells, where)
    assert where.columns.first > where.columns.step
    beyond = int(where.columns.first - where.columns.step)
    assert not values[:, : beyond - 1].any()
    assert values[:, beyond + 1 : 60].any(axis=0).all()
    assert values.max() == pytest.approx(1)


def test_colors_go_with_the_strength() -> None:
    values = np.zeros((60, 180), dtype=np.float32)
    for step, left in enumerate(range(0, 180, 36)):
        values[:, left : left + 36] = step / 4
    colors = panel(draw(values))[150, 90::180]
    gray = colors @ [0.299, 0.587, 0.114]
    assert (np.diff(gray) < -15).all()  # darker and darker
    assert colors[0].tolist() == [255, 255, 255]
    np.testing.assert_array_equal(panel(draw(values * 1e-9))[150, 90::180], colors)


def test_strokes_stay_visible_under_any_heat() -> None:
    values = np.linspace(0, 1, 180, dtype=np.float32)[None].repeat(60, axis=0)
    ink = np.zeros((60, 180), dtype=np.uint8)
    ink[30:] = 255
    gray = panel(draw(values, ink=ink)) @ [0.299, 0.587, 0.114]
    assert (gray[75] - gray[225] > 25).all()


def test_signed_maps_are_drawn_in_blocks_and_dots() -> None:
    values = np.zeros((60, 180), dtype=np.float32)
    values[10, 20], values[40, 160] = 2, -2
    ink = np.full(values.shape, 255, dtype=np.uint8)
    pixels = panel(draw(values, is_signed=True, ink=ink))
    plain = pixels[0, 0]
    block, dot = pixels[50:55, 100:105], pixels[200:205, 800:805]
    assert (block == block[0, 0]).all()
    assert block[0, 0, 0] > block[0, 0, 2] + 50  # red
    assert dot[2, 2, 2] > dot[2, 2, 0] + 50  # blue
    is_dotted = (dot != plain).any(axis=2)
    assert is_dotted.sum() == 9
    assert is_dotted[1:4, 1:4].all()
    assert (pixels != plain).any(axis=2).sum() == 25 + 9  # nothing else
    gray = pixels @ [0.299, 0.587, 0.114]
    assert gray[52, 102] < gray[202, 802] < gray[0, 0] - 50  # stay apart in gray as well


def test_figures_of_a_map() -> None:
    values = np.zeros((60, 180), dtype=np.float32)
    values[3, 5], values[7, 100] = 3, -1
    one = SaliencyMap("map", "", values, True)
    left = np.zeros(values.shape, dtype=bool)
    left[:, :90] = True
    assert one.share(left) == 0.75
    assert one.peak() == (5, 3)
    assert 2.9 < one.limit <= 3
    assert SaliencyMap("map", "", values * 2).limit == 6
    assert np.isnan(SaliencyMap("map", "", values * 0).share(left))


def marked_columns(plain: Image.Image, marked: Image.Image, width: int = 900) -> list[int]:
    """Return the columns of the last map in which every pixel differs."""
    differs = (panel(plain, width) != panel(marked, width)).any(axis=2)
    return np.flatnonzero(differs.all(axis=0)).tolist()


@pytest.mark.parametrize("number", [1, 3])
def test_the_character_is_marked_in_its_columns(number: int) -> None:
    values = np.zeros((60, 180), dtype=np.float32)
    left, _, right, _ = PREDICTION.characters[number - 1].box
    lines = [left * 5, left * 5 + 1, right * 5 - 2, right * 5 - 1]
    assert marked_columns(draw(values), draw(values, number=number)) == lines


def test_the_character_is_marked_in_the_picture_as_loaded() -> None:
    """A picture three times as large, and widened by a third for the network."""
    large = tuple(
        replace(one, box=(one.box[0] * 3, 0, one.box[2] * 3, 180)) for one in PREDICTION.characters
    )
    options: dict[str, Any] = {
        "where": geometry(240, 60, 180),
        "prediction": replace(PREDICTION, characters=large),
    }
    plain, marked = (
        draw(
            np.zeros((60, 240), dtype=np.float32),
            image=Image.new("RGB", (540, 180), "white"),
            number=number,
            **options,
        )
        for number in (None, 2)
    )
    assert marked_columns(plain, marked, 1200) == [300, 301, 498, 499]


@pytest.mark.parametrize("size", [(4000, 60), (6000, 60), (20, 60), (1, 1), (300, 1000), (37, 21)])
@pytest.mark.parametrize("is_signed", [True, False])
def test_sizes_are_bounded(size: tuple[int, int], is_signed: bool) -> None:
    values = np.random.default_rng(0).normal(size=size[::-1]).astype(np.float32)
    canvas = draw(values if is_signed else np.abs(values), is_signed=is_signed)
    assert max(canvas.size) <= 4000
    assert canvas.width >= 900


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf, 1e-38, 3e38])
@pytest.mark.parametrize("is_signed", [True, False])
def test_any_values_are_drawn(value: float, is_signed: bool) -> None:
    values = np.full((60, 180), value, dtype=np.float32)
    plain = draw(np.zeros_like(values), is_signed=is_signed)
    assert draw(values, is_signed=is_signed).size == plain.size
    cells = np.full((6, 20), value, dtype=np.float32)
    assert np.isfinite(spread(cells, geometry())).all()
