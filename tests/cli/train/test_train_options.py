"""Options of ``exprocr train`` that exclude each other, and those that the settings keep."""

from __future__ import annotations

import re
import shlex
import shutil
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


def test_labels_are_mapped_and_the_run_remembers_how(files: Path, tmp_path: Path) -> None:
    run, config, data = tmp_path / "run", tmp_path / "tiny.toml", tmp_path / "data"
    config.write_text(tomli_w.dumps(SETTINGS))
    shutil.copytree(files, data)
    labels = data / "labels.txt"
    texts = [line.split(" ")[0] for line in labels.read_text().splitlines()]
    labels.write_text("".join(text.replace("-", "\u2212") + "\n" for text in texts))
    typed = sum("-" in text for text in texts)
    options = ["--config", config, "--epochs", 1, "--threads", 1]
    result = invoke("train", data, *options, "--map", "\u2212=-", "--output", run)
    assert result.exit_code == 0, result.stderr
    assert 0 < typed < len(texts)
    assert f"{typed} labels changed by --map" in result.stderr
    spec, checkpoint = read_checkpoint(run)
    assert spec.settings.training.map == ("\u2212=-",)
    assert "\u2212" not in checkpoint.settings["charset"]
    assert 'map = [\n    "\u2212=-",\n]' in (run / "config.toml").read_text()
    assert "\u2212" not in (run / "val.csv").read_text()

    result = invoke("train", "--resume", run, "--epochs", 2)
    assert result.exit_code == 0, result.stderr
    assert f"{typed} labels changed by --map" in result.stderr
    assert invoke("train", "--resume", run, "--map", "x=*").exit_code == 2

    measured = invoke("eval", data, "--model", run)
    assert measured.exit_code == 0
    assert "warning: " in measured.stderr
    assert "--map '\u2212=-'" in measured.stderr
    measured = invoke("eval", data, "--model", run, "--map", "\u2212=-")
    assert measured.exit_code == 0
    assert f"{typed} labels changed by --map" in measured.stderr


@pytest.mark.parametrize("command", ["train", "eval"])
def test_a_map_that_is_none(command: str, tmp_path: Path) -> None:
    result = invoke(command, tmp_path, "--map", "x")
    assert result.exit_code == 2
    assert "'--map': expected FROM=TO" in result.stderr


@pytest.mark.usefixtures("one_font")
def test_the_texts_to_draw_are_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = {**SETTINGS, "synth": {**SETTINGS["synth"], "texts_like": "worksheet"}}
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(config))
    (tmp_path / "words.txt").write_text("12\n3+4\n")
    monkeypatch.chdir(tmp_path)
    options = ["--config", "tiny.toml", "--synth-mix", 1, "--epochs", 1, "--threads", 1]
    result = invoke("train", *options, "--grammar", "lexicon:words.txt", "--output", "a")
    assert result.exit_code == 0, result.stderr
    assert f"grammar lexicon:{tmp_path / 'words.txt'}" in result.stderr
    assert "Next: exprocr synth rendered -n 1000 --config a/config.toml" in result.stderr
    synth = read_checkpoint(Path("a"))[0].settings.synth
    assert (synth.grammar, synth.texts_like) == (f"lexicon:{tmp_path / 'words.txt'}", "")
    result = invoke("train", *options, "--texts", "words.txt", "--output", "b", "--no-system-fonts")
    assert result.exit_code == 0, result.stderr
    synth = read_checkpoint(Path("b"))[0].settings.synth
    assert (synth.texts, synth.system_fonts) == (str(tmp_path / "words.txt"), False)


@pytest.mark.usefixtures("one_font")
def test_the_command_to_render_more_draws_the_same_look(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "tiny.toml").write_text(tomli_w.dumps(SETTINGS))
    monkeypatch.chdir(tmp_path)
    options = ["--config", "tiny.toml", "--synth-mix", 1, "--epochs", 1, "--threads", 1]
    result = invoke("train", *options, "--look", "screen", "--output", "run")
    assert result.exit_code == 0, result.stderr
    (line,) = (line for line in result.stderr.splitlines() if "exprocr synth" in line)
    command = shlex.split(line.partition(": exprocr ")[2].replace("1000", "2"))
    result = invoke(*command)
    assert result.exit_code == 0, result.stderr
    assert re.search("^look +screen *$", result.stdout, re.MULTILINE)


@pytest.mark.usefixtures("one_font")
def test_labels_outside_the_grammar_are_a_warning(files: Path, tmp_path: Path) -> None:
    config = tmp_path / "tiny.toml"
    config.write_text(tomli_w.dumps(SETTINGS))
    options = ["--config", config, "--synth-mix", 0.5, "--epochs", 1, "--threads", 1]
    options += ["--grammar", "digits", "--max-length", 5]
    result = invoke("train", files, *options, "--output", tmp_path / "run")
    assert result.exit_code == 0, result.stderr
    assert "warning: grammar digits excludes 24 of 24 labels" in result.stderr
    assert read_checkpoint(tmp_path / "run")[0].settings.synth.grammar == "digits"

    options += ["--look", "captcha,contest/level1", "--output", tmp_path / "other"]
    result = invoke("train", files, *options)
    assert result.exit_code == 0, result.stderr
    warning = "texts of other looks are outside the grammar digits, so the model's grammar is "
    assert f"warning: {warning}expression" in result.stderr


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--charset", "keep"], "--charset is for --init"),
        (["--texts-like", "captcha"], "--texts-like is for rendered images"),
        (["--max-length", "5"], "--max-length is for rendered images"),
        (["--grammar", "digits", "--texts", "t"], "--grammar and --texts both say what to draw"),
        (["--max-length", "0"], "0 is not in the range"),
        (["--resume", "r", "--texts", "t"], "--resume takes everything from the run"),
    ],
)
def test_options_of_texts_that_do_not_fit(
    files: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    data = [] if "--resume" in options else [files]
    result = invoke("train", *data, *options)
    assert result.exit_code == 2
    assert message in result.stderr


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
