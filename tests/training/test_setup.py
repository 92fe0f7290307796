"""What cannot be trained: it is said before any training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from exprocr.core.model.artifact import ModelFile
from exprocr.core.text.charset import Charset
from exprocr.errors import DataError
from exprocr.training.run import RunSpec
from tests.support.tiny_runs import prepare, tiny_settings


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
