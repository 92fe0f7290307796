"""A run that goes on notices that what it renders with has changed."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from exprocr.errors import DataError
from exprocr.synth.paint.digits import load_digits
from exprocr.training.run import RunSpec, read_checkpoint, read_data
from exprocr.training.setup import make_trainer
from tests.support.handwriting import drawn_digits, write_digits
from tests.support.pictures import matplotlib_fonts
from tests.support.tiny_runs import go_on, prepare, tiny_settings

CHANGED = "the fonts are not those that the run began with"


@pytest.fixture
def fonts(tmp_path: Path) -> Path:
    folder = tmp_path / "fonts"
    folder.mkdir()
    shutil.copy(matplotlib_fonts() / "DejaVuSans.ttf", folder)
    return folder


@pytest.fixture
def digits(tmp_path: Path) -> Path:
    load_digits.cache_clear()  # as in a new process
    return write_digits(tmp_path / "digits", *drawn_digits(40))


def spec_of(fonts: Path, **synth: Any) -> RunSpec:
    settings = tiny_settings(synth_mix=1.0, epochs=1)
    synth = {"fonts": (str(fonts),), "system_fonts": False, **synth}
    return RunSpec(settings=replace(settings, synth=replace(settings.synth, **synth)))


def warnings_of(run: Path, fonts: Path | None = None) -> list[str]:
    """Return the warnings of going on with a run, with its fonts in another folder if given."""
    spec, checkpoint = read_checkpoint(run)
    if fonts:
        synth = replace(spec.settings.synth, fonts=(str(fonts),))
        spec = replace(spec, settings=replace(spec.settings, synth=synth))
    spec, data = read_data(replace(spec, device="cpu"))
    make_trainer(spec, data, run, resume=checkpoint)
    return data.warnings


def test_fonts(fonts: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    prepare(spec_of(fonts), run)
    assert warnings_of(run) == []
    assert warnings_of(run, shutil.copytree(fonts, tmp_path / "moved")) == []
    (fonts / "notes.txt").write_text("no font")
    assert warnings_of(run) == []
    shutil.copy(matplotlib_fonts() / "DejaVuSans-Bold.ttf", fonts)
    (warning,) = warnings_of(run)
    assert warning.startswith(CHANGED)
    (fonts / "DejaVuSans.ttf").unlink()
    (warning,) = warnings_of(run)
    assert warning.startswith(CHANGED)


def test_a_checkpoint_without_digests(fonts: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    prepare(spec_of(fonts), run)
    spec, checkpoint = read_checkpoint(run)
    assert spec.fonts_digest
    old = {k: v for k, v in checkpoint.settings.items() if not k.startswith("fonts_")}
    assert len(old) == len(checkpoint.settings) - 1
    spec, data = read_data(replace(spec, device="cpu", fonts_digest=None))
    make_trainer(spec, data, run, resume=replace(checkpoint, settings=old))
    assert data.warnings == []


def test_digits(fonts: Path, digits: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    prepare(spec_of(fonts, looks=("hand",), digits=str(digits), digit_range=(0, 39)), run)
    images, labels = drawn_digits(40)
    labels[[3, 4]] = labels[[4, 3]]  # nothing but two labels, in files of the same size
    write_digits(digits, images, labels)
    load_digits.cache_clear()
    with pytest.raises(DataError, match=rf"{digits}: expected the data set the run began with"):
        go_on(run)
    write_digits(digits, *drawn_digits(40))
    load_digits.cache_clear()
    assert go_on(run) == "finished"


def test_digits_that_no_look_draws_are_not_looked_at(fonts: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    prepare(spec_of(fonts, digits=str(tmp_path / "none")), run)
    assert read_checkpoint(run)[0].digits_digest is None
    assert warnings_of(run) == []
