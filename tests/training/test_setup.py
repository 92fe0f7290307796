"""What cannot be trained: it is said before any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exprocr.core.config.schema import SynthConfig
from exprocr.core.model.artifact import ModelFile
from exprocr.core.text.charset import Charset
from exprocr.errors import DataError
from exprocr.training.run import RunSpec
from tests.support.data_sets import write_image
from tests.support.tiny_runs import prepare, tiny_settings


def write_pictures(folder: Path, texts: list[str]) -> Path:
    """Write pictures with any labels; what they show does not matter here."""
    folder.mkdir()
    for number in range(len(texts)):
        write_image(folder / f"{number}.png", 180)
    (folder / "labels.txt").write_text("".join(f"{text}\n" for text in texts))
    return folder


def test_nothing_to_validate_on(files: Path, tmp_path: Path) -> None:
    spec = RunSpec(settings=tiny_settings(val_fraction=0.0), data=str(files))
    with pytest.raises(DataError, match="expected images to validate on, found none"):
        prepare(spec, tmp_path / "run")


@pytest.mark.usefixtures("one_font")
def test_a_model_learns_the_characters_that_are_rendered(tiny_model: Path, tmp_path: Path) -> None:
    model = ModelFile.load(tiny_model)
    weights = dict(model.weights)
    for name in ("fc2.weight", "fc2.bias"):  # the classes of + and - alone, and the blank
        weights[name] = np.ascontiguousarray(weights[name][:3])
    path = tmp_path / "small.safetensors"
    replace(model, charset=Charset("+-"), grammar="none", weights=weights).save(path)
    settings = replace(tiny_settings(synth_mix=1.0), model=model.model, preprocess=model.preprocess)
    trainer = prepare(RunSpec(settings=settings, init=str(path)), tmp_path / "run")
    assert trainer.charset.characters == "+-()*0123456789"


@pytest.mark.parametrize(
    ("choice", "expected"), [("union", "()*+-0123456789=x"), ("data", "1234x="), ("keep", "")]
)
def test_the_characters_of_a_model_and_of_the_data(
    tmp_path: Path, tiny_model: Path, choice: str, expected: str
) -> None:
    data = write_pictures(tmp_path / "data", ["1=x", "23", "4x"] * 4)
    settings = tiny_settings(charset=choice)
    spec = RunSpec(settings=settings, data=str(data), init=str(tiny_model))
    if choice == "keep":
        with pytest.raises(DataError, match=r"found '=x' too; --charset union adds them"):
            prepare(spec, tmp_path / "run")
        return
    trainer = prepare(spec, tmp_path / "run")
    assert sorted(trainer.charset.characters) == sorted(expected)
    model = ModelFile.load(tiny_model)
    known = model.charset.characters
    for name in ("fc2.weight", "fc2.bias"):
        rows = trainer.network.state_dict()[name].numpy()
        np.testing.assert_array_equal(rows[0], model.weights[name][0])  # the blank
        for number, character in enumerate(trainer.charset.characters, start=1):
            if character in known:
                old = model.weights[name][known.index(character) + 1]
                np.testing.assert_array_equal(rows[number], old)
            else:
                assert np.isfinite(rows[number]).all()
    conv = next(name for name in model.weights if name.startswith("conv1"))
    np.testing.assert_array_equal(trainer.network.state_dict()[conv].numpy(), model.weights[conv])


def test_labels_within_the_characters_of_a_model_keep_them(
    files: Path, tmp_path: Path, tiny_model: Path
) -> None:
    settings = tiny_settings(charset="keep")
    trainer = prepare(
        RunSpec(settings=settings, data=str(files), init=str(tiny_model)), tmp_path / "run"
    )
    assert trainer.charset == ModelFile.load(tiny_model).charset


@pytest.mark.parametrize("grammar", ["regex:[0-9x=]{2,3}", "none", "digits"])
def test_the_grammar_that_is_named_is_the_models(tmp_path: Path, grammar: str) -> None:
    data = write_pictures(tmp_path / "data", ["1=x", "23", "4x"] * 4)
    settings = replace(tiny_settings(), synth=SynthConfig(grammar=grammar))
    trainer = prepare(RunSpec(settings=settings, data=str(data)), tmp_path / "run")
    assert trainer.best.grammar.name == grammar
