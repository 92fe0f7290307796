"""``exprocr visualize --kind alignment``: the figures are the recognizer's."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image, ImageDraw

from exprocr.cli import group
from exprocr.core.model.artifact import ModelFile
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.expression import format_value

Align = Callable[..., Result]


@pytest.fixture
def warm_model(tiny_model: Path, tmp_path: Path) -> Path:
    """Return the tiny model with a temperature."""
    path = tmp_path / "warm.safetensors"
    replace(ModelFile.load(tiny_model), temperature=1.7).save(path)
    return path


@pytest.fixture
def align(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Align:
    """Return a function that runs the command in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "300")

    def run(*args: object, model: Path | None = tiny_model, stdin: bytes = b"") -> Result:
        line = ["visualize", *args, "--kind", "alignment", "--threads", 1, "--device", "cpu"]
        line += ["--model", model] if model else []
        return CliRunner().invoke(group, [str(arg) for arg in line], input=stdin)

    return run


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
    assert picture.format == "PNG"
    return picture.size


def tables(result: Result) -> list[list[list[str]]]:
    """Return the tables of the output: rows of cells."""
    blocks = re.split(r"\n\s*\n", result.stdout.strip("\n"))
    return [[re.split(r"\s{2,}", line.strip()) for line in block.splitlines()] for block in blocks]


def test_the_table_is_what_is_read(align: Align, image: Path, warm_model: Path) -> None:
    result = align(image, model=warm_model)
    assert result.exit_code == 0, result.stderr
    assert min(size_of(Path("alignment.png"))) > 500
    recognizer = Recognizer.load(warm_model, device="cpu", threads=1, n_best=5)
    (reading,) = recognizer.predict([image])
    assert len(reading.alternatives) == 5
    assert f"{image}: {reading.text}" in result.stderr
    characters, texts, summary = tables(result)
    assert len(reading.characters) > 1
    assert len(characters) - 2 == len(reading.characters)
    for row, one in zip(characters[2:], reading.characters, strict=True):
        first, last = one.frames
        assert row[:4] == [
            one.text, str(one.x), ", ".join(map(str, one.box)),
            str(first) if first == last else f"{first} to {last}",
        ]  # fmt: skip
        assert float(row[4]) == pytest.approx(one.probability, abs=1e-4)
        assert row[5] == (one.alternative or "(none)")
        assert float(row[6]) == pytest.approx(one.alternative_probability, rel=0.01)
    assert texts[0] == ["Most probable texts"]
    for row, other in zip(texts[3:], reading.alternatives, strict=True):
        assert row[0] == (other.text or "(nothing)")
        assert row[1:-1] == [format_value(other.value)] * (other.value is not None)
        assert float(row[-1]) == pytest.approx(other.probability, rel=0.01)
    facts = dict(row[-2:] for row in summary[1:])
    listed = sum(other.probability for other in reading.alternatives)
    assert float(facts["all other texts of the grammar"]) == pytest.approx(
        reading.grammar_mass - listed, abs=2e-3
    )
    assert facts["temperature"] == "1.7"
    assert facts["picture"] == "alignment.png"


def test_a_run_and_a_place(align: Align, image: Path, tiny_model: Path) -> None:
    run = Path("run")
    run.mkdir()
    (run / "model.safetensors").write_bytes(tiny_model.read_bytes())
    assert align(image, "--run", run, "--output", "a/b.png", model=None).exit_code == 0
    assert align(image).exit_code == 0
    assert Path("a/b.png").read_bytes() == Path("alignment.png").read_bytes()


def test_standard_input(align: Align, image: Path) -> None:
    assert align("-", stdin=image.read_bytes()).exit_code == 0
    size_of(Path("alignment.png"))


@pytest.mark.parametrize("size", [(4000, 60), (9, 90), (61, 60)])
def test_pictures_of_other_sizes(align: Align, tmp_path: Path, size: tuple[int, int]) -> None:
    picture = Image.new("L", size, 255)
    ImageDraw.Draw(picture).rectangle((2, 10, 5, 50), fill=0)
    picture.save(tmp_path / "odd.png")
    result = align(tmp_path / "odd.png")
    assert result.exit_code == 0, result.stderr
    assert max(size_of(Path("alignment.png"))) <= 4000


def test_a_reading_of_nothing(align: Align, image: Path, tiny_model: Path, tmp_path: Path) -> None:
    model = ModelFile.load(tiny_model)
    weights = {name: values.copy() for name, values in model.weights.items()}
    weights["fc2.bias"][0] += 1000  # the blank everywhere
    replace(model, weights=weights, grammar="none").save(tmp_path / "blank.safetensors")
    result = align(image, model=tmp_path / "blank.safetensors")
    assert result.exit_code == 0, result.stderr
    assert "(nothing)" in result.stderr
    characters, texts, _ = tables(result)
    assert len(characters) == 2  # nothing below the header
    assert texts[3][0] == "(nothing)"
    size_of(Path("alignment.png"))


def test_what_goes_wrong_takes_one_line(align: Align, image: Path, tiny_model: Path) -> None:
    for args, options, found in (
        (["none.png"], {}, "none.png: expected a picture, found no such file"),
        ([image], {"model": image}, str(image)),
        ([image, "--output", image / "x.png"], {}, "cannot be written"),
    ):
        result = align(*args, **options)
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("exprocr: ")]
        assert found in line
    model = ModelFile.load(tiny_model)
    weights = {name: values.copy() for name, values in model.weights.items()}
    weights["fc2.bias"][3] = np.nan  # a network that diverged
    replace(model, weights=weights).save(Path("nan.safetensors"))
    result = align(image, model=Path("nan.safetensors"))
    assert result.exit_code == 1
    assert "gives NaN" in result.stderr


@pytest.mark.parametrize(
    "options",
    [["--errors"], ["--limit", "3"], ["--layer", "conv1"], ["--run", "a"], ["--output", "a.svg"]],
)
def test_what_does_not_go_together_is_wrong_use(
    align: Align, image: Path, options: list[str]
) -> None:
    assert align(image, *options).exit_code == 2
