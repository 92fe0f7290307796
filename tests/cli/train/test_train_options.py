"""Options of ``exprocr train`` that exclude each other, and those that the settings keep."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from exprocr.training.run import read_checkpoint
from tests.support.handwriting import drawn_digits, write_digits
from tests.support.pictures import matplotlib_fonts
from tests.support.tiny_runs import SETTINGS, invoke


def test_a_validation_set_or_a_share_of_the_images(files: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    options = ["--val", files, "--val-fraction", 0.5, "--output", run]
    result = invoke("train", files, *options)
    assert result.exit_code == 2
    assert "--val or --val-fraction" in result.stderr
    assert not run.exists()


@pytest.mark.usefixtures("one_font")
def test_folders_of_fonts_are_remembered(tmp_path: Path) -> None:
    run, config = tmp_path / "run", tmp_path / "tiny.toml"
    config.write_text(tomli_w.dumps(SETTINGS))
    options = ["--config", config, "--synth-mix", 1, "--epochs", 1, "--threads", 1]
    result = invoke("train", *options, "--fonts", matplotlib_fonts(), "--output", run)
    assert result.exit_code == 0, result.stderr
    assert read_checkpoint(run)[0].settings.synth.fonts == (str(matplotlib_fonts()),)


@pytest.mark.usefixtures("one_font")
def test_looks_and_digits_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run, config = tmp_path / "run", tmp_path / "tiny.toml"
    synth = {**SETTINGS.get("synth", {}), "width": 180}
    config.write_text(tomli_w.dumps({**SETTINGS, "synth": synth}))
    write_digits(tmp_path / "digits", *drawn_digits(20))
    monkeypatch.chdir(tmp_path)
    options = ["--config", config, "--synth-mix", 1, "--epochs", 1, "--threads", 1]
    looks = ["--look", "hand:0.5,print", "--digits", "digits"]
    result = invoke("train", *options, *looks, "--output", run)
    assert result.exit_code == 0, result.stderr
    kept = read_checkpoint(run)[0].settings.synth
    assert kept.looks == ("hand:0.5", "print")
    assert kept.digits == str(tmp_path / "digits")  # so that the run can go on elsewhere
