"""``exprocr visualize --kind architecture``: a picture, and a table of the same figures."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from exprocr.cli import group
from exprocr.cli.visualize import architecture as kind
from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.geometry import LAYERS
from exprocr.core.reading.recognizer import Recognizer
from exprocr.synth import fonts
from exprocr.viz.architecture import page as layout
from exprocr.viz.architecture import profile as profiling
from exprocr.viz.architecture.stages import Profile
from tests.support.pictures import expressions

Visualize = Callable[..., Result]


@pytest.fixture
def visualize(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Visualize:
    """Return a function that runs the command in an empty folder with the tiny model."""
    monkeypatch.chdir(tmp_path)
    plain = next(f for f in fonts.system_font_folders() if "mpl-data" in f.parts)
    monkeypatch.setattr(fonts, "system_font_folders", lambda: [plain])

    monkeypatch.setenv("COLUMNS", "300")  # no cell is folded

    def run(*args: object, model: Path = tiny_model, stdin: bytes = b"") -> Result:
        line = ["visualize", "--kind", "architecture", *args, "--model", model, "--device", "cpu"]
        return CliRunner().invoke(group, [str(arg) for arg in line], input=stdin)

    return run


def set_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the first stage take a second, the second two, and so on."""
    monkeypatch.setattr(profiling, "MAX_SECONDS", 0.0)
    measure = profiling.measure

    def measured(*args: Any) -> Profile:
        real = measure(*args)
        stages = (replace(stage, seconds=i) for i, stage in enumerate(real.stages, start=1))
        return replace(real, stages=tuple(stages))

    monkeypatch.setattr(kind, "measure", measured)


def test_the_command_draws_and_tells(
    visualize: Visualize, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_times(monkeypatch)
    result = visualize("--threads", 1)
    assert result.exit_code == 0, result.stderr
    assert re.search(r"a rendered sample: \S+", result.stderr)
    with Image.open("architecture.png") as picture:
        assert picture.format == "PNG"
        assert picture.width == layout.WIDTH_PX
    table = [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()]
    rows = {row[0]: row[-3:] for row in table}
    assert [name for name in rows if name in LAYERS] == list(LAYERS)
    weights = ModelFile.load(tiny_model).weights
    sizes = dict.fromkeys(LAYERS, 0)
    for name, weight in weights.items():
        if not re.search("running|num_batches", name):
            sizes[name.split(".")[0]] += weight.size
    numbers = {name: [int(n.replace(",", "")) for n in rows[name][:2]] for name in (*LAYERS, "all")}
    assert {name: numbers[name][0] for name in LAYERS} == sizes
    assert numbers["all"] == [sum(numbers[name][i] for name in LAYERS) for i in (0, 1)]
    assert numbers["conv1"][1] == 30 * 90 * 9 * 4  # a 3 x 3 stem of stride 2, 4 channels
    assert rows["input"][-1] == "1 x 60 x 180"
    assert rows["picture"][-1] == "architecture.png"
    assert [rows[name][2] for name in (*LAYERS, "all")] == [
        "3.6%", "7.1%", "10.7%", "14.3%", "17.9%", "21.4%", "25.0%", "28.00 s",
    ]  # fmt: skip


def test_an_image_of_ones_own(
    visualize: Visualize, tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_times(monkeypatch)  # those of the machine would differ
    image = tmp_path / "wide.png"
    expressions()[2].save(image)
    (reading,) = Recognizer.load(tiny_model, device="cpu", threads=1).predict([image])
    result = visualize(image)
    assert result.exit_code == 0, result.stderr
    assert f"{image}: {reading.text}" in result.stderr
    assert "1 x 60 x 240" in result.stdout
    of_file = Path("architecture.png").read_bytes()
    assert visualize("-", stdin=image.read_bytes()).exit_code == 0
    assert Path("architecture.png").read_bytes() == of_file
    visualize()
    assert Path("architecture.png").read_bytes() != of_file
    result = visualize("none.png")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "none.png: expected a picture, found no such file" in result.stderr


def test_where_it_goes_and_what_is_no_model(visualize: Visualize) -> None:
    assert visualize("--output", "deep/a.png").exit_code == 0
    assert Path("deep/a.png").stat().st_size > 1000
    result = visualize(model=Path("none.safetensors"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "none.safetensors" in result.stderr
