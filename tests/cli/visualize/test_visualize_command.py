"""``exprocr visualize``: a picture for each layer, where it goes, and what cannot be drawn."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from exprocr.cli import group
from exprocr.core.model.geometry import LAYERS
from exprocr.core.reading.recognizer import Recognizer
from exprocr.synth import fonts

MATPLOTLIB = next(f for f in fonts.system_font_folders() if "mpl-data" in f.parts)

Visualize = Callable[..., Result]


@pytest.fixture
def visualize(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Visualize:
    """Return a function that runs the command in an empty folder with the tiny model."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    # Few fonts: those of the system are many.
    monkeypatch.setattr(fonts, "system_font_folders", lambda: [MATPLOTLIB])

    def run(*args: object, model: Path = tiny_model, stdin: bytes = b"") -> Result:
        line = ["visualize", *args, "--model", model, "--threads", 1, "--device", "cpu"]
        return CliRunner().invoke(group, [str(arg) for arg in line], input=stdin)

    return run


def check_grid(path: Path) -> Image.Image:
    """Check that a file is a PNG that shows something; return it."""
    with Image.open(path) as picture:
        picture.load()
    assert picture.format == "PNG"
    assert min(picture.size) > 100
    assert max(picture.size) <= 4000
    assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    return picture


def rows(result: Result) -> list[list[str]]:
    """Return the lines of the table below its header."""
    lines = [re.split(r"\s{2,}| (?=features)", line.strip()) for line in result.stdout.splitlines()]
    return [line for line in lines if line[0] in LAYERS]


def one_error(result: Result) -> str:
    """Check that a command ended with exit code 1 and one line of error; return it."""
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("exprocr: ")]
    return line.removeprefix("exprocr: ")


@pytest.mark.parametrize("layer", LAYERS)
def test_each_layer(visualize: Visualize, image: Path, layer: str) -> None:
    result = visualize(image, "--layer", layer)
    assert result.exit_code == 0, result.stderr
    check_grid(Path(f"features-{layer}.png"))
    assert [path.name for path in Path().iterdir()] == [f"features-{layer}.png"]
    assert [row[0] for row in rows(result)] == [layer]
    assert f"features-{layer}.png" in result.stdout


def test_conv3_if_left_out(visualize: Visualize, image: Path) -> None:
    assert visualize(image).exit_code == 0
    check_grid(Path("features-conv3.png"))


@pytest.mark.parametrize("output", [None, "deep/folder"])
def test_all_layers(visualize: Visualize, image: Path, output: str | None) -> None:
    result = visualize(image, "--layer", "all", *(["--output", output] if output else []))
    assert result.exit_code == 0, result.stderr
    folder = Path(output or "features")
    assert {path.name for path in folder.iterdir()} == {f"features-{name}.png" for name in LAYERS}
    drawn = {check_grid(path).tobytes() for path in folder.iterdir()}
    assert len(drawn) == len(LAYERS)
    table = rows(result)
    assert [row[0] for row in table] == list(LAYERS)
    assert [int(row[1]) for row in table] == [4, 4, 4, 16, 16, 16, 16]  # channels or units


def test_all_layers_are_the_single_ones(visualize: Visualize, image: Path) -> None:
    visualize(image, "--layer", "all")
    visualize(image, "--layer", "gru1", "--output", "one.png")
    assert Path("one.png").read_bytes() == Path("features/features-gru1.png").read_bytes()


def test_output_place(visualize: Visualize, image: Path) -> None:
    result = visualize(image, "--layer", "conv1", "--output", "a/b/grid.png")
    assert result.exit_code == 0
    check_grid(Path("a/b/grid.png"))
    assert "a/b/grid.png" in result.stdout


def test_says_what_the_model_reads(visualize: Visualize, image: Path, tiny_model: Path) -> None:
    (reading,) = Recognizer.load(tiny_model, device="cpu", threads=1).predict([image])
    result = visualize(image, "--layer", "fc2")
    assert f"{image}: {reading.text}" in result.stderr


def test_without_an_image_a_sample_is_rendered(visualize: Visualize) -> None:
    result = visualize("--output", "a.png")
    assert result.exit_code == 0, result.stderr
    assert "rendered sample" in result.stderr
    check_grid(Path("a.png"))
    visualize("--output", "b.png")
    visualize("--output", "c.png", "--seed", 7)
    same, again, other = (Path(f"{name}.png").read_bytes() for name in "abc")
    assert same == again != other


def test_standard_input(visualize: Visualize, image: Path) -> None:
    assert visualize("-", "--output", "in.png", stdin=image.read_bytes()).exit_code == 0
    visualize(image, "--output", "file.png")
    assert Path("in.png").read_bytes() == Path("file.png").read_bytes()


@pytest.mark.parametrize("content", [b"", b"7+5\n"])
def test_standard_input_that_is_no_image(visualize: Visualize, content: bytes) -> None:
    message = one_error(visualize("-", stdin=content))
    assert message.startswith("standard input: expected a picture")


@pytest.mark.parametrize("layer", ["conv4", "CONV1", "", "conv1 ", "fc"])
def test_an_unknown_layer_names_those_there_are(
    visualize: Visualize, image: Path, layer: str
) -> None:
    # Said before the model is loaded, which may take long.
    message = one_error(visualize(image, "--layer", layer, model=Path("none.safetensors")))
    assert "unknown layer" in message
    assert ", ".join(LAYERS) in message
    assert not list(Path().iterdir())


def test_unreadable_images(visualize: Visualize, tmp_path: Path) -> None:
    cut, wide = tmp_path / "cut.png", tmp_path / "wide.png"
    cut.write_bytes(b"\x89PNG\r\n\x1a\n")
    Image.new("L", (2000, 3)).save(wide)
    for path, found in (
        (tmp_path / "none.png", "found no such file"),
        (tmp_path, "found a folder"),
        (cut, "found"),
        (wide, "found 2000 x 3 px"),
    ):
        message = one_error(visualize(path))
        assert message.startswith(f"{path}: expected a")
        assert found in message
    assert not list(Path().iterdir())


def test_an_output_that_cannot_be_written(visualize: Visualize, image: Path) -> None:
    for options in (["--output", image / "x.png"], ["--layer", "all", "--output", image / "x"]):
        assert "cannot be written" in one_error(visualize(image, *options))
    Path("folder").mkdir()
    assert one_error(visualize(image, "--output", "folder")).startswith("folder: ")
    assert [path.name for path in Path().iterdir()] == ["folder"]


def test_a_file_that_is_no_model(visualize: Visualize, image: Path) -> None:
    assert str(image) in one_error(visualize(image, model=image))


@pytest.mark.parametrize(("mode", "size"), [("RGBA", (37, 21)), ("L", (700, 40)), ("1", (9, 90))])
def test_images_of_other_sizes(
    visualize: Visualize, tmp_path: Path, mode: str, size: tuple[int, int]
) -> None:
    path = tmp_path / "odd.png"
    Image.new(mode, size).save(path)
    assert visualize(path, "--layer", "conv2").exit_code == 0
    assert visualize(path, "--layer", "gru2").exit_code == 0
    assert len(list(Path().iterdir())) == 2


def test_as_a_process(image: Path, tiny_model: Path, tmp_path: Path) -> None:
    line = ["visualize", "-", "--layer", "conv1", "--model", str(tiny_model), "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "exprocr", *line],
        input=image.read_bytes(),
        capture_output=True,
        timeout=120,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    assert b"Traceback" not in done.stderr
    check_grid(tmp_path / "features-conv1.png")
