"""Heat maps of units over frames: every value's place and color."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.model.geometry import CellAxis
from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.features.page import draw_grid
from tests.support.feature_maps import (
    Box,
    assert_near,
    box_of_change,
    box_of_channel,
    cell_colors,
    is_gray,
    spread_grid,
    viridis,
    white,
    written,
)


@pytest.mark.parametrize("place", [0.1, 0.4, 0.9])
@pytest.mark.parametrize(
    ("num_frames", "geometry"),
    [
        (100, Geometry(400, 100, 400, CellAxis(2, 4), CellAxis(0.5, 1))),
        (43, Geometry(400, 100, 300, CellAxis(23.5, 8), CellAxis(0.5, 1))),
        (1500, Geometry(6000, 60, 5900, CellAxis(2, 4), CellAxis(0.5, 1))),
    ],
)
def test_a_frame_lies_under_the_columns_that_it_sees(
    num_frames: int, geometry: Geometry, place: float
) -> None:
    frame = round(place * (geometry.picture_width / geometry.columns.step - 6))
    center = round(geometry.columns.center(frame))
    image = white(geometry.picture_width, geometry.height)
    marked = image.copy()
    marked.paste((0, 0, 0), (center - 1, 0, center + 1, geometry.height))
    maps = np.random.default_rng(0).random((5, num_frames), dtype=np.float32)
    changed = maps.copy()
    changed[:, frame] = np.median(maps)

    def draw(image: Image.Image, maps: NDArray[np.float32]) -> Image.Image:
        return draw_grid("gru1", maps, image, "x", geometry=geometry)

    plain = draw(image, maps)
    seen = box_of_change(plain, draw(marked, maps))
    cell = box_of_change(plain, draw(image, changed))
    assert seen[3] < cell[1]
    assert (seen[0] + seen[2]) / 2 == pytest.approx((cell[0] + cell[2]) / 2, abs=2)


def units() -> NDArray[np.float32]:
    """Return 6 units of very different ranges; one of them is constant."""
    rng = np.random.default_rng(0)
    return (rng.normal(size=(6, 20)) * rng.permutation(6)[:, None] - 0.3).astype(np.float32)


def draw(maps: NDArray[np.float32], **options: Any) -> Image.Image:
    return spread_grid("gru1", maps, white(), "x", **options)


def plot_of(maps: NDArray[np.float32], chosen: list[int], **options: Any) -> Box:
    """Return where the values of a heat map are, by the rows that are not constant."""
    tops, bottoms = [], []
    for unit in (unit for unit in chosen if np.ptp(maps[unit])):
        box = box_of_channel(lambda values: draw(values, **options), maps, unit)
        row, height = chosen.index(unit), box[3] - box[1]
        tops.append(box[1] - row * height)
        bottoms.append(box[3] + (len(chosen) - 1 - row) * height)
    assert len({*tops}) == len({*bottoms}) == 1  # rows are in order, all equally high
    return box[0], tops[0], box[2], bottoms[0]


@pytest.mark.parametrize("scale", ["own", "shared", None])
def test_colors_are_those_of_the_scale(monkeypatch: pytest.MonkeyPatch, scale: str | None) -> None:
    maps = units()
    with written(monkeypatch) as texts:
        canvas = draw(maps, scale=scale)
    plot = plot_of(maps, list(range(6)), scale=scale)
    colors = cell_colors(canvas, plot, 6, 20)
    known = maps[np.ptp(maps, axis=1) > 0]
    for unit, values in enumerate(maps):
        limits = (values.min(), values.max()) if scale == "own" else (known.min(), known.max())
        if np.ptp(values):
            assert_near(colors[unit], viridis(values, *limits))
        else:  # a dashed line
            left, top, right, bottom = plot
            row_h = (bottom - top) // 6
            row = np.asarray(canvas)[top + unit * row_h : top + (unit + 1) * row_h, left:right]
            assert is_gray(row).all()
            assert [len(np.unique(line)) for line in row].count(2) == 1
    said = [text for text, _ in texts]
    figures = [f"{value:.3g}" for value in np.linspace(known.min(), known.max(), 5)]
    assert (said[-6:] == ["activation", *figures]) == (scale != "own")
    assert ("One color scale serves all units." in " ".join(said)) == (scale != "own")
    own = "row is colored from its own minimum (dark) to its own maximum (light)"
    assert (own in " ".join(said)) == (scale == "own")


@pytest.mark.parametrize("labels", [None, ["blank", *"+-123"]])
def test_chosen_units_are_rows_in_their_order(
    monkeypatch: pytest.MonkeyPatch, labels: list[str] | None
) -> None:
    maps = units()
    (dead,) = np.flatnonzero(np.ptp(maps, axis=1) == 0).tolist()
    channels = [5, dead, 0] if dead in (1, 2, 3, 4) else [4, dead, 2]
    strength = np.abs(maps).mean(axis=1)
    strongest = sorted(range(6), key=lambda unit: -strength[unit])[:4]
    choices: list[tuple[dict[str, Any], list[int]]] = [
        ({"channels": channels}, channels),
        ({"top": 4}, strongest),
    ]
    for options, chosen in choices:
        with written(monkeypatch) as texts:
            canvas = draw(maps, row_labels=labels, **options)
        left, top, _, bottom = plot = plot_of(maps, chosen, row_labels=labels, **options)
        colors = cell_colors(canvas, plot, len(chosen), 20)
        live = [unit for unit in chosen if np.ptp(maps[unit])]
        low, high = maps[live].min(), maps[live].max()
        for row, unit in enumerate(chosen):
            if unit in live:
                assert_near(colors[row], viridis(maps[unit], low, high))
            else:
                assert is_gray(colors[row]).all()
        names = [text for text, (x, y) in texts if x < left and top < y < bottom]
        assert names == [labels[unit] if labels else str(unit) for unit in chosen]


def test_the_middle_of_a_symmetric_color_bar_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.linspace(-1, 1.0000004, 60 * 20, dtype=np.float32).reshape(60, 20)
    with written(monkeypatch) as texts:
        draw(maps)
    assert [text for text, _ in texts[-6:]] == ["activation", "-1", "-0.5", "0", "0.5", "1"]


@pytest.mark.parametrize(
    ("shape", "noun"), [((3300, 40), "rows"), ((4, 3700), "frames"), ((900, 40), None)]
)
def test_rows_and_frames_that_are_left_out_are_counted(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], noun: str | None
) -> None:
    maps = np.random.default_rng(0).random(shape, dtype=np.float32)
    image = white(shape[1])
    with written(monkeypatch) as texts:
        canvas = spread_grid("gru1", maps, image, "x")
    left, top, right, bottom = box_of_change(
        canvas, spread_grid("gru1", np.flip(maps).copy(), image, "x")
    )
    number = bottom - top if noun == "rows" else right - left
    said = " ".join(text for text, _ in texts)
    assert (f"There is room for {number} {noun}" in said) == (noun is not None)
    assert ("There is room" in said) == (noun is not None)


@pytest.mark.parametrize("scale", ["own", "shared"])
def test_what_is_no_number_is_gray(scale: str) -> None:
    maps = units()
    maps[0] = np.arange(20)
    maps[0, 3], maps[0, 7] = np.nan, np.inf
    box = box_of_channel(lambda values: draw(values, scale=scale), maps, 0)
    colors = cell_colors(draw(maps, scale=scale), box, 1, 20)
    assert np.flatnonzero(is_gray(colors[0])).tolist() == [3, 7]
    nothing = np.full((3, 9), np.nan, dtype=np.float32)
    assert draw(nothing, scale=scale).size[0] > 0


def test_characters_that_pillows_font_lacks_are_drawn() -> None:
    """No two of them look alike, as empty boxes would: at the left of their rows, and as read."""
    maps = np.tile(np.arange(20, dtype=np.float32), (4, 1))
    names = ["\u00d7", "\u00f7", "\u2212", "\u03c0"]
    canvas = draw(maps, row_labels=names)
    left, top, _, bottom = plot_of(maps, [0, 1, 2, 3], row_labels=names)
    row_h = (bottom - top) // len(names)
    drawn = {
        np.asarray(canvas.crop((left - 28, y, left - 8, y + row_h))).tobytes()
        for y in range(top, top + len(names) * row_h, row_h)
    }
    assert len(drawn) == len(names)
    for shape in ((4, 20), (4, 6, 20)):
        values = np.resize(maps, shape)
        readings = {spread_grid("any", values, white(), name).tobytes() for name in names}
        assert len(readings) == len(names)
