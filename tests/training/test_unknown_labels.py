"""Characters that are validated on and never trained on: they are no characters of the model."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exprocr.core.model.artifact import ModelFile
from exprocr.errors import DataError
from exprocr.training.loop import Trainer
from exprocr.training.run import RunSpec, read_checkpoint, read_data
from exprocr.training.setup import make_trainer
from tests.support.data_sets import contest
from tests.support.tiny_runs import NEVER, Recorder, go_on, start, tiny_settings

pytestmark = pytest.mark.usefixtures("one_font")

WRONG = "; they count as read wrong"


def parts(folder: Path, train: str = "1+1 2+2", val: str = "1+1 2x=2 3x1") -> Path:
    """Return a data set with two parts, of which these are the labels."""
    for name, labels in (("train", train.split()), ("val", val.split())):
        contest(folder / name, "".join(f"{label}\n" for label in labels), len(labels))
    return folder


def spec_of(folder: Path, **training: Any) -> RunSpec:
    settings = tiny_settings(epochs=1, **training)
    return RunSpec(settings=settings, data=str(folder), device="cpu")


def prepared(spec: RunSpec, run: Path) -> tuple[Trainer, list[str]]:
    spec, data = read_data(spec)
    trainer = make_trainer(spec, data, run)
    return trainer, data.warnings


def test_the_part_to_validate_on(tmp_path: Path) -> None:
    folder = parts(tmp_path / "data")
    trainer, (warning,) = prepared(spec_of(folder), tmp_path / "run")
    assert trainer.charset.characters == "+12"
    assert trainer.best.grammar.name == "expression"  # of the labels that can be read
    assert warning.startswith(f"{folder / 'val' / 'labels.txt'}, line 2: expected the model's ")
    assert "found 'x=' in the label 2x=2; 2 of 3 labels are affected: " in warning
    assert warning.endswith("correct them, or train on images that have them too" + WRONG)


def test_what_is_trained_on_is_known(tmp_path: Path) -> None:
    folder = parts(tmp_path / "data", "3x1 2=2+0")
    trainer, warnings = prepared(spec_of(folder), tmp_path / "run")
    assert (trainer.charset.characters, warnings) == ("+0123=x", [])


@pytest.mark.parametrize("mix", [0.5, 1])
def test_what_is_rendered_is_known(tmp_path: Path, mix: float) -> None:
    spec = spec_of(parts(tmp_path / "data"), synth_mix=mix)
    trainer, (warning,) = prepared(spec, tmp_path / "run")
    assert trainer.charset.characters == "()*+-0123456789"
    assert "'x='" in warning
    assert warning.endswith(WRONG)


def test_what_the_first_model_knows_is_known(tmp_path: Path) -> None:
    start(spec_of(parts(tmp_path / "a", "3x1 2=2+0", "1")), tmp_path / "first")
    spec = replace(spec_of(parts(tmp_path / "b")), init=str(tmp_path / "first"))
    trainer, (warning,) = prepared(spec, tmp_path / "run")
    assert trainer.charset.characters == "+0123=x"
    assert warning == (
        "'3=x' occurs in 2 of 3 validation labels and in nothing that is trained on; the first is "
        f"2x=2 in {tmp_path / 'b' / 'val' / 'labels.txt'}, line 2"
    )


def test_separate_validation_data(tmp_path: Path) -> None:
    data, val = tmp_path / "data", tmp_path / "val"
    contest(data, "1+1\n2+2\n", 2)
    contest(val, "1+2\n7\n", 2)
    trainer, (warning,) = prepared(replace(spec_of(data), val=str(val)), tmp_path / "run")
    assert trainer.charset.characters == "+12"
    assert warning.startswith(f"{val / 'labels.txt'}, line 2: ")


def test_a_share_that_is_held_out(tmp_path: Path) -> None:
    """The labels that are left to train on decide, whichever these are."""
    contest(tmp_path / "data", "".join(f"{number}\n8\n" for number in range(8)), 16)
    trainer, (warning,) = prepared(spec_of(tmp_path / "data", val_fraction=0.25), tmp_path / "run")
    held_out = trainer.validation.texts
    assert len(held_out) == 4
    assert set(trainer.charset.characters) == {*"012345678"} - ({*held_out} - {"8"})
    assert warning.endswith(WRONG)


def test_nothing_that_can_be_validated_on(tmp_path: Path) -> None:
    spec = spec_of(parts(tmp_path / "data", val="3 4x4"))
    with pytest.raises(DataError, match="found '3' in the label 3; 2 of 2 labels are affected"):
        prepared(spec, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_they_are_counted_and_the_run_can_go_on(tmp_path: Path) -> None:
    spec = spec_of(parts(tmp_path / "data", "1+1 2+2 1+2 2+1", "1+1 2x=2 3x1"))
    run, recorder = tmp_path / "run", Recorder()
    trainer, _ = prepared(spec, run)
    assert trainer.train(spec.limits, recorder, NEVER) == "finished"
    (evaluation,) = recorder.evaluations
    assert evaluation["val_cer"] > 0.5  # of 11 characters, 7 are in the labels that are wrong
    assert math.isfinite(evaluation["val_loss"])
    model = ModelFile.load(run)
    assert (model.charset.characters, model.training["val_images"]) == ("+12", 3)
    later = Recorder()
    assert go_on(run, later, epochs=2) == "finished"
    assert len(later.evaluations) == 1
    spec, checkpoint = read_checkpoint(run)
    spec, data = read_data(spec)
    again = make_trainer(spec, data, run, resume=checkpoint)
    assert (again.charset, again.best.grammar.name) == (trainer.charset, "expression")
    (warning,) = data.warnings
    assert warning.endswith(WRONG)
