"""``exprocr visualize`` of chosen layers and channels: what is drawn, and the figures printed."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray

from exprocr.cli import group
from exprocr.core.image.preprocess import load_image, preprocess
from exprocr.core.model.capture import capture
from exprocr.core.model.geometry import LAYERS
from exprocr.core.model.torch_engine import TorchEngine
from exprocr.core.reading.recognizer import Recognizer

Draw = Callable[..., Result]


@pytest.fixture
def draw(tiny_model: Path, image: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Draw:
    """Return a function that draws feature maps of the image in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*args: object) -> Result:
        line = ["visualize", image, *args, "--model", tiny_model, "--threads", 1]
        return CliRunner().invoke(group, [*map(str, line), "--device", "cpu"])

    return run


def layer_rows(result: Result) -> list[list[str]]:
    """Return the lines of the table of layers, below its header."""
    table = result.stdout.partition("Strength")[0]
    lines = [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()]
    return [line for line in lines if line[0] in LAYERS]


def channel_rows(result: Result) -> list[list[str]]:
    """Return the lines of the table of the channels drawn, below its header."""
    table = result.stdout.partition("Strength")[2]
    lines = [re.split(r"\s{2,}", line.strip()) for line in table.splitlines()]
    return [line for line in lines if line[0] in LAYERS]


@pytest.mark.parametrize(
    ("options", "layers"),
    [
        (["--layer", "gru1", "--layer", "conv1"], ["gru1", "conv1"]),
        (["--layer", "fc2,conv2", "--layer", "conv2,fc2,fc2"], ["fc2", "conv2"]),
        (["--layer", "conv1,conv1"], ["conv1"]),
        (["--layer", "gru2", "--layer", "all,conv1"], list(LAYERS)),
    ],
)
def test_each_layer_counts_once(draw: Draw, options: list[str], layers: list[str]) -> None:
    result = draw(*options)
    assert result.exit_code == 0, result.stderr
    assert [row[0] for row in layer_rows(result)] == layers
    files = {path.name for path in Path().rglob("*.png")}
    assert files == {f"features-{layer}.png" for layer in layers}
    assert Path("features").is_dir() == (len(layers) > 1)


def captured(model: Path, image: Path, *layers: str) -> dict[str, NDArray[np.float32]]:
    """Return what layers put out for an image."""
    recognizer = Recognizer.load(model, engine="torch", device="cpu", threads=1)
    assert isinstance(recognizer.engine, TorchEngine)
    ink = preprocess(load_image(image), recognizer.preprocess)
    return capture(recognizer.engine.network, ink, layers, torch.device("cpu"))


@pytest.mark.parametrize("options", [["--top", 3], ["--channels", "2,0,3"], ["--top", 100]])
def test_the_channels_drawn_and_their_figures(
    draw: Draw, image: Path, tiny_model: Path, options: list[object]
) -> None:
    result = draw("--layer", "conv2,fc2", *options)
    assert result.exit_code == 0, result.stderr
    maps = captured(tiny_model, image, "conv2", "fc2")
    names = ["blank", *"()*+-0123456789"]
    expected = []
    for layer, values in maps.items():
        flat = values.reshape(len(values), -1).astype(np.float64)
        strength = np.abs(flat).mean(axis=1)
        chosen = [2, 0, 3]
        if options[0] == "--top":
            chosen = sorted(range(len(flat)), key=lambda c: -strength[c])[: options[1]]  # type: ignore[index]
        for c in chosen:
            figures = (strength[c], flat[c].min(), flat[c].mean(), flat[c].max())
            dead = ["dead"] if np.ptp(flat[c]) < 1e-6 else []
            name = f"{c}: {names[c]}" if layer == "fc2" else str(c)
            zeros = f"{(flat[c] == 0).mean():.1%}"
            expected.append([layer, name, *(f"{x:.3g}" for x in figures), zeros, *dead])
        (row,) = (row for row in layer_rows(result) if row[0] == layer)
        shown = f"{len(chosen)} of {len(flat)}" if len(chosen) < len(flat) else str(len(flat))
        assert row[1] == shown
    found = channel_rows(result)
    assert found == expected


def test_all_channels_need_no_second_table(draw: Draw) -> None:
    assert "Strength" not in draw("--layer", "conv1", "--scale", "shared").stdout


def test_chosen_channels_and_scales_change_the_picture(draw: Draw) -> None:
    options: tuple[tuple[object, ...], ...] = (
        (),
        ("--scale", "shared"),
        ("--channels", "0,1"),
        ("--channels", "1,0"),
        ("--top", 1),
    )
    for number, more in enumerate(options):
        draw("--layer", "conv1", *more, "--output", f"{number}.png")
    assert len({path.read_bytes() for path in Path().iterdir()}) == len(options)
    draw("--layer", "conv1", "--scale", "own", "--output", "own.png")
    assert Path("own.png").read_bytes() == Path("0.png").read_bytes()


@pytest.mark.parametrize(
    ("layers", "channels", "message"),
    [
        ("conv1", "4", "conv1 has 4 channels, 0 to 3; found 4"),
        ("conv1", "7,1,99", "conv1 has 4 channels, 0 to 3; found 7, 99"),
        ("gru1,conv2", "5", "conv2 has 4 channels, 0 to 3; found 5"),
        ("fc2", "15,16", "fc2 has 16 units, 0 to 15; found 16"),
    ],
)
def test_channels_that_are_not_there(draw: Draw, layers: str, channels: str, message: str) -> None:
    result = draw("--layer", layers, "--channels", channels)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.splitlines()[-1] == f"exprocr: --channels: {message}"
    assert not list(Path().iterdir())  # no layer is drawn
