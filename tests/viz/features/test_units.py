"""Heat maps of units over frames: every value's place and color, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.feature_maps import (
    LIGHT,
    YELLOW,
    assert_near,
    boxes_of,
    cell_colors,
    frames_of,
    spread_grid,
    viridis,
    white,
    written,
)


def test_cells_lie_under_the_picture_they_see() -> None:
    """A heat map's bright frame stands below the picture's dark column."""
    image = white(400, 100)
    image.paste((255, 0, 0), (200, 0, 210, 100))
    maps = np.zeros((5, 100), dtype=np.float32)
    maps[:, 51] = np.arange(5) / 10 + 0.6
    maps[4, 51] = 1
    canvas = spread_grid("gru1", maps, image, "x")
    pixels = np.asarray(canvas).astype(int)
    red = np.argwhere((pixels[..., 0] > 200) & (pixels[..., 1] < 90) & (pixels[..., 2] < 90))[:, 1]
    # The color bar has a line of the same yellow; the cell is the larger one.
    box = max(boxes_of(canvas, YELLOW), key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
    assert red.min() - 2 <= box[0] < box[2] <= red.max() + 3


def test_heat_map_rows_are_in_order_and_dead_ones_dashed() -> None:
    maps = np.zeros((16, 20), dtype=np.float32)
    maps[:, 10:] = 1
    maps[[0, 9]] = 0.5
    labels = ["blank", *"()*+-0123456789"]
    canvas = spread_grid("fc2", maps, white(), "x", row_labels=labels)
    bright = [box for box in boxes_of(canvas, YELLOW) if box[2] - box[0] > 100]
    heights = [bottom - top for _, top, _, bottom in bright]
    assert heights == [8 * heights[0] / 8, heights[0] * 6 / 8]  # rows 1 to 8 and 10 to 15
    assert bright[1][1] - bright[0][3] == heights[0] / 8  # row 9 between them


def plot_of(canvas: object) -> tuple[int, int, int, int]:
    """Return where the values of a heat map are: the frame below the picture's."""
    return frames_of(canvas)[1]  # type: ignore[arg-type]


def units() -> NDArray[np.float32]:
    rng = np.random.default_rng(0)
    return (rng.normal(size=(6, 20)) * rng.permutation(6)[:, None] - 0.3).astype(np.float32)


def test_one_scale_serves_all_units_and_a_bar_explains_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    maps = units()
    low, high = maps[np.ptp(maps, axis=1) > 0].min(), maps.max()
    with written(monkeypatch) as texts:
        canvas = spread_grid("gru1", maps, white(), "x")
    _, plot, bar = frames_of(canvas)
    colors = cell_colors(canvas, plot, 6, 20)
    for unit, values in enumerate(maps):
        if np.ptp(values):
            assert_near(colors[unit], viridis(values, low, high))
    ramp = np.asarray(canvas)[[bar[1], bar[3] - 1], bar[0]]
    assert_near(ramp, viridis(np.array([high, low]), low, high))
    figures = [text for text, xy in texts if xy[0] > bar[2]]
    assert figures[0] == f"{low:.3g}"
    assert figures[-1] == f"{high:.3g}"


def test_own_scale_gives_each_row_all_colors_and_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = units()
    with written(monkeypatch) as texts:
        canvas = spread_grid("gru1", maps, white(), "x", scale="own")
    _, plot = frames_of(canvas)  # no bar
    colors = cell_colors(canvas, plot, 6, 20)
    for unit, values in enumerate(maps):
        if np.ptp(values):
            assert_near(colors[unit], viridis(values, values.min(), values.max()))
    subtitle = " ".join(text for text, _ in texts)
    assert "row is colored from its own minimum (dark) to its own maximum (light)" in subtitle
    assert "One color scale" not in subtitle


@pytest.mark.parametrize("labels", [None, ["blank", *"+-123"]])
def test_chosen_units_are_rows_in_their_order(
    monkeypatch: pytest.MonkeyPatch, labels: list[str] | None
) -> None:
    maps = units()
    (dead,) = np.flatnonzero(np.ptp(maps, axis=1) == 0).tolist()
    channels = [5, dead, 0] if dead in (1, 2, 3, 4) else [4, dead, 2]
    strength = np.abs(maps).mean(axis=1)
    strongest = sorted(range(6), key=lambda unit: -strength[unit])[:4]
    for options, chosen in (({"channels": channels}, channels), ({"top": 4}, strongest)):
        with written(monkeypatch) as texts:
            canvas = spread_grid("fc2", maps, white(), "x", row_labels=labels, **options)
        left, top, _, bottom = plot = plot_of(canvas)
        colors = cell_colors(canvas, plot, len(chosen), 20)
        live = [unit for unit in chosen if np.ptp(maps[unit])]
        low, high = maps[live].min(), maps[live].max()
        for row, unit in enumerate(chosen):
            if unit in live:
                assert_near(colors[row], viridis(maps[unit], low, high))
            else:  # gray
                assert (np.ptp(colors[row].astype(int), axis=1) == 0).all()
        names = [text for text, (x, y) in texts if x < left and top < y < bottom]
        assert names == [labels[unit] if labels else str(unit) for unit in chosen]


def test_the_middle_of_a_symmetric_color_bar_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.linspace(-1, 1.0000004, 60 * 20, dtype=np.float32).reshape(60, 20)
    with written(monkeypatch) as texts:
        spread_grid("gru1", maps, white(), "x")
    assert [text for text, _ in texts[-6:]] == ["activation", "-1", "-0.5", "0", "0.5", "1"]
    assert any("One color scale serves all units." in text for text, _ in texts)


@pytest.mark.parametrize(
    ("shape", "noun"), [((3300, 40), "rows"), ((4, 3700), "frames"), ((900, 40), None)]
)
def test_rows_and_frames_that_are_left_out_are_counted(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], noun: str | None
) -> None:
    maps = np.random.default_rng(0).random(shape, dtype=np.float32)
    with written(monkeypatch) as texts:
        left, top, right, bottom = plot_of(spread_grid("gru1", maps, white(shape[1]), "x"))
    number = bottom - top if noun == "rows" else right - left
    subtitle = " ".join(text for text, _ in texts)
    assert (f"There is room for {number} {noun}" in subtitle) == (noun is not None)
    assert ("There is room" in subtitle) == (noun is not None)


@pytest.mark.parametrize("scale", ["own", "shared"])
def test_what_is_no_number_is_gray(scale: str) -> None:
    maps = units()
    maps[0] = np.arange(20)
    maps[0, 3], maps[0, 7] = np.nan, np.inf
    maps[1] = np.nan
    canvas = spread_grid("gru1", maps, white(), "x", scale=scale)
    colors = cell_colors(canvas, plot_of(canvas), 6, 20)
    assert (colors[0, [3, 7]] == LIGHT).all()
    assert not (colors[0, [2, 4, 6, 8]] == LIGHT).all(axis=1).any()
    spread_grid("gru1", np.full((3, 9), np.nan, dtype=np.float32), white(), "x", scale=scale)


def test_characters_that_pillows_font_lacks_are_drawn() -> None:
    """No two of them look alike, as empty boxes would: at the left of their rows, and as read."""
    maps = np.tile(np.arange(20, dtype=np.float32), (4, 1))
    names = ["\u00d7", "\u00f7", "\u2212", "\u03c0"]
    canvas = spread_grid("fc2", maps, white(), "x", row_labels=names)
    left, top, _, bottom = plot_of(canvas)
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
