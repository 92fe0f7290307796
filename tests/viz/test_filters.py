"""The kernels of the first convolution: grays, places and figures against the tensor."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from numpy.typing import NDArray
from PIL import Image

from exprocr.cli import group
from exprocr.core.model.artifact import ModelFile, load_tensors
from exprocr.viz.canvas import drawing
from exprocr.viz.filters import draw_filters, kernel_stats, lay_out
from tests.support.feature_maps import Box, cell_colors, is_gray, written


def kernels(num: int = 16, size: int = 5) -> NDArray[np.float32]:
    """Return kernels of very different weights, not about 0."""
    rng = np.random.default_rng(0)
    scales = 10.0 ** rng.uniform(-3, 2, (num, 1, 1))
    return ((rng.normal(size=(num, size, size)) + 0.2) * scales).astype(np.float32)


def grays_of(kernel: NDArray[np.float32]) -> list[list[int]]:
    """Return the weights' grays: 128 is 0, 255 the greatest absolute weight, 1 its negative."""
    greatest = max(abs(weight) for weight in kernel.flatten().tolist())
    return [[round(128 + 127 * weight / greatest) for weight in row] for row in kernel.tolist()]


Texts = list[tuple[str, tuple[float, float]]]


def drawn(
    weights: NDArray[np.float32], monkeypatch: pytest.MonkeyPatch
) -> tuple[Image.Image, list[Box], Texts]:
    """Draw kernels; return the picture, where its tiles are by the first label, and all texts."""
    with written(monkeypatch) as texts:
        canvas = draw_filters(weights, "The title", "The subtitle.")
    layout = lay_out(*weights.shape[:2])
    (first,) = [round(y) - 1 for text, (x, y) in texts if (text, x) == ("0", 24)]
    return canvas, [layout.box(index, first) for index in range(len(weights))], texts


@pytest.mark.parametrize(("num", "size"), [(1, 1), (3, 3), (16, 5), (40, 9), (512, 3), (20, 99)])
def test_every_weight_has_its_gray(num: int, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = kernels(num, size)
    canvas, tiles, _ = drawn(weights, monkeypatch)
    pixels = np.asarray(canvas)
    places = [(top, left) for left, top, _, _ in tiles]
    assert places == sorted(places)  # by number, row after row
    for kernel, (left, top, right, bottom) in zip(weights, tiles, strict=True):
        side = (right - left) // size
        assert right - left == bottom - top == side * size
        enlarged = np.kron(grays_of(kernel), np.ones((side, side)))
        tile = pixels[top:bottom, left:right]
        assert is_gray(tile).all()
        assert np.abs(tile[..., 0] - enlarged).max() <= 1


def test_the_bar_explains_the_grays(monkeypatch: pytest.MonkeyPatch) -> None:
    canvas, _, texts = drawn(kernels(), monkeypatch)
    said = [text for text, _ in texts]
    start = said.index("weight")
    ends = ["- greatest |weight|", "0", "+ greatest |weight|"]
    assert said[start + 1 : start + 4] == ends
    x, y = texts[start][1]  # its name stands above it
    pixels = np.asarray(canvas)[round(y) + 16, round(x) : round(x) + 320, 0].astype(int)
    assert (pixels[0], pixels[-1]) == (1, 255)
    assert pixels[160] in (127, 128, 129)
    assert (np.diff(pixels) >= 0).all()


def test_labels_are_number_norm_and_range(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = kernels()
    _, tiles, texts = drawn(weights, monkeypatch)
    for number, (kernel, box) in enumerate(zip(weights, tiles, strict=True)):
        near = {
            text
            for text, (x, y) in texts
            if box[0] - 3 <= x <= box[2] + 3 and box[1] - 22 < y < box[3] + 10
        }
        norm = np.linalg.norm(kernel.astype(np.float64))
        extent = f"{kernel.min():.3g} to {kernel.max():.3g}"
        assert near == {str(number), f"norm {norm:.3g}", extent}
    assert texts[0][0] == "The title"
    subtitle = " ".join(text for text, _ in texts[1:4])
    assert "16 kernels of 5 x 5 weights; none dead." in subtitle
    assert "The subtitle." in subtitle


@pytest.mark.parametrize("num", [1, 2, 17, 64, 512, 4096])
@pytest.mark.parametrize("size", [1, 3, 5, 31, 99])
def test_any_number_of_any_size_fits(num: int, size: int) -> None:
    layout = lay_out(num, size)
    left, top, right, bottom = layout.box(num - 1, 280)
    assert layout.num_columns * layout.cell[0] + 48 - 14 <= 4000
    assert bottom + 20 + 24 <= 4000
    assert layout.num_columns * -(-num // layout.num_columns) >= num
    assert right - left == bottom - top == layout.side >= min(32, size)
    assert layout.side == layout.pixels * -(-size // layout.stride)
    boxes = [layout.box(index, 280) for index in range(num)]
    assert len({box[:2] for box in boxes}) == num
    assert max(box[2] for box in boxes) <= 4000 - 24
    if num <= 512:
        assert (layout.stride, layout.num_lines) == (1, 2)


def test_a_stride_is_drawn_as_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(drawing, "MAX_SIDE_PX", 1000)
    weights = np.zeros((190, 99, 99), dtype=np.float32)
    weights[:, 3, 6] = 1
    weights[:, 4, 6] = -1  # between two rows that are drawn
    canvas, tiles, texts = drawn(weights, monkeypatch)
    assert max(canvas.size) <= 1000
    assert lay_out(190, 99).stride == 3
    assert "one in 3 rows and columns of weights" in " ".join(text for text, _ in texts[:6])
    left, top, right, bottom = tiles[0]
    tile = np.asarray(canvas)[top:bottom, left:right, 0]
    assert tile.shape == (33, 33)
    assert np.argwhere(tile != 128).tolist() == [[1, 2]]
    assert tile[1, 2] == 255


def test_dead_kernels_are_crossed_out_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = kernels(9)
    norms = np.sqrt((weights.astype(np.float64) ** 2).sum(axis=(1, 2)))
    strongest = int(norms.argmax())
    dead, weak = [n for n in range(9) if n != strongest][2:4]
    weights[dead] *= np.float32(0.9e-6 * norms[strongest] / norms[dead])
    weights[weak] *= np.float32(1.1e-6 * norms[strongest] / norms[weak])
    weights[8 if strongest != 8 else 7] = 0
    expected = sorted({dead, 8 if strongest != 8 else 7})
    assert kernel_stats(weights).dead == expected
    canvas, tiles, texts = drawn(weights, monkeypatch)
    for number, (left, top, right, bottom) in enumerate(tiles):
        tile = np.asarray(canvas)[top:bottom, left:right, 0]
        # A cross is its own mirror image, and has a color and a background.
        is_dead = len(np.unique(tile)) == 2 and np.mean(tile == tile[:, ::-1]) > 0.95
        assert is_dead == (number in expected)
    which = ", ".join(map(str, expected))
    assert any(f"2 dead: {which} (no weight; crossed out)" in text for text, _ in texts)
    assert [text for text, _ in texts].count("dead") == 2


@pytest.mark.parametrize("broken", [np.nan, np.inf])
def test_what_is_no_number_is_crossed_out(broken: float) -> None:
    weights = kernels(4)
    weights[1, 0, 0] = broken
    assert kernel_stats(weights).dead == [1]
    draw_filters(weights, "Kernels", "")
    weights[:] = broken
    assert kernel_stats(weights).dead == [0, 1, 2, 3]
    draw_filters(weights, "Kernels", "")
    weights[:] = 0
    assert kernel_stats(weights).dead == [0, 1, 2, 3]
    assert kernel_stats(weights).share.tolist() == [0] * 4
    draw_filters(weights, "Kernels", "")


def test_the_command(tiny_model: Path, tmp_path: Path) -> None:
    weights = load_tensors(tiny_model, "exprocr")[0]["conv1.0.weight"][:, 0]
    path = tmp_path / "kernels.png"
    line = ["visualize", "--kind", "filters", "--model", tiny_model, "--output", path]
    result = CliRunner().invoke(group, [*map(str, line), "--device", "cpu", "--threads", "1"])
    assert result.exit_code == 0, result.stderr
    rows = [line.split() for line in result.stdout.splitlines() if re.match(r" *\d", line)]
    norms = np.sqrt((weights.astype(np.float64) ** 2).sum(axis=(1, 2)))
    for number, (row, kernel) in enumerate(zip(rows, weights, strict=True)):
        norm = norms[number]
        figures = (kernel.astype(np.float64).mean(), kernel.min(), kernel.max())
        expected = [f"{norm:.3g}", f"{norm / norms.sum():.1%}", *(f"{v:.3g}" for v in figures)]
        assert row == [str(number), *expected]
    assert "4 of 3 x 3" in result.stdout
    assert path.name in result.stdout.replace("\n", "")
    layout = lay_out(*weights.shape[:2])
    with Image.open(path) as picture:
        # The last label is above the lower margin.
        top = picture.height - layout.box(len(weights) - 1, 0)[3] - 20 - 24
        for index, kernel in enumerate(weights):
            found = cell_colors(picture, layout.box(index, top), 3, 3)[..., 0].astype(int)
            assert np.abs(found - grays_of(kernel)).max() <= 1


def test_the_command_takes_the_model_of_a_run(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    ModelFile.load(tiny_model).save(tmp_path / "run" / "model.safetensors")
    pictures: list[bytes] = []
    for source in (["--run", tmp_path / "run"], ["--model", tiny_model]):
        path = tmp_path / f"{len(pictures)}.png"
        line = ["visualize", "--kind", "filters", *source, "--output", path, "--device", "cpu"]
        result = CliRunner().invoke(group, [str(argument) for argument in line])
        assert result.exit_code == 0, result.stderr
        pictures.append(path.read_bytes())
    assert pictures[0] == pictures[1]
