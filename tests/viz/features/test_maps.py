"""Grids of feature maps: every cell's place and color."""

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


def random_maps(num: int = 7) -> NDArray[np.float32]:
    """Return maps of very different ranges; one of them is 0.1 everywhere."""
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(num, 6, 18)) * rng.permutation(num)[:, None, None] + 0.1
    return maps.astype(np.float32)


def draw(maps: NDArray[np.float32], scale: str = "own") -> Image.Image:
    return spread_grid("conv2", maps, white(), "x", scale=scale)


def tile_of(maps: NDArray[np.float32], channel: int, scale: str = "own") -> Box:
    return box_of_channel(lambda values: draw(values, scale), maps, channel)


def live(maps: NDArray[np.float32]) -> list[int]:
    return [channel for channel, values in enumerate(maps) if np.ptp(values)]


def test_tiles_are_in_order_and_in_the_pictures_proportions() -> None:
    maps = random_maps(11)
    tiles = [tile_of(maps, channel) for channel in live(maps)]
    places = [(top, left) for left, top, _, _ in tiles]
    assert places == sorted(places)  # row after row
    assert 1 < len({top for top, _ in places}) < len(tiles) == 10
    for left, top, right, bottom in tiles:
        assert right - left >= 120
        assert right - left == pytest.approx(3 * (bottom - top), rel=0.05)


def test_a_cell_is_drawn_in_its_place() -> None:
    maps = random_maps()
    for channel, row, column in [(0, 0, 0), (2, 2, 9), (3, 5, 17), (6, 0, 17), (5, 5, 1)]:
        left, top, right, bottom = tile_of(maps, channel)
        other = maps.copy()  # within the range of its channel
        other[channel, row, column] = np.median(maps[channel])
        x0, y0, x1, y1 = box_of_change(draw(maps), draw(other))
        cell_w, cell_h = (right - left) / 18, (bottom - top) / 6
        found = [(x0 - left) / cell_w, (x1 - left) / cell_w, (y0 - top) / cell_h]
        assert found == pytest.approx([column, column + 1, row], abs=0.25)
        assert (y1 - top) / cell_h == pytest.approx(row + 1, abs=0.25)


def test_a_cell_is_drawn_where_its_receptive_field_is_centered() -> None:
    """Also where the first cell is far from the edge, and the picture was widened."""
    where = Geometry(200, 60, 150, CellAxis(30, 7), CellAxis(20, 8))
    maps = np.random.default_rng(0).random((1, 4, 22), dtype=np.float32)
    columns = []
    for image, cell in ((white(150), None), (white(150), (2, 15))):
        values = maps.copy()
        if cell:
            values[0][cell] = np.median(maps)
        columns.append(draw_grid("conv3", values, image, "x", geometry=where))
    left, top, right, bottom = box_of_change(*columns)
    layout = lay_out(1, maps.shape, where)
    scale = layout.tile[0] / 200
    assert (left + right) / 2 - 24 == pytest.approx((30 + 15 * 7) * scale, abs=1)
    assert right - left == pytest.approx(7 * scale, abs=1.5)
    tile_top = columns[0].height - 24 - layout.tile[1]
    assert (top + bottom) / 2 - tile_top == pytest.approx((20 + 2 * 8) * scale, abs=1)


@pytest.mark.parametrize("scale", ["own", "shared"])
def test_dead_channels_have_no_color_and_no_part_in_a_scale(
    monkeypatch: pytest.MonkeyPatch, scale: str
) -> None:
    maps = random_maps()
    (dead,) = set(range(7)) - set(live(maps))
    with written(monkeypatch) as texts:
        canvas = draw(maps, scale)
    assert any(f"1 channel dead: {dead} (constant" in text for text, _ in texts)
    far = maps.copy()
    far[dead] = 1e6
    assert draw(far, scale).tobytes() == canvas.tobytes()
    (place,) = [xy for text, xy in texts if text == str(dead)]
    left, top, right, bottom = tile_of(maps, live(maps)[0], scale)
    width, height = right - left, bottom - top
    x, y = round(place[0]), round(place[1]) + 19
    crossed = cell_colors(canvas, (x, y, x + width, y + height), 3, 4)
    assert is_gray(crossed).all()


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


@pytest.mark.parametrize("scale", ["own", "shared"])
def test_colors_are_those_of_the_scale(scale: str) -> None:
    maps = random_maps()
    low, high = maps.min(), maps.max()
    canvas = draw(maps, scale)
    for channel in live(maps):
        values = maps[channel]
        limits = (low, high) if scale == "shared" else (values.min(), values.max())
        box = tile_of(maps, channel, scale)
        assert_near(cell_colors(canvas, box, 6, 18), viridis(values, *limits))


def test_a_shared_scale_has_a_bar_with_its_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = random_maps()
    figures = [f"{value:.3g}" for value in np.linspace(maps.min(), maps.max(), 5)]
    for scale, has_bar in (("shared", True), ("own", False)):
        with written(monkeypatch) as texts:
            draw(maps, scale)
        said = [text for text, _ in texts]
        assert ("activation, all maps" in said) == has_bar
        assert any(said[i : i + 5] == figures for i in range(len(said))) == has_bar
        assert ("One color scale serves all maps" in " ".join(said)) == has_bar
        assert ("own minimum (dark) to its own maximum" in " ".join(said)) != has_bar


@pytest.mark.parametrize("scale", ["own", "shared"])
@pytest.mark.parametrize(
    ("top", "channels"), [(None, [5, 0, 3]), (None, [4]), (3, None), (99, None)]
)
def test_chosen_channels_are_drawn_in_their_order(
    monkeypatch: pytest.MonkeyPatch, scale: str, top: int | None, channels: list[int] | None
) -> None:
    maps = random_maps()
    strength = [np.abs(values).sum() for values in maps]
    chosen = channels or sorted(range(7), key=lambda channel: -strength[channel])[:top]

    def draw_chosen(values: NDArray[np.float32]) -> Image.Image:
        options = {"scale": scale, "top": top, "channels": channels}
        return spread_grid("conv2", values, white(), "x", **options)

    with written(monkeypatch) as texts:
        canvas = draw_chosen(maps)
    low, high = maps[chosen].min(), maps[chosen].max()
    places = []
    for channel in set(chosen) & set(live(maps)):
        box = box_of_channel(draw_chosen, maps, channel)
        labels = [text for text, (x, y) in texts if x == box[0] and box[1] - 20 <= y < box[1]]
        assert labels == [str(channel)]
        values = maps[channel]
        limits = (low, high) if scale == "shared" else (values.min(), values.max())
        assert_near(cell_colors(canvas, box, 6, 18), viridis(values, *limits))
        places.append((box[1], box[0], chosen.index(channel)))
    assert [number for _, _, number in sorted(places)] == sorted(number for *_, number in places)
    numbers = {text for text, _ in texts} & set("0123456")
    assert numbers >= {str(channel) for channel in chosen}
    assert any(f"{len(chosen)} of 7 channels" in text for text, _ in texts)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_pictures_of_any_mode(mode: str) -> None:
    image = Image.new(mode, (180, 60))
    assert spread_grid("fc1", np.eye(4, dtype=np.float32), image, "x").mode == "RGB"


def test_cells_that_are_left_out_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.random.default_rng(0).random((64, 6, 3000), dtype=np.float32)
    for top, is_cut in ((None, True), (4, False)):
        with written(monkeypatch) as texts:
            first = spread_grid("conv1", maps, white(4000), "x", top=top)
        other = maps.copy()
        strongest = int(np.abs(maps).mean(axis=(1, 2)).argmax())
        other[strongest] = np.flip(maps[strongest])
        left, _, right, _ = box_of_change(
            first, spread_grid("conv1", other, white(4000), "x", top=top)
        )
        said = " ".join(text for text, _ in texts[:5])
        room = f"There is room for 6 rows and {right - left} columns of the cells"
        assert (room in said) == is_cut == ("There is room" in said) == (right - left < 3000)


def test_what_is_no_number_is_gray_and_said(monkeypatch: pytest.MonkeyPatch) -> None:
    maps = np.random.default_rng(0).normal(size=(3, 6, 18)).astype(np.float32)
    maps[2] *= 4
    maps[0] = np.nan
    maps[1, 2, 3], maps[1, 4, 5] = np.nan, -np.inf
    for scale in ("own", "shared"):
        with written(monkeypatch) as texts:
            canvas = draw(maps, scale)
        assert any("2 channels hold NaN or infinity" in text for text, _ in texts)
        finite = maps[1:][np.isfinite(maps[1:])] if scale == "shared" else None
        known = maps[1][np.isfinite(maps[1])] if finite is None else finite
        found = cell_colors(canvas, tile_of(maps, 1, scale), 6, 18)
        broken = ~np.isfinite(maps[1])
        assert is_gray(found[broken]).all()
        expected = viridis(maps[1][~broken], known.min(), known.max())
        assert_near(found[~broken], expected)


@pytest.mark.parametrize(("width", "is_stacked"), [(180, False), (4000, True)])
def test_very_wide_pictures_are_below_each_other(width: int, is_stacked: bool) -> None:
    maps = np.random.default_rng(0).random((4, 6, 18), dtype=np.float32)
    ink = np.zeros((60, width), dtype=np.uint8)
    plain = spread_grid("conv1", maps, white(width), "x", ink=ink)
    black = Image.new("RGB", (width, 60))
    picture = box_of_change(plain, spread_grid("conv1", maps, black, "x", ink=ink))
    network_input = box_of_change(plain, spread_grid("conv1", maps, white(width), "x", ink=~ink))
    assert (picture[0] == network_input[0]) == is_stacked
    assert (picture[1] == network_input[1]) != is_stacked
    assert picture[3] - picture[1] == network_input[3] - network_input[1]
    tiles = box_of_change(
        plain, spread_grid("conv1", np.flip(maps, axis=2), white(width), "x", ink=ink)
    )
    assert max(picture[3], network_input[3]) < tiles[1]
