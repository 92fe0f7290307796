"""Pictures without ink: nothing is read in them, whatever reads them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exprocr import Recognizer
from exprocr.core.reading.prediction import Prediction
from tests.support.pictures import text_picture
from tests.support.tiny_runs import invoke


def rounding_noise(level: int, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).integers(level - 1, level + 2, (60, 180))
    return Image.fromarray(noise.astype(np.uint8))


EMPTY = {
    "white": Image.new("L", (180, 60), 255),
    "black": Image.new("RGB", (180, 60)),
    "gray": Image.new("L", (180, 60), 90),
    "one pixel": Image.new("L", (1, 1), 200),
    "transparent": Image.new("RGBA", (240, 60), (255, 255, 255, 0)),
    "rounding": rounding_noise(128, 0),
    "light rounding": rounding_noise(254, 1),
}


def check_nothing(prediction: Prediction) -> None:
    assert (prediction.text, prediction.value, prediction.holds) == ("", None, None)
    assert (prediction.confidence, prediction.posterior, prediction.grammar_mass) == (0, 0, 0)
    assert prediction.characters == ()
    assert [(one.text, one.probability) for one in prediction.alternatives] == [("", 0.0)]
    assert prediction.is_proven  # there is nothing that could be more probable


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize(
    "grammar",
    ["level1", "digits", "number", "expression", "equation", "none", "regex:[0-9]{3}", "regex:9*"],
)
def test_every_grammar_and_engine(tiny_model: Path, engine: str, grammar: str) -> None:
    recognizer = Recognizer.load(tiny_model, engine=engine, grammar=grammar, threads=1)
    for prediction in recognizer.predict(EMPTY.values()):
        check_nothing(prediction)


@pytest.mark.parametrize("by_value", [False, True])
@pytest.mark.parametrize(("decoder", "n_best"), [("auto", 3), ("exact", 1), ("beam", 2)])
def test_every_decoder(tiny_model: Path, decoder: str, n_best: int, *, by_value: bool) -> None:
    recognizer = Recognizer.load(
        tiny_model, decoder=decoder, n_best=n_best, by_value=by_value, grammar="level1"
    )
    for prediction in recognizer.predict(EMPTY.values()):
        check_nothing(prediction)
        assert prediction.uncovered == (0.0 if by_value else None)


def test_greedy(tiny_model: Path) -> None:
    for prediction in Recognizer.load(tiny_model, decoder="greedy").predict(EMPTY.values()):
        check_nothing(prediction)


def test_pictures_with_ink_beside_them_are_read_as_they_were(tiny_model: Path) -> None:
    recognizer = Recognizer.load(tiny_model, grammar="level1")
    inked = [text_picture(level) for level in (0, 40, 120, 250)]
    alone = recognizer.predict(inked)
    assert all(prediction.text for prediction in alone)
    mixed = [EMPTY["white"], *inked[:2], EMPTY["black"], EMPTY["rounding"], *inked[2:]]
    predictions = recognizer.predict(mixed)
    assert [bool(p.text) for p in predictions] == [False, True, True, False, False, True, True]
    assert [p for p in predictions if p.text] == alone


@pytest.mark.parametrize(
    ("format_", "expected"),
    [
        ("tsv", "{image}\t\t\t0.0000\t\n"),
        ("csv", "path,text,value,confidence,holds\n{image},,,0.0000,\n"),
        ("contest", "\n"),
    ],
)
def test_formats(tiny_model: Path, tmp_path: Path, format_: str, expected: str) -> None:
    image = tmp_path / "0.png"
    EMPTY["white"].save(image)
    result = invoke("predict", image, "--model", tiny_model, "--format", format_)
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == expected.format(image=image)


def test_json(tiny_model: Path, tmp_path: Path) -> None:
    image = tmp_path / "0.png"
    EMPTY["white"].save(image)
    result = invoke("predict", image, "--model", tiny_model, "--format", "json", "--n-best", 2)
    row = json.loads(result.stdout)
    assert (row["text"], row["value"], row["confidence"], row["proven"]) == ("", None, 0, True)
    assert row["characters"] == []
    assert [one["text"] for one in row["alternatives"]] == [""]


def test_eval_counts_them_wrong(tiny_model: Path, tmp_path: Path) -> None:
    for number in range(3):
        EMPTY["white"].save(tmp_path / f"{number}.png")
    (tmp_path / "labels.txt").write_text("1+2-3\n" * 3)
    facts = tmp_path / "facts.json"
    result = invoke("eval", tmp_path, "--model", tiny_model, "--json", facts)
    assert result.exit_code == 0, result.output
    found = json.loads(facts.read_text())
    assert (found["num_images"], found["exact_match"], found["cer"]) == (3, 0, 1)
    assert found["deletions"] == 15  # every character of the labels
    assert (found["ece"], found["brier"]) == (0, 0)  # the confidence of 0 is right


@pytest.mark.parametrize("kind", ["alignment", "saliency", "features"])
def test_they_can_be_visualized(tiny_model: Path, tmp_path: Path, kind: str) -> None:
    image, output = tmp_path / "0.png", tmp_path / "out.png"
    EMPTY["white"].save(image)
    result = invoke("visualize", image, "--kind", kind, "--model", tiny_model, "--output", output)
    assert result.exit_code == 0, result.output
    assert f"{image}: (nothing)   0.0000" in result.stderr
    assert output.exists()
