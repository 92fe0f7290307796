"""Files with several frames: each command that reads one says so, in one line, and no more."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import tomli_w
from click.testing import CliRunner
from PIL import Image

from exprocr.cli import group
from exprocr.words import MORE_FRAMES
from tests.support.pictures import text_picture
from tests.support.tiny_runs import SETTINGS, invoke

NUM = 4


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a labeled set of pictures, of which 1.gif and 2.tiff have two frames."""
    folder = tmp_path / "data"
    folder.mkdir()
    one, other = text_picture(), text_picture(60)
    for name in ("0.png", "3.gif"):
        one.save(folder / name)
    for name in ("1.gif", "2.tiff"):
        one.save(folder / name, save_all=True, append_images=[other])
    (folder / "labels.txt").write_text("(7+5)-4\n" * NUM)
    return folder


def lines(output: str) -> list[str]:
    return [line for line in output.splitlines() if MORE_FRAMES in line]


def test_predict(data: Path, tiny_model: Path) -> None:
    result = invoke("predict", data, "--model", tiny_model)
    expected = [f"{data / name}: {MORE_FRAMES}" for name in ("1.gif", "2.tiff")]
    assert (result.exit_code, result.stderr.splitlines()) == (0, expected)
    quiet = invoke("-q", "predict", data, "--model", tiny_model, "--format", "json")
    assert quiet.stderr == ""
    rows = [json.loads(row) for row in quiet.stdout.splitlines()]
    assert [row["more_frames"] for row in rows] == [False, True, True, False]
    assert len({row["text"] for row in rows}) == 1  # the second frame changes nothing


def test_predict_from_standard_input(data: Path, tiny_model: Path) -> None:
    line = ["predict", "-", "--model", str(tiny_model)]
    result = CliRunner().invoke(group, line, input=(data / "1.gif").read_bytes())
    assert result.stderr.splitlines() == [f"standard input: {MORE_FRAMES}"]


@pytest.mark.parametrize(
    "command",
    [
        ("eval", "{data}", "--model", "{model}"),
        ("label", "{data}", "-o", "{out}", "--model", "{model}"),
        ("visualize", "{data}", "--kind", "samples", "--model", "{model}", "--output", "{out}"),
    ],
)
def test_commands_that_read_many(
    data: Path, tiny_model: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    places = {"data": data, "model": tiny_model, "out": tmp_path / "out.png"}
    line = [word.format(**places) for word in command]
    result = invoke(*line)
    assert result.exit_code == 0, result.output
    expected = [f"{data / name}: {MORE_FRAMES}" for name in ("1.gif", "2.tiff")]
    assert lines(result.stderr) == expected
    assert lines(invoke("-q", *line).stderr) == []


def test_visualize_of_one(data: Path, tiny_model: Path, tmp_path: Path) -> None:
    line = ("visualize", data / "1.gif", "--kind", "features", "--model", tiny_model)
    result = invoke(*line, "--output", tmp_path / "out.png")
    assert result.exit_code == 0, result.output
    assert lines(result.stderr) == [f"{data / '1.gif'}: {MORE_FRAMES}"]


def test_inspect_finds_them(data: Path, tmp_path: Path) -> None:
    result = invoke("inspect", data, "--json", tmp_path / "facts.json")
    assert result.exit_code == 0, result.output
    findings = json.loads((tmp_path / "facts.json").read_text())["findings"]
    found = [finding for finding in findings if finding["kind"] == "frames"]
    assert [finding["paths"] for finding in found] == [
        [str(data / name)] for name in ("1.gif", "2.tiff")
    ]
    assert not any(finding["to_mend"] for finding in found)


def test_train_says_it_once(data: Path, tmp_path: Path) -> None:
    for number in range(NUM, 8):
        Image.new("L", (180, 60), 200).save(data / f"{number}.png")
    (data / "labels.txt").write_text("(7+5)-4\n" * 8)
    config = tmp_path / "tiny.toml"
    config.write_text(tomli_w.dumps(SETTINGS))
    line = ("train", data, "--config", config, "--epochs", 1, "--val", data)
    result = invoke(*line, "--output", tmp_path / "run")
    assert result.exit_code == 0, result.output
    told = f"2 of 8 images: {MORE_FRAMES}: {data / '1.gif'}, {data / '2.tiff'}"
    assert lines(result.stderr) == [told, told]  # of the training and the validation images
    assert lines(invoke("-q", *line, "--output", tmp_path / "quiet").stderr) == []
