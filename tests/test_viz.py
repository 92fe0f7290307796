"""Feature maps against the modules run by hand, drawings and curves against crafted figures."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.core.config import PRESETS, ConvModuleConfig, ModelConfig
from exprocr.core.geometry import LAYERS, CellAxis
from exprocr.core.journal import read_records
from exprocr.core.model import Network
from exprocr.core.preprocess import PreprocessConfig, preprocess
from exprocr.errors import ConfigError, DataError, OutputError
from exprocr.viz import drawing
from exprocr.viz.capture import capture
from exprocr.viz.curves import draw_curves, moving_average
from exprocr.viz.features import draw_grid, feature_stats
from exprocr.viz.geometry import Geometry, geometry_of
from exprocr.viz.picture import save_picture

CPU = torch.device("cpu")
CONFIG = ModelConfig(
    conv1=ConvModuleConfig(kernel_sizes=(5,), channels=(4,), strides=(2,), pool=(1, 1)),
    conv2=ConvModuleConfig(kernel_sizes=(3,), channels=(6,), strides=(1,)),
    conv3=ConvModuleConfig(kernel_sizes=(3,), channels=(8,), strides=(1,), pool=(2, 1)),
    fc1_units=7,
    gru_units=5,
)
YELLOW = (253, 231, 36)  # the light end of viridis


@pytest.fixture
def network() -> Network:
    torch.manual_seed(0)
    return Network(CONFIG, 60, 16)


@pytest.fixture
def picture() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (60, 180), dtype=np.uint8)


def white(width: int = 180, height: int = 60) -> Image.Image:
    return Image.new("RGB", (width, height), "white")


def test_capture_equals_the_modules_run_by_hand(
    network: Network, picture: NDArray[np.uint8]
) -> None:
    maps = capture(network, picture, LAYERS, CPU)
    assert list(maps) == list(LAYERS)
    network.eval()
    with torch.no_grad():
        values = torch.tensor(picture[None, None].astype(np.float32) / 255)
        for layer in LAYERS:
            values = getattr(network, layer)(values)
            expected = values[0] if layer.startswith("conv") else values[:, 0].T
            np.testing.assert_allclose(maps[layer], expected.numpy(), rtol=1e-4, atol=1e-5)
    assert [maps[layer].shape for layer in LAYERS] == [
        (4, 30, 90), (6, 15, 45), (8, 8, 45), (7, 45), (10, 45), (10, 45), (16, 45),
    ]  # fmt: skip


def test_capture_leaves_no_hooks_and_the_mode(network: Network, picture: NDArray[np.uint8]) -> None:
    network.train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    capture(network, picture, ["conv2", "conv2"], CPU)
    with pytest.raises(RuntimeError):
        capture(network, picture[:40], ["conv1", "fc1"], CPU)  # other height than fc1 expects
    assert network.training
    assert not any(module._forward_hooks for module in network.modules())
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())


def test_unknown_layer_names_those_there_are(network: Network, picture: NDArray[np.uint8]) -> None:
    with pytest.raises(ConfigError, match=r"conv4.*'conv3'.*conv1, conv2, conv3, fc1, gru1"):
        capture(network, picture, ["conv1", "conv4"], CPU)
    with pytest.raises(ConfigError, match="conv4"):
        geometry_of("conv4", (180, 60), CONFIG, PreprocessConfig())


def test_dead_channels_are_found(network: Network, picture: NDArray[np.uint8]) -> None:
    convolution = network.conv3[0]
    assert isinstance(convolution, torch.nn.Conv2d)
    with torch.no_grad():
        convolution.weight[[2, 5]] = 0
    stats = feature_stats("conv3", capture(network, picture, ["conv3"], CPU)["conv3"])
    assert stats.num_channels == 8
    assert stats.dead == [2, 5]


def test_stats() -> None:
    maps = np.array([[[1, 2], [3, 6]], [[4, 4], [4, 4 + 5e-7]]], dtype=np.float32)
    stats = feature_stats("conv1", maps)
    assert stats.shape == (2, 2, 2)
    assert stats.minimum.tolist() == [1, 4]
    assert stats.maximum[0] == 6
    assert stats.mean[0] == 3
    assert stats.dead == [1]


def one_channel(module: ConvModuleConfig) -> ConvModuleConfig:
    return replace(module, channels=(1,) * len(module.channels))


@pytest.mark.parametrize("preset", ["default", "reference"])
@pytest.mark.parametrize("layer", ["conv1", "conv2", "conv3"])
def test_a_cell_is_centred_on_the_pixels_it_depends_on(preset: str, layer: str) -> None:
    full, height, width = PRESETS[preset].model, 120, 200
    stages = [stage for stage in LAYERS[:3] if stage <= layer]
    config = replace(
        full,
        conv1=one_channel(full.conv1),
        conv2=one_channel(full.conv2),
        conv3=one_channel(full.conv3),
    )
    network = Network(config, height, 3).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.ones_(module.weight)
    geometry = geometry_of(layer, (width, height), config, PreprocessConfig(height=height))
    for axis, where in ((0, geometry.rows), (1, geometry.columns)):
        # Picture i is black but for its row (or column) i; the last one is all black.
        lines = torch.eye((height, width)[axis] + 1)[:, :-1, None]
        pictures = (lines if axis == 0 else lines.mT).expand(-1, height, width)
        with torch.no_grad():
            values = pictures[:, None]
            for stage in stages:
                values = getattr(network, stage)(values)
        row, column = values.shape[2] // 2, values.shape[3] // 2
        cell = values[:, 0, row, column]
        seen = torch.nonzero(cell[:-1] > cell[-1] + 1e-6).flatten()
        centre = (int(seen[0]) + int(seen[-1]) + 1) / 2
        assert centre == where.centre((row, column)[axis])


def test_geometry_knows_the_widened_part() -> None:
    geometry = geometry_of("conv3", (170, 60), CONFIG, PreprocessConfig(width_multiple=100))
    assert (geometry.width, geometry.height, geometry.picture_width) == (200, 60, 170)
    ink = preprocess(white(170), PreprocessConfig(width_multiple=100))
    assert ink.shape == (60, 200)


def boxes_of(image: Image.Image, colour: tuple[int, int, int]) -> list[tuple[int, int, int, int]]:
    """Return the boxes of rectangles of a colour: left, top, right, bottom, by rows."""
    mask = (np.asarray(image) == colour).all(axis=2)
    boxes = []
    while mask.any():
        y, x = divmod(int(mask.argmax()), mask.shape[1])
        right = x + int(np.argmin(np.append(mask[y, x:], False)))
        bottom = y + int(np.argmin(np.append(mask[y:, x], False)))
        mask[y:bottom, x:right] = False
        boxes.append((x, y, right, bottom))
    return boxes


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


def test_each_live_channel_has_a_tile_and_dead_ones_have_no_colour() -> None:
    maps = np.zeros((11, 5, 15), dtype=np.float32)
    maps[:, 2, 7] = 1
    maps[3] = 7
    canvas = spread_grid("conv1", maps, white(), "")
    assert len(boxes_of(canvas, YELLOW)) == 10
    alive = spread_grid("conv1", np.delete(maps, 3, axis=0), white(), "")
    assert len(boxes_of(alive, YELLOW)) == 10
    grey = np.asarray(canvas.convert("L"))
    assert (grey == 236).sum() > 1000  # the crossed-out tile, which is no viridis in grey either
    assert (np.asarray(alive.convert("L")) == 236).sum() < 100


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
    # The colour bar has a line of the same yellow; the cell is the larger one.
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


def test_widened_part_is_hatched() -> None:
    maps = np.random.default_rng(0).random((4, 6, 20)).astype(np.float32)
    geometry = Geometry(200, 60, 100, CellAxis(5, 10), CellAxis(5, 10))
    red = Image.new("RGB", (100, 60), "red")
    pixels = np.asarray(draw_grid("conv1", maps, red, "x", geometry=geometry))
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
    ],
)
def test_sizes_are_bounded(shape: tuple[int, ...], size: tuple[int, int]) -> None:
    maps = np.random.default_rng(0).random(shape, dtype=np.float32)
    ink = np.zeros((60, size[0]), dtype=np.uint8)
    canvas = spread_grid("conv1", maps, white(*size), "1+1" * 200, ink=ink)
    assert max(canvas.size) <= 4000
    assert min(canvas.size) >= 200


@pytest.mark.parametrize(("num", "aspect"), [(16, 3.0), (64, 3.0), (512, 3.0), (512, 30.0)])
def test_tiles_are_wide_enough_and_fit(num: int, aspect: float) -> None:
    page = (3900, 3600)
    columns, width, height = drawing.tile_layout(num, aspect, (14, 34), [(1500, 770), page])
    assert width >= 120
    assert height >= 16
    assert columns * (width + 14) - 14 <= page[0]
    assert -(-num // columns) * (height + 34) - 34 <= page[1]


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "CMYK", "I;16", "F"])
def test_pictures_of_any_mode(mode: str) -> None:
    image = Image.new(mode, (180, 60))
    assert spread_grid("fc1", np.eye(4, dtype=np.float32), image, "x").mode == "RGB"


def test_not_a_number_is_drawn() -> None:
    maps = np.full((2, 3, 4), np.nan, dtype=np.float32)
    assert feature_stats("conv1", maps).dead == [0, 1]
    spread_grid("conv1", maps, white(), "x")
    spread_grid("fc1", maps[0], white(), "x")


def test_save_picture(tmp_path: Path) -> None:
    image = Image.fromarray(np.random.default_rng(0).integers(0, 255, (9, 8, 3), dtype=np.uint8))
    save_picture(image, tmp_path / "new" / "picture.any")
    with Image.open(tmp_path / "new" / "picture.any") as read:
        assert read.format == "PNG"
        assert read.tobytes() == image.tobytes()
    with pytest.raises(OutputError, match="found a folder"):
        save_picture(image, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


def step(number: int, loss: float) -> dict[str, Any]:
    return {"kind": "step", "step": number, "epoch": 1, "loss": loss, "learning_rate": 1e-3}


def evaluation(number: int, quality: float) -> dict[str, Any]:
    errors = ("val_loss", "val_normalized_edit_distance", "val_cer")
    figures = dict.fromkeys(errors, 1 - quality) | {"val_exact_match": quality}
    figures |= {"train_loss": 1.5, "train_exact_match": 0.95}
    return {"kind": "evaluation", "step": number, "epoch": 1, **figures}


@pytest.mark.parametrize(
    "records",
    [
        [],
        [step(1, 20.0)],
        [step(n, 20 / n) for n in range(1, 500)],
        [evaluation(0, 0.0)],
        [step(1, 20.0), evaluation(1, 1.0)],
        [step(1, 0.0), {**evaluation(1, 0.5), "train_exact_match": None}],
        [*[step(n, 20 / n) for n in range(1, 400)], evaluation(200, 0.4), evaluation(400, 0.9)],
        [{"kind": "note"}, step(1, float("nan"))],
    ],
)
def test_curves_of_any_number_of_records(records: list[dict[str, Any]], tmp_path: Path) -> None:
    path = tmp_path / "curves.png"
    save_picture(draw_curves(records), path)
    with Image.open(path) as image:
        image.load()
        assert image.format == "PNG"
        assert 1000 <= image.width <= 2000
        assert 300 <= image.height <= 1000


def test_curves_show_what_is_in_the_records(tmp_path: Path) -> None:
    """Another validation figure changes the panels that show it, and no other."""
    panels = []
    for quality in (0.2, 0.8):
        save_picture(
            draw_curves([evaluation(10, 0.5), evaluation(20, quality)]), tmp_path / "curves.png"
        )
        with Image.open(tmp_path / "curves.png") as image:
            panels.append(np.array(image.convert("L")))
    changed = np.argwhere(panels[0] != panels[1])[:, 1] * 3 // panels[0].shape[1]
    assert set(changed.tolist()) == {0, 1, 2}
    save_picture(draw_curves([step(1, 3.0)]), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        one = np.array(image.convert("L"))
    save_picture(draw_curves([step(1, 300.0)]), tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        other = np.array(image.convert("L"))
    changed = np.argwhere(one[100:420] != other[100:420])[:, 1]
    assert changed.size
    assert changed.max() < one.shape[1] / 3


def test_moving_average() -> None:
    values = np.random.default_rng(0).random(20)
    expected = [values[i : i + 4].mean() for i in range(17)]
    np.testing.assert_allclose(moving_average(values, 4), expected)


def test_metrics_with_a_truncated_last_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    records = [step(1, 2.0), evaluation(1, 0.5)]
    text = "".join(json.dumps(record) + "\n" for record in records)
    path.write_text(text + '{"kind": "step", "st', encoding="utf-8")
    assert read_records(path) == records
    path.write_text('{"kind"\n' + text, encoding="utf-8")
    with pytest.raises(DataError, match="line 1: expected a JSON object"):
        read_records(path)
    with pytest.raises(DataError, match="cannot be read"):
        read_records(tmp_path / "none.jsonl")


def test_the_middle_of_a_symmetric_colour_bar_is_0(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []
    draw_text = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, place: object, text: str, **options: Any) -> None:
        texts.append(text)
        draw_text(self, place, text, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    maps = np.linspace(-1, 1.0000004, 60 * 20, dtype=np.float32).reshape(60, 20)
    spread_grid("gru1", maps, white(), "x")
    assert texts[-5:] == ["1", "0.5", "0", "-0.5", "-1"]
    assert any("One colour scale serves all units." in line for line in texts)
