"""``exprocr visualize --kind saliency``: what it explains, its figures, what cannot be asked."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner, Result
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.cli import group
from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.torch_engine import to_input
from exprocr.core.reading.recognizer import Recognizer
from exprocr.viz.saliency import cost
from exprocr.viz.saliency.attribution import Spot, Text, score
from exprocr.viz.saliency.explanation import Explanation, explain, maps_of
from exprocr.viz.subject import Subject, read_subject

CPU = torch.device("cpu")
Explain = Callable[..., Result]


@pytest.fixture
def image(tmp_path: Path) -> Path:
    path = tmp_path / "img.png"
    picture = Image.new("RGB", (360, 120), "white")
    ImageDraw.Draw(picture).text((40, 24), "(7+5)-4", fill="navy", font_size=60)
    picture.save(path)
    return path


@pytest.fixture
def run(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Explain:
    """Return a function that runs the command in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(cost, "MAX_GRADIENTS", 30)

    def invoke(*args: object, model: Path = tiny_model, stdin: bytes = b"") -> Result:
        line = ["visualize", *args, "--kind", "saliency", "--threads", 1, "--device", "cpu"]
        line += ["--model", model]
        return CliRunner().invoke(group, [str(arg) for arg in line], input=stdin)

    return invoke


def subject_of(image: Path, model: Path) -> Subject:
    recognizer = Recognizer.load(model, engine="torch", device="cpu", threads=1)
    return read_subject(recognizer, image, str(image))


def size_of(path: str) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
    assert picture.format == "PNG"
    return picture.size


def tables(result: Result) -> tuple[list[list[str]], dict[str, str]]:
    """Return the rows of the maps' table, and what is below it, by name."""
    assert result.exit_code == 0, result.stderr
    maps, summary = re.split(r"\n\s*\nSaliency\s*\n", result.stdout.strip("\n"))
    cells = [re.split(r"\s{2,}", line.strip()) for line in maps.splitlines()]
    pairs = [re.split(r"\s{2,}", line.strip(), maxsplit=1) for line in summary.splitlines()]
    return cells[2:], {pair[0]: pair[1] for pair in pairs}


def one_error(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("exprocr: ")]
    return line


def share(values: NDArray[np.float32], where: NDArray[np.bool_]) -> float:
    strength = np.abs(values.astype(float))
    return float(strength[where].sum() / strength.sum())


def check_figures(found: Explanation, rows: list[list[str]], *, box: slice | None = None) -> None:
    """Compare the table with the maps themselves."""
    ink = found.subject.ink
    maps = maps_of(found, "conv3")
    assert [row[0] for row in rows] == [one.name for one in maps]
    for row, one in zip(rows, maps, strict=True):
        assert float(row[1].rstrip("%")) / 100 == pytest.approx(
            share(one.values, ink >= 64), abs=6e-4
        )
        if box is not None:
            inside = np.zeros(ink.shape, dtype=bool)
            inside[:, box] = True
            assert 0.1 < share(one.values, inside) < 0.99
            assert float(row[2].rstrip("%")) / 100 == pytest.approx(
                share(one.values, inside), abs=6e-4
            )
        y, x = np.unravel_index(one.values.argmax(), ink.shape)
        assert row[-1] == f"{2 * x + 1}, {2 * y + 1}"  # the picture is twice as large


def test_the_whole_reading(run: Explain, image: Path, tiny_model: Path) -> None:
    rows, summary = tables(run(image))
    assert summary["picture"] == "saliency-conv3.png"
    assert min(size_of("saliency-conv3.png")) > 500
    subject = subject_of(image, tiny_model)
    assert len(subject.prediction.text) > 1
    found = explain(subject)
    check_figures(found, rows)
    ((_, log_probs),) = subject.recognizer.log_probs([subject.ink])
    ids = subject.recognizer.charset.encode(subject.prediction.text)
    expected = float(score(torch.tensor(log_probs), [Text(tuple(ids))]))
    text = summary["score"].split(" nats")[0].replace(",", "")
    assert float(text) == pytest.approx(expected, rel=0.01)
    assert "log-probability of the text" in summary["score"]
    assert found.integrated is not None
    assert int(summary["gradients taken"]) == found.integrated.num_gradients[0] <= 30
    gap = float(summary["missing in the integrated gradients"].split(" nats")[0])
    assert gap == pytest.approx(found.integrated.gaps[0], rel=0.01)


def test_one_character(run: Explain, image: Path, tiny_model: Path) -> None:
    subject = subject_of(image, tiny_model)
    number = 1
    character = subject.prediction.characters[number - 1]
    rows, summary = tables(run(image, "--character", number))
    left, _, right, _ = character.box  # of a picture twice as large as the network's input
    box = slice(left // 2, right // 2)
    check_figures(explain(subject, character=number), rows, box=box)
    first, last = character.frames
    where = f"frame {first}" if first == last else f"frames {first} to {last}"
    assert f"log-probability of this character in {where}" in summary["score"]
    network = subject.engine.network.eval()
    with torch.no_grad():
        log_probs = network(to_input(subject.ink[None], CPU))
    (label,) = subject.recognizer.charset.encode(character.text)
    expected = float(log_probs[first : last + 1, 0, label].sum())
    assert float(score(log_probs, [Spot(label, first, last)])) == pytest.approx(expected)
    assert float(summary["score"].split(" nats")[0]) == pytest.approx(expected, rel=0.01)
    one = Path("saliency-conv3.png").read_bytes()
    tables(run(image, "--character", number + 1))
    assert Path("saliency-conv3.png").read_bytes() != one


@pytest.mark.parametrize("layers", [["--layer", "conv1,conv3"], ["--layer", "all"]])
def test_several_layers(run: Explain, image: Path, layers: list[str]) -> None:
    rows, _ = tables(run(image, *layers, "--output", "maps"))
    names = ["conv1", "conv3"] if "conv" in layers[1] else ["conv1", "conv2", "conv3"]
    assert [row[0] for row in rows] == [
        *(f"Grad-CAM of {name}{how}" for name in names for how in ("", ", by column")),
        "Integrated gradients",
    ]
    assert sorted(path.name for path in Path("maps").iterdir()) == [
        f"saliency-{name}.png" for name in names
    ]
    assert len({path.read_bytes() for path in Path("maps").iterdir()}) == len(names)
    for name in names:
        tables(run(image, "--layer", name))
        one = Path(f"saliency-{name}.png")
        assert one.read_bytes() == Path(f"maps/saliency-{name}.png").read_bytes()


@pytest.mark.parametrize("layer", ["fc1", "gru2", "conv4", "conv1,fc2"])
def test_layers_that_have_no_map(run: Explain, image: Path, layer: str) -> None:
    # Said before the model is loaded, which may take long.
    message = one_error(run(image, "--layer", layer, model=Path("none.safetensors")))
    assert "conv1, conv2, conv3" in message
    assert not list(Path().iterdir())


def test_a_character_that_is_not_there(run: Explain, image: Path, tiny_model: Path) -> None:
    prediction = subject_of(image, tiny_model).prediction
    num = len(prediction.text)
    message = one_error(run(image, "--character", num + 1))
    assert f"1 to {num}; found {num + 1}" in message
    assert repr(prediction.text) in message
    assert run(image, "--character", 0).exit_code == 2
    assert not list(Path().iterdir())


@pytest.fixture
def blank_model(tiny_model: Path, tmp_path: Path) -> Path:
    """Return a model that reads nothing."""
    model = ModelFile.load(tiny_model)
    weights = {name: values.copy() for name, values in model.weights.items()}
    weights["fc2.bias"][0] += 30
    path = tmp_path / "blank.safetensors"
    replace(model, weights=weights, grammar="none").save(path)
    return path


def test_a_reading_of_nothing(run: Explain, image: Path, blank_model: Path) -> None:
    result = run(image, model=blank_model)
    assert "(nothing)" in result.stderr
    _, summary = tables(result)
    assert "log-probability of an empty text" in summary["score"]
    size_of("saliency-conv3.png")
    message = one_error(run(image, "--character", 1, model=blank_model))
    assert "nothing was read; found 1" in message


@pytest.mark.parametrize("size", [(4000, 60), (9, 90), (61, 60)])
@pytest.mark.parametrize("mode", ["L", "RGBA"])
def test_pictures_of_other_sizes(
    run: Explain, tmp_path: Path, size: tuple[int, int], mode: str
) -> None:
    picture = Image.new(mode, size, "white")
    ImageDraw.Draw(picture).rectangle((2, 10, 5, 50), fill="black")
    picture.save(tmp_path / "odd.png")
    tables(run(tmp_path / "odd.png"))
    assert max(size_of("saliency-conv3.png")) <= 4000


def test_a_picture_without_ink(run: Explain, tmp_path: Path) -> None:
    Image.new("L", (180, 60), 255).save(tmp_path / "empty.png")
    rows, summary = tables(run(tmp_path / "empty.png"))
    assert rows[-1] == ["Integrated gradients", "-", "-"]
    assert summary["missing in the integrated gradients"].startswith("0 nats")


def test_what_would_take_too_long_is_left_out(
    run: Explain, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run(image)
    size = size_of("saliency-conv3.png")
    monkeypatch.setattr(cost, "MAX_WORK", 1e6)
    result = run(image)
    rows, summary = tables(result)
    assert [row[0] for row in rows] == ["Grad-CAM of conv3", "Grad-CAM of conv3, by column"]
    assert "gradients taken" not in summary
    assert "left out" in result.stderr
    assert "left out" not in whole.stderr
    assert size_of("saliency-conv3.png")[1] < size[1] - 300


def test_what_goes_wrong_takes_one_line(run: Explain, image: Path, tiny_model: Path) -> None:
    assert "found no such file" in one_error(run("none.png"))
    assert "cannot be written" in one_error(run(image, "--output", image / "x.png"))
    model = ModelFile.load(tiny_model)
    weights = {name: values.copy() for name, values in model.weights.items()}
    weights["fc2.bias"][3] = np.nan  # a network that diverged
    replace(model, weights=weights).save(Path("nan.safetensors"))
    assert "gives NaN" in one_error(run(image, model=Path("nan.safetensors")))


@pytest.mark.parametrize(
    "options",
    [["--top", "3"], ["--errors"], ["--output", "a.svg"], ["--layer", "all", "--output", "a.png"]],
)
def test_what_does_not_go_together_is_wrong_use(
    run: Explain, image: Path, options: list[str]
) -> None:
    assert run(image, *options).exit_code == 2
