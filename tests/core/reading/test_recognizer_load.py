"""Loading the recognizer: its settings, and those in the model file."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from exprocr import Recognizer
from exprocr.core.model.artifact import ModelFile
from exprocr.errors import ConfigError, ModelFileError
from tests.support.pictures import expressions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": "bean"}, "unknown decoder; did you mean 'beam'"),
        ({"beam_width": 0}, "beam_width: expected 1 to 1000, found 0"),
        ({"beam_width": 1001}, "beam_width: expected 1 to 1000, found 1001"),
        ({"n_best": 0}, "n_best: expected 1 to 1000, found 0"),
        ({"decoder": "greedy", "n_best": 2}, "expected auto, beam or exact for several texts"),
        ({"decoder": "greedy", "by_value": True}, "expected auto, beam or exact for several texts"),
        ({"grammar": "levle1"}, "unknown grammar; did you mean 'level1'"),
        ({"grammar": "regex:[0-9]+["}, r"grammar regex:\[0-9\]\+\[: expected a regular expression"),
        ({"grammar": "regex:a+"}, "expected characters of .*0123456789', found 'a'"),
        ({"grammar": "lexicon:/nowhere"}, "grammar: /nowhere: expected a file with one"),
        ({"device": "tpu"}, r"unknown device; did you mean 'cpu'\? \(devices: auto, cpu, cuda"),
        ({"engine": "tensorflow"}, r"unknown engine; did you mean '.*'\? \(engines: onnx, torch\)"),
    ],
)
def test_settings_out_of_range(tiny_model: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recognizer.load(tiny_model, threads=1, **options)


def test_load_takes_a_file_or_a_run(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(tiny_model.read_bytes())
    image = expressions()[:1]
    expected = Recognizer.load(tiny_model, engine="torch", threads=1).predict(image)
    for place in (str(tiny_model), tmp_path, tmp_path / "model.safetensors"):
        assert Recognizer.load(place, engine="torch", threads=1).predict(image) == expected
    with pytest.raises(ModelFileError, match=r"none\.safetensors: expected a model file"):
        Recognizer.load(tmp_path / "none.safetensors")


def test_load_takes_grammar_and_temperature_from_the_file(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = dataclasses.replace(ModelFile.load(tiny_model), grammar="level1", temperature=2.5)
    model.save(path)
    recognizer = Recognizer.load(path, threads=1)
    assert (recognizer.decoder.grammar.name, recognizer.decoder.temperature) == ("level1", 2.5)
    assert recognizer.decoder.method == "auto"
    assert recognizer.charset == model.charset
    level1 = recognizer.predict(expressions())
    assert all(recognizer.decoder.grammar.accepts(prediction.text) for prediction in level1)
    # The user's grammar overrides the file's; the temperature stays and changes no text.
    digits = Recognizer.load(path, threads=1, grammar="digits")
    assert digits.decoder.temperature == 2.5
    assert all(prediction.text.isdigit() for prediction in digits.predict(expressions()))
    plain = Recognizer.load(tiny_model, threads=1)
    assert (plain.decoder.grammar.name, plain.decoder.temperature) == ("none", 1.0)
    cold = Recognizer.load(tiny_model, threads=1, grammar="level1").predict(expressions())
    assert [prediction.text for prediction in cold] == [prediction.text for prediction in level1]
    assert [p.confidence for p in cold] != pytest.approx([p.confidence for p in level1])


def test_load_passes_options_to_the_decoder(tiny_model: Path) -> None:
    recognizer = Recognizer.load(
        tiny_model, threads=1, grammar="regex:[0-9][+][0-9]", decoder="beam", beam_width=7,
        n_best=4, by_value=True,
    )  # fmt: skip
    decoder = recognizer.decoder
    assert (decoder.method, decoder.beam_width, decoder.num_best) == ("beam", 7, 4)
    (prediction,) = recognizer.predict(expressions()[:1])
    values = [alternative.value for alternative in prediction.alternatives]
    assert len(set(values)) == 4
    assert prediction.uncovered == pytest.approx(0.0, abs=1e-6)
    best = prediction.alternatives[0]
    expected = (best.text, best.value, best.probability)
    assert (prediction.text, prediction.value, prediction.confidence) == expected
