"""Grids of feature maps: every cell's place and color, computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.model.geometry import CellAxis
from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.features.maps import lay_out
from exprocr.viz.features.page import draw_grid
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


def bright_cell(channel: int, row: int, column: int) -> tuple[int, int, int, int]:
    """Return where the one bright cell of a grid of 6 maps of 6 x 18 cells is drawn."""
    maps = np.zeros((6, 6, 18), dtype=np.float32)
    maps[channel, row, column] = 10.0 ** (channel - 3)  # each is scaled by its own range
    (box,) = boxes_of(spread_grid("conv2", maps, white(), "x"), YELLOW)
    return box


def test_a_bright_cell_lands_where_it_is() -> None:
    first = [bright_cell(channel, 0, 1) for channel in range(6)]
    places = [(top, left) for left, top, _, _ in first]
    assert places == sorted(places)  # row after row
    assert len(set(places)) == 6
    assert 1 < len({top for top, _ in places}) < 6
    for channel, (row, column) in enumerate([(5, 17), (2, 9), (3, 4), (0, 17), (5, 1)]):
        _, _, right, bottom = bright_cell(channel, 5, 17)
        left, top = first[channel][:2]
        cell_w, cell_h = (right - left) / 17, (bottom - top) / 6
        assert cell_w * 18 >= 120
        assert cell_w * 18 == pytest.approx(3 * cell_h * 6, rel=0.05)  # the picture's proportions
        x, y = bright_cell(channel, row, column)[:2]
        assert x - left == pytest.approx((column - 1) * cell_w, abs=1.5)
        assert y - top == pytest.approx(row * cell_h, abs=1.5)


def test_each_live_channel_has_a_tile_and_dead_ones_have_no_color() -> None:
    maps = np.zeros((11, 5, 15), dtype=np.float32)
    maps[:, 2, 7] = 1
    maps[3] = 7
    canvas = spread_grid("conv1", maps, white(), "")
    assert len(boxes_of(canvas, YELLOW)) == 10
    alive = spread_grid("conv1", np.delete(maps, 3, axis=0), white(), "")
    assert len(boxes_of(alive, YELLOW)) == 10
    gray = np.asarray(canvas.convert("L"))
    assert (gray == 236).sum() > 1000  # the crossed-out tile, which is no viridis in gray either
    assert (np.asarray(alive.convert("L")) == 236).sum() < 100


def test_widened_part_is_hatched(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.random.default_rng(0).random((4, 6, 20)).astype(np.float32)
    geometry = Geometry(200, 60, 100, CellAxis(5, 10), CellAxis(5, 10))
    red = Image.new("RGB", (100, 60), "red")
    with written(monkeypatch) as texts:
        pixels = np.asarray(draw_grid("conv1", maps, red, "x", geometry=geometry))
        draw_grid("gru1", maps[:, 0], red, "x", geometry=geometry)
    said = " ".join(text for text, _ in texts)
    assert said.count("Hatched: background that the picture was widened with.") == 2
    columns = np.argwhere((pixels == (255, 0, 0)).all(axis=2))[:, 1]
    plain = np.asarray(spread_grid("conv1", maps, red.resize((200, 60)), "x"))
    wide = np.argwhere((plain == (255, 0, 0)).all(axis=2))[:, 1]
    assert columns.min() == wide.min()
    assert np.ptp(columns) + 1 == pytest.approx((np.ptp(wide) + 1) / 2, abs=1)


@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((512, 8, 1000), (4000, 60)),
        ((512, 8, 45), (180, 60)),
        ((1, 1, 1), (20, 60)),
        ((64, 8, 5), (20, 60)),
        ((16, 8, 1500), (6000, 60)),
        ((8192, 45), (180, 60)),
        ((128, 1500), (6000, 60)),
        ((1, 1), (20, 60)),
        ((4096, 2, 20), (60, 60)),
        ((512, 30, 2), (2, 60)),
    ],
)
def test_sizes_are_bounded(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).random(shape, dtype=np.float32)
    ink = np.zeros((60, size[0]), dtype=np.uint8)
    canvas = spread_grid("conv1", maps, white(*size), "1+1" * 200, ink=ink, scale="shared")
    assert max(canvas.size) <= 4000
    assert min(canvas.size) >= 200


@pytest.mark.parametrize(("num", "aspect"), [(16, 3), (64, 3), (512, 3), (512, 30)])
def test_tiles_are_wide_enough_and_fit(num: int, aspect: int) -> None:
    width, height = 60 * aspect, 60
    where = Geometry(width, height, width, CellAxis(5, 10), CellAxis(5, 10))
    layout = lay_out(num, (num, 6, width // 10), where)
    assert layout.tile[0] >= 120
    assert layout.tile[1] >= 16
    boxes = [layout.box(index, 600) for index in range(num)]
    assert len({box[:2] for box in boxes}) == num
    assert max(box[2] for box in boxes) <= 4000 - 24
    assert max(box[3] for box in boxes) <= 4000 - 24


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_pictures_of_any_mode(mode: str) -> None:
    image = Image.new(mode, (180, 60))
    assert spread_grid("fc1", np.eye(4, dtype=np.float32), image, "x").mode == "RGB"


def random_maps(num: int = 7) -> NDArray[np.float32]:
    """Return maps of very different ranges."""
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(num, 6, 18)) * rng.permutation(num)[:, None, None] + 0.1
    return maps.astype(np.float32)


def test_own_scale_gives_each_map_all_colors() -> None:
    maps = random_maps()
    canvas = spread_grid("conv2", maps, white(), "x")
    tiles = frames_of(canvas)[1:]  # the first is the picture
    for values, box in zip(maps, tiles, strict=True):
        if np.ptp(values):
            colors = viridis(values, values.min(), values.max())
            assert_near(cell_colors(canvas, box, 6, 18), colors)


def test_shared_scale_has_one_bar_and_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = random_maps()
    low, high = maps.min(), maps.max()
    with written(monkeypatch) as texts:
        canvas = spread_grid("conv2", maps, white(), "x", scale="shared")
    _, bar, *tiles = frames_of(canvas)
    for values, box in zip(maps, tiles, strict=True):
        if np.ptp(values):
            assert_near(cell_colors(canvas, box, 6, 18), viridis(values, low, high))
    ramp = np.linspace(low, high, 9)
    left, top, right, bottom = bar
    places = np.linspace(left, right - 1, 9).round().astype(int)
    found = np.asarray(canvas)[(top + bottom) // 2, places]
    assert_near(found, viridis(ramp, low, high))
    figures = {text: xy for text, xy in texts if bottom < xy[1] < bottom + 24}
    assert list(figures) == [f"{value:.3g}" for value in np.linspace(low, high, 5)]
    for place, (x, _) in zip(np.linspace(left, right - 1, 5), figures.values(), strict=True):
        assert x == pytest.approx(place, abs=1)
    own = frames_of(spread_grid("conv2", maps, white(), "x"))
    assert len(own) == len(tiles) + 1  # no bar


def test_only_one_scale_is_spoken_of(monkeypatch: pytest.MonkeyPatch) -> None:
    for scale, said, not_said in (
        ("shared", "One color scale serves all maps", "own minimum"),
        ("own", "own minimum (dark) to its own maximum", "One color scale"),
    ):
        with written(monkeypatch) as texts:
            spread_grid("conv2", random_maps(), white(), "x", scale=scale)
        subtitle = " ".join(text for text, _ in texts)
        assert said in subtitle
        assert not_said not in subtitle


@pytest.mark.parametrize("scale", ["own", "shared"])
@pytest.mark.parametrize(
    ("top", "channels"), [(None, [5, 0, 3]), (None, [4]), (3, None), (99, None)]
)
def test_chosen_channels_are_drawn_in_their_order(
    monkeypatch: pytest.MonkeyPatch,
    scale: str,
    top: int | None,
    channels: list[int] | None,
) -> None:
    maps = random_maps()
    strength = [np.abs(values).sum() for values in maps]
    chosen = channels or sorted(range(7), key=lambda channel: -strength[channel])[:top]
    with written(monkeypatch) as texts:
        canvas = spread_grid("conv2", maps, white(), "x", scale=scale, top=top, channels=channels)
    tiles = frames_of(canvas)[1:]
    if scale == "shared" and len(tiles) > len(chosen):
        tiles = tiles[1:]
    assert len(tiles) == len(chosen)
    low, high = maps[chosen].min(), maps[chosen].max()
    for channel, box in zip(chosen, tiles, strict=True):
        labels = [text for text, (x, y) in texts if x == box[0] and box[1] - 20 <= y < box[1]]
        assert labels == [str(channel)]
        values = maps[channel]
        if np.ptp(values):
            limits = (low, high) if scale == "shared" else (values.min(), values.max())
            assert_near(cell_colors(canvas, box, 6, 18), viridis(values, *limits))
    assert any(f"{len(chosen)} of 7 channels" in text for text, _ in texts)


def test_dead_channels_are_those_of_the_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = random_maps()
    maps[[1, 4]] = 3
    dead = set(np.flatnonzero(np.ptp(maps, axis=(1, 2)) < 1e-6).tolist())
    which = ", ".join(map(str, sorted(dead)))
    with written(monkeypatch) as texts:
        canvas = spread_grid("conv2", maps, white(), "x", channels=[0, 4])
    assert any(f"{len(dead)} channels dead: {which} (constant" in text for text, _ in texts)
    _, alive, crossed = frames_of(canvas)
    middles = [cell_colors(canvas, box, 3, 4) for box in (alive, crossed)]
    # Away from the diagonals, a crossed-out tile is empty.
    assert [(middle[0, 1] == LIGHT).all() for middle in middles] == [False, True]


def test_cells_that_are_left_out_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.random.default_rng(0).random((64, 6, 3000), dtype=np.float32)
    with written(monkeypatch) as texts:
        canvas = spread_grid("conv1", maps, white(4000, 60), "x")
    _, tile, *_ = frames_of(canvas)
    width = tile[2] - tile[0]
    assert width < 3000
    subtitle = " ".join(text for text, _ in texts[:5])
    assert f"There is room for 6 rows and {width} columns of the cells" in subtitle
    with written(monkeypatch) as texts:
        canvas = spread_grid("conv1", maps, white(4000, 60), "x", top=4)
    _, tile, *_ = frames_of(canvas)
    assert tile[2] - tile[0] >= 3000
    assert "There is room" not in " ".join(text for text, _ in texts)


def test_what_is_no_number_is_gray_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.random.default_rng(0).normal(size=(3, 6, 18)).astype(np.float32)
    maps[2] *= 4
    maps[0] = np.nan
    maps[1, 2, 3], maps[1, 4, 5] = np.nan, -np.inf
    for scale in ("own", "shared"):
        with written(monkeypatch) as texts:
            canvas = spread_grid("conv1", maps, white(), "x", scale=scale)
        assert any("2 channels hold NaN or infinity" in text for text, _ in texts)
        box = frames_of(canvas)[-2]
        finite = maps[1:][np.isfinite(maps[1:])] if scale == "shared" else None
        known = maps[1][np.isfinite(maps[1])] if finite is None else finite
        colors = viridis(np.nan_to_num(maps[1], neginf=0), known.min(), known.max())
        colors[2, 3] = colors[4, 5] = LIGHT
        assert_near(cell_colors(canvas, box, 6, 18), colors)


def test_very_wide_pictures_are_below_each_other() -> None:
    ink = np.zeros((60, 4000), dtype=np.uint8)
    maps = np.random.default_rng(0).random((4, 6, 18), dtype=np.float32)
    for width, is_stacked in ((180, False), (4000, True)):
        canvas = spread_grid("conv1", maps, white(width), "x", ink=ink[:, :width])
        picture, network_input, *_ = frames_of(canvas, 6)
        assert (picture[0] == network_input[0]) == is_stacked
        assert (picture[1] == network_input[1]) != is_stacked
        assert picture[3] - picture[1] == network_input[3] - network_input[1]
        assert picture[3] < frames_of(canvas)[-1][1]
