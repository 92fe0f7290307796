"""The measuring of fine-tuning: what the sets are, a row of the table, and when it is reached."""

from __future__ import annotations

import gzip
import json
import re
import shutil
import sys
from collections.abc import Callable
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
import pytest
from PIL import Image
from rapidfuzz.distance import Levenshtein

from exprocr.core.data.dataset import load_dataset
from exprocr.core.reading.recognizer import Recognizer
from exprocr.synth.fonts import FontFile, find_fonts
from exprocr.synth.renderer import Renderer
from exprocr.synth.typefaces import Typefaces
from tests.benchmarks import small_sets
from tests.benchmarks.image_sets import MissingError
from tests.benchmarks.measure_finetuning import NEW, Goal, Run, main
from tests.support.tiny_runs import write_files

FONTS = Path(matplotlib.get_data_path()) / "fonts/ttf"


@pytest.fixture
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Test few pictures of the drawn sets."""
    monkeypatch.setattr(small_sets, "NUM_TEST", 30)


def folder_of_fonts(folder: Path, **names: str) -> Path:
    """Return a folder with fonts of matplotlib, by the names that they get."""
    folder.mkdir()
    for name, font in names.items():
        shutil.copy(FONTS / f"{font}.ttf", folder / f"{name}.ttf")
    return folder


def noted(
    monkeypatch: pytest.MonkeyPatch, name: str, make: Callable[..., Any]
) -> list[list[FontFile]]:
    """Return a list that gets the fonts of all that is made from now on."""
    used: list[list[FontFile]] = []

    def make_and_note(fonts: list[FontFile], *args: Any) -> Any:
        used.append(fonts)
        return make(fonts, *args)

    monkeypatch.setattr(small_sets, name, make_and_note)
    return used


def test_real_pictures_are_split_by_their_labels(tmp_path: Path) -> None:
    texts = ["12.5"] * 4 + ["340"] * 3 + [str(number) for number in range(33)]
    pictures = [Image.new("RGB", (30, 12), (number, 0, 0)) for number in range(40)]
    small_sets.write(tmp_path / "meter", zip(texts, pictures, strict=True))
    splits = []
    for seed in (0, 0, 1):
        parts = small_sets.real(tmp_path / "meter", 25, seed)
        assert [len(part) for part in parts] == [25, 15]
        labels = [{text for text, _ in part} for part in parts]
        assert not labels[0] & labels[1]
        reds = [[picture.getpixel((0, 0))[0] for _, picture in part] for part in parts]  # type: ignore[index]
        assert sorted(reds[0] + reds[1]) == list(range(40))
        drawn = [text for part in parts for text, _ in part]
        assert drawn == [texts[red] for red in reds[0] + reds[1]]
        splits.append(set(reds[1]))
    assert splits[0] == splits[1] != splits[2]
    with pytest.raises(MissingError, match="expected 40 pictures to train on and others"):
        small_sets.real(tmp_path / "meter", 40, 0)


def squares(picture: Image.Image) -> list[int]:
    """Return the levels of the squares, 8 px wide, in a picture."""
    inks = 255 - np.asarray(picture, dtype=int)
    columns = np.rint(inks.max(axis=0) * 16 / 255).astype(int).tolist()
    found = []
    for level, run in groupby(columns):
        found += [level] * (len(list(run)) // 8) if level else []
    return found


@pytest.mark.usefixtures("few")
def test_numbers_of_training_and_test_share_no_digit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each digit is a square of its own level, so that the pictures show which ones they have."""
    data = tmp_path / "sklearn/datasets/data"
    data.mkdir(parents=True)
    (tmp_path / "sklearn/__init__.py").write_text("raise ImportError('it is not imported')")
    lines = [",".join([str(level)] * 64 + [str(level % 10)]) for level in range(1, 17)]
    (data / "digits.csv.gz").write_bytes(gzip.compress("\n".join(lines).encode()))
    monkeypatch.delitem(sys.modules, "sklearn", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(small_sets, "SCALE", 1)
    train, test = small_sets.numbers(50, 0)
    assert (len(train), len(test)) == (50, 30)
    levels = []
    for part in (train, test):
        levels.append([level for _, picture in part for level in squares(picture)])
        read = "".join(str(level % 10) for level in levels[-1])
        assert read == "".join(text for text, _ in part)
    assert {len(text) for text, _ in train} == {3, 4, 5, 6}
    assert len(set(levels[0])) == 11
    assert set(levels[1]) == set(range(1, 17)) - set(levels[0])
    assert len(set(levels[0][:11])) == len(set(levels[0][11:22])) == 11  # each once, then again
    fewer, same = small_sets.numbers(20, 0)
    assert fewer == train[:20]
    assert same == test
    assert small_sets.numbers(20, 1)[1] != test


@pytest.mark.usefixtures("few")
def test_displays_of_training_and_test_share_no_typeface(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = noted(monkeypatch, "Typefaces", Typefaces)
    names = {"DSEG7Classic-Bold": "DejaVuSans", "DSEG7ClassicMini-Light": "DejaVuSans-Bold"}
    folder = folder_of_fonts(tmp_path / "dseg", **names, DSEG14Classic="DejaVuSansMono")
    with pytest.raises(MissingError, match="expected fonts DSEG7Modern"):
        small_sets.displays(folder, 10, 0)
    used.clear()
    shutil.copy(FONTS / "DejaVuSerif.ttf", folder / "DSEG7Modern-Regular.ttf")
    train, test = small_sets.displays(folder, 10, 0)
    assert (len(train), len(test)) == (10, 30)
    files = [[Path(font.path).stem for font in fonts] for fonts in used]
    assert files == [["DSEG7Classic-Bold", "DSEG7ClassicMini-Light"], ["DSEG7Modern-Regular"]]
    texts = [text for text, _ in train + test]
    assert all(re.fullmatch(r"\d{3,6}|\d{2,5}\.\d", text) for text in texts)
    assert len(set(texts)) > 30
    again, _ = small_sets.displays(folder, 5, 0)
    assert again == train[:5]


@pytest.mark.usefixtures("few")
def test_plates_of_training_and_test_share_no_kin(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = folder_of_fonts(tmp_path / "fonts", a="DejaVuSans", b="DejaVuSerif", c="STIXGeneral")
    used = noted(monkeypatch, "Renderer", Renderer)
    monkeypatch.setattr(small_sets, "find_fonts", partial(find_fonts, system=False))
    for seed in range(4):
        train, test = small_sets.plates([folder], 12, seed)
        assert (len(train), len(test)) == (12, 30)
        for text, _ in train + test:
            assert re.fullmatch(r"[\u0410-\u042f]\d{3}[\u0410-\u042f]{2}\d{2,3}", text)
    found = {tuple(sorted(font.family for font in fonts)) for fonts in used}
    assert found == {("DejaVu Sans", "DejaVu Serif"), ("STIXGeneral",)}
    for first, second in zip(used[::2], used[1::2], strict=True):
        assert not set(first) & set(second)
    with pytest.raises(MissingError, match="two kinds of typefaces, found 1"):
        small_sets.plates([folder_of_fonts(tmp_path / "one", a="DejaVuSans")], 12, 0)


def measured(tmp_path: Path, *arguments: object) -> list[dict[str, Any]]:
    """Return the runs of a table."""
    file = tmp_path / "runs.json"
    main([*map(str, arguments[:-2]), "--json", str(file), "--", *map(str, arguments[-2:])])
    runs: list[dict[str, Any]] = json.loads(file.read_text())["runs"]
    return runs


@pytest.mark.slow
def test_a_row_is_measured(
    tmp_path: Path, tiny_model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The figures are those of the model that was trained, on pictures it was not trained on."""
    soda = write_files(tmp_path / "soda", 46)
    work = tmp_path / "work"
    options = ["--model", tiny_model, "--real", soda, "--seeds", 1, "--work", work]
    runs = measured(tmp_path, *options, "--only", "soda", "--steps", 1)
    assert [(run["num_train"], run["num_test"]) for run in runs] == [(0, 46), (40, 6)]
    tuned = work / "soda/40-seed0/tuned/run/model.safetensors"
    assert tuned.read_bytes() != tiny_model.read_bytes()
    for run, model in zip(runs, (tiny_model, tuned), strict=True):
        parts = load_dataset(work / f"soda/{run['num_train']}-seed0/test").parts
        readings = Recognizer.load(model).predict(sample.path for sample in parts["all"])
        pairs = [(s.text, r.text) for s, r in zip(parts["all"], readings, strict=True)]
        assert run["exact_match"] == np.mean([truth == read for truth, read in pairs])
        edits = sum(Levenshtein.distance(truth, read) for truth, read in pairs)
        assert run["cer"] == pytest.approx(edits / sum(len(truth) for truth, _ in pairs))
    assert runs[0]["minutes"] == 0 < runs[1]["minutes"]
    table = capsys.readouterr().out
    assert re.search(r"soda +\| 40 +\|.*\| 6 +\|.*\| >= 100% +\| no", table)


def test_the_table_says_what_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(small_sets, "find_spec", lambda name: None)
    main(["--only", "meter", "--only", "numbers/100", "--only", "display"])
    table = capsys.readouterr().out
    assert "needs --real .../meter" in table
    assert "pip install --no-deps scikit-learn" in table
    assert "needs --dseg" in table
    for wrong in (["--only", "nosuch"], ["--seeds", "0"], ["--work", str(tmp_path)]):
        with pytest.raises(SystemExit):
            main(wrong)


def runs(start: str, *figures: tuple[float, float, float]) -> list[Run]:
    """Return runs with some exact matches, CERs and minutes."""
    return [
        Run("numbers", 100, start, seed, 500, exact, cer, minutes)
        for seed, (exact, cer, minutes) in enumerate(figures)
    ]


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Goal(0.6), "yes"),
        (Goal(0.61), "no"),
        (Goal(0.6, minutes=4.0), "yes"),
        (Goal(0.6, minutes=3.9), "no"),
        (Goal(0.6, cer=0.5), "yes"),
        (Goal(0.6, cer=0.4), "no"),
    ],
)
def test_medians_decide(goal: Goal, verdict: str) -> None:
    tuned = runs("bundled", (0.1, 0.9, 9.0), (0.6, 0.2, 4.0), (0.9, 0.1, 1.0))
    scratch = runs(NEW, (0.0, 1.0, 5.0), (0.3, 0.45, 5.0), (0.5, 0.1, 5.0))
    assert goal.verdict(tuned, scratch) == verdict
    if goal.cer:
        assert goal.verdict(tuned, []) == "needs --scratch"
