"""What a model file says of where its model comes from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import torch

import exprocr
from exprocr.core.config.schema import SynthConfig
from exprocr.core.config.settings import to_dict
from exprocr.core.data.dataset import load_dataset
from exprocr.core.model.artifact import ModelFile
from exprocr.training.provenance import provenance
from exprocr.training.run import RunSpec
from tests.support.tiny_runs import Recorder, go_on, start, tiny_settings, write_files


def test_the_facts_of_a_run_on_files(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", 24)
    settings = tiny_settings(epochs=1, learning_rate=0.002)
    start(RunSpec(settings=settings, data=str(data)), tmp_path / "run")
    facts = ModelFile.load(tmp_path / "run").training
    assert facts["versions"] == {"exprocr": exprocr.__version__, "torch": torch.__version__}
    assert facts["data_digest"] == load_dataset(data).digest()
    assert facts["train_images"] + facts["val_images"] == 24
    assert facts["settings"] == {
        "training": json.loads(json.dumps(to_dict(settings.training))),
        "augment": {"strength": 0.0, "unchanged_share": 0.2},
    }
    assert "init_digest" not in facts


def test_the_digest_of_the_first_weights_outlives_a_resume(tmp_path: Path) -> None:
    data = write_files(tmp_path / "data", 24)
    start(RunSpec(settings=tiny_settings(epochs=1), data=str(data)), tmp_path / "first")
    digest = ModelFile.load(tmp_path / "first").weights_digest()
    spec = RunSpec(settings=tiny_settings(), data=str(data), init=str(tmp_path / "first"))
    start(spec, tmp_path / "run", Recorder(stop_after=7))
    (tmp_path / "first" / "model.safetensors").unlink()
    go_on(tmp_path / "run")
    model = ModelFile.load(tmp_path / "run")
    assert model.training["init_digest"] == digest != model.weights_digest()


def test_what_an_old_checkpoint_does_not_know_is_unknown() -> None:
    spec = RunSpec(settings=tiny_settings(synth_mix=1.0), init="old.safetensors")
    assert provenance(spec, 0)["init_digest"] == "unknown"


def test_it_stays_small_and_names_no_places() -> None:
    settings = dataclasses.replace(
        tiny_settings(synth_mix=0.5, map=tuple(f"{chr(0x4E00 + n)}=1" for n in range(5000))),
        synth=SynthConfig(
            fonts=tuple(f"/secret/{n}" for n in range(5000)),
            grammar="lexicon:/secret/texts.txt",
            favorite_font="x" * 100_000,
            digits="/secret/digits",
            looks=("hand:0.25", "print:0.75"),
        ),
    )
    facts = provenance(RunSpec(settings=settings, data="/secret/data"), 3)
    written = json.dumps(facts)
    assert "secret" not in written
    assert len(written) < 5_000
    assert facts["settings"]["synth"]["looks"] == ["hand:0.25", "print:0.75"]
