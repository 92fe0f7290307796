"""``exprocr synth``: what the images say, and labels that are read back exactly."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exprocr.core.data.dataset import load_dataset
from tests.support.pictures import matplotlib_fonts
from tests.support.tiny_runs import invoke


@pytest.fixture
def font(tmp_path: Path) -> Path:
    folder = tmp_path / "fonts"
    folder.mkdir()
    (folder / "a.ttf").write_bytes((matplotlib_fonts() / "DejaVuSans.ttf").read_bytes())
    return folder


def synth(font: Path, *args: object) -> str:
    options = ["--no-system-fonts", "--fonts", font, "--size", "90x30"]
    result = invoke("synth", *args, *options)
    assert result.exit_code == 0, result.stderr
    return result.stdout


def texts_in(folder: Path, part: str = "all") -> list[str]:
    """Return the texts of a rendered set as `eval` and `train` read them, in order."""
    samples = load_dataset(folder).parts[part]
    for number, sample in enumerate(sorted(samples, key=lambda s: int(s.path.stem))):
        assert sample.path.name == f"{number}.png"
    return [sample.text for sample in sorted(samples, key=lambda s: int(s.path.stem))]


def test_texts_without_a_value_stand_alone(font: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    table = synth(font, out, "-n", 60, "--grammar", "regex:A[2-9]|1/[01]")
    assert "regex:A[2-9]|1/[01]" in table
    lines = (out / "labels.txt").read_text().splitlines()
    assert {line.partition(" ")[2] for line in lines} == {"", "1"}
    assert "1/1 1" in lines
    assert "1/0" in lines
    assert texts_in(out) == [line.partition(" ")[0] for line in lines]


def test_texts_with_blanks_are_in_a_table(font: Path, tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text('A, B\n"1" 2\n12\n-7 8\n')
    out = tmp_path / "out"
    synth(font, out, "-n", 40, "--val-fraction", 0.5, "--texts", words)
    for part in ("train", "val"):
        assert sorted(p.name for p in (out / part).glob("labels*")) == ["labels.csv"]
        found = texts_in(out, part)
        assert len(found) == 20
        assert set(found) == {"A, B", '"1" 2', "12", "-7 8"}
    synth(font, out, "-n", 3, "--overwrite", "--texts-like", "captcha")
    assert not list(out.glob("*.csv"))
    assert not (out / "train").exists()


def test_a_blank_takes_room_and_has_no_ink(font: Path, tmp_path: Path) -> None:
    config = tmp_path / "plain.toml"
    config.write_text(
        "[synth]\nmax_dots=0\nrotation_deg=0\nmax_overlap=0\ndegraded_share=0\nfaint_share=0\n"
    )
    gaps = []
    for text in ("II", "I I", "I  I"):
        (tmp_path / "t.txt").write_text(text)
        out = tmp_path / f"out{len(text)}"
        synth(font, out, "-n", 1, "--texts", tmp_path / "t.txt", "--config", config)
        with Image.open(out / "0.png") as image:
            pixels = np.asarray(image.convert("L")).astype(int)
        inked = np.flatnonzero((abs(pixels - np.median(pixels)) > 8).any(axis=0))
        gaps.append(np.diff(inked).max())
    assert gaps[0] < gaps[1] < gaps[2]


def test_the_same_files_whatever_the_processes(font: Path, tmp_path: Path) -> None:
    for workers in (1, 2):
        out = tmp_path / str(workers)
        synth(font, out, "-n", 210, "--texts-like", "worksheet", "--workers", workers)
    for path in (tmp_path / "1").iterdir():
        assert path.read_bytes() == (tmp_path / "2" / path.name).read_bytes()
    texts = texts_in(tmp_path / "1")
    assert len(set(texts)) > 190
    assert any("\u2026" in text for text in texts)


def test_options_win_over_the_settings_file(font: Path, tmp_path: Path) -> None:
    config = tmp_path / "c.toml"
    config.write_text("[synth]\ngrammar = 'digits'\nmax_length = 3\n")
    synth(font, tmp_path / "a", "-n", 30, "--config", config)
    assert all(text.isdigit() and len(text) <= 3 for text in texts_in(tmp_path / "a"))
    synth(font, tmp_path / "b", "-n", 30, "--config", config, "--texts-like", "captcha")
    assert not all(text.isdigit() for text in texts_in(tmp_path / "b"))


@pytest.mark.parametrize(
    ("options", "exit_code", "message"),
    [
        (["--grammar", "none"], 1, "exprocr: grammar none: expected a grammar that names its"),
        (["--grammar", "digit"], 1, "exprocr: grammar digit: unknown grammar; did you mean"),
        (["--texts", "missing.txt"], 1, "exprocr: texts: missing.txt: expected a file with one"),
        (["--texts-like", "captchas"], 2, "'captchas' is not one of"),
        (["--texts", "a", "--texts-like", "captcha"], 2, "--texts and --texts-like both say"),
    ],
)
def test_what_cannot_be_drawn(
    tmp_path: Path, options: list[str], exit_code: int, message: str
) -> None:
    result = invoke("synth", tmp_path / "out", *options)
    assert result.exit_code == exit_code
    assert message in result.stderr
    assert not (tmp_path / "out").exists()
