"""``exprocr report``: what a run lacks, what is no run, and where the page goes."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from exprocr.core.model.artifact import MODEL_FILE_NAME
from exprocr.core.runs.layout import (
    CONFIG_NAME,
    METRICS_NAME,
    SPLIT_NAME,
    TENSORS_NAME,
    VAL_NAME,
)
from exprocr.report.run import inside, training
from exprocr.synth import fonts
from exprocr.viz.architecture import profile
from tests.support.pictures import matplotlib_fonts
from tests.support.report_runs import (
    BUNDLED,
    SAMPLES,
    SECTIONS,
    facts,
    gaps,
    make_pictures,
    make_run,
    page_of,
    report,
    section,
)

DRAWINGS = [
    (training, "draw_curves"),
    (training, "draw_distributions"),
    (training, "draw_history"),
    (inside, "draw_alignment"),
    (inside, "explain"),
    (inside, "draw_explanation"),
    (inside, "draw_grid"),
]


@pytest.fixture(autouse=True)
def quick_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw empty pictures: what is in them has tests of its own."""
    empty: Callable[..., Any] = lambda *args, **options: Image.new("L", (9, 9))  # noqa: E731
    for module, name in DRAWINGS:
        monkeypatch.setattr(module, name, empty)
    monkeypatch.setattr(profile, "MAX_SECONDS", 0.0)


@pytest.fixture(scope="module")
def tiny_run(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    pictures = [(picture, "1+1") for picture in make_pictures(folder / "pictures", 5)]
    return make_run(folder / "run", tiny_model, pictures)


@pytest.fixture
def copy(tiny_run: Path, tmp_path: Path) -> Path:
    """Return a copy of the run, to take things out of."""
    return Path(shutil.copytree(tiny_run, tmp_path / "copy"))


@pytest.mark.parametrize(
    ("lost", "name", "reason"),
    [
        (METRICS_NAME, "curves", "the learning curves: "),
        (TENSORS_NAME, "tensors", "how the weights moved: "),
        (CONFIG_NAME, "configuration", "the settings: "),
    ],
)
def test_what_is_lost_is_said_and_the_rest_is_made(
    copy: Path, lost: str, name: str, reason: str
) -> None:
    (copy / lost).unlink()
    result = report(copy)
    page = page_of(result, copy / "report.html")
    assert [part.attributes["id"] for part in page.all("section")] == SECTIONS
    (gap,) = gaps(section(page, name))
    assert gap.startswith(f"Left out: {reason}")
    assert str(copy / lost) in gap or lost in gap
    assert f"left out: {reason}" in result.stderr
    assert not section(page, name).all("img")
    others = set(SECTIONS) - {name, "evaluation", "configuration"}
    assert all(section(page, other).all("img") for other in others)


def test_without_validation_images_a_rendered_one_is_looked_into(
    copy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Few fonts: those of the system are many.
    monkeypatch.setattr(fonts, "system_font_folders", lambda: [matplotlib_fonts()])
    (copy / VAL_NAME).write_text("image,text\n" + "".join(f"gone{i}.png,1+1\n" for i in range(9)))
    result = report(copy)
    page = page_of(result, copy / "report.html")
    (gap,) = gaps(section(page, "evaluation"))
    assert gap.startswith("Left out: the evaluation: ")
    assert gap.removeprefix("Left out: ") in result.stderr
    assert len(section(page, "features").all("img")) == 7
    assert "rendered sample" in section(page, "features").text
    assert "exact match" not in result.stdout


def test_where_all_is_right_the_least_sure_are_shown(tmp_path: Path) -> None:
    lines = (SAMPLES / "labels.txt").read_text().splitlines()
    pictures = [(SAMPLES / f"{i}.png", line.split()[0]) for i, line in enumerate(lines)]
    run = make_run(tmp_path / "run", BUNDLED, pictures)
    part = section(page_of(report(run), run / "report.html"), "worst")
    assert "All 6 validation images are read right" in part.text
    confidences = [float(facts(card)["confidence"]) for card in part.all("li")]
    assert len(confidences) == 6
    assert confidences == sorted(confidences)
    assert not part.all("mark")


def test_unreadable_images_are_named_and_not_counted(copy: Path) -> None:
    lines = (copy / VAL_NAME).read_text().splitlines()
    for i in range(4):
        (copy / f"{i}.png").write_bytes(b"no picture")
    (copy / VAL_NAME).write_text("\n".join(lines + [f"{i}.png,1+1" for i in range(4)]) + "\n")
    record = json.loads((copy / SPLIT_NAME).read_text())
    record["val"] += [f"{i}.png" for i in range(4)]
    (copy / SPLIT_NAME).write_text(json.dumps(record))
    result = report(copy)
    shown = facts(section(page_of(result, copy / "report.html"), "evaluation"))
    assert (shown["images"], shown["unreadable"]) == ("5", "4, not counted")
    assert len(re.findall(r"\d\.png: expected a picture", result.stderr)) == 3
    assert "4 images" in result.stderr


def test_a_table_that_was_added_to_may_not_lead_elsewhere(copy: Path, tmp_path: Path) -> None:
    Image.new("L", (180, 60), 255).save(tmp_path / "mine.png")
    with (copy / VAL_NAME).open("a") as file:
        file.write(f"{tmp_path / 'mine.png'},1+1\n")
    page = page_of(report(copy), copy / "report.html")
    (gap,) = gaps(section(page, "evaluation"))
    assert "image: expected a path inside" in gap
    page = page_of(report(copy, "--allow-outside"), copy / "report.html")
    assert facts(section(page, "evaluation"))["images"] == "6"


@pytest.mark.parametrize(
    ("planned", "gap"),
    [
        ("epochs = 50\nsteps = 0\n", "3 of 50 epochs are done"),
        ("epochs = 3\nsteps = 900\n", " of 900 steps are done"),
        ("epochs = 50\nsteps = 3\n", ""),
    ],
)
def test_a_run_in_training_says_how_far_it_is(copy: Path, planned: str, gap: str) -> None:
    config = copy / CONFIG_NAME
    config.write_text(config.read_text().replace("epochs = 3\nsteps = 0\n", planned))
    result = report(copy)
    found = gaps(section(page_of(result, copy / "report.html"), "curves"))
    assert [gap in reason for reason in found] == ([True] if gap else [])
    assert gap in result.stderr


def test_the_summary(copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "300")  # no cell is folded
    file = tmp_path / "deep" / "page.html"
    result = report(copy, "-o", file)
    rows = dict(line.split(maxsplit=1) for line in result.stdout.splitlines()[1:])
    assert rows["images"].strip() == "5"
    assert rows["size"].strip() == f"{file.stat().st_size / 1e6:.1f} MB"
    assert rows["exact"].split() == ["match", "0.00%"]
    assert file.stat().st_size < 10e6
    assert not (copy / "report.html").exists()


def test_what_is_no_run(tiny_run: Path, copy: Path, tmp_path: Path) -> None:
    (copy / MODEL_FILE_NAME).unlink()
    cases = [
        (tmp_path / "none", "found no such folder"),
        (tiny_run / MODEL_FILE_NAME, "found a file"),
        (copy, "expected a model file, found none"),
    ]
    for run, message in cases:
        result = report(run, "-o", tmp_path / "x" / "page.html")
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert message in line
    assert not (tmp_path / "x").exists()


def test_a_place_that_cannot_be_written_is_found_before_reading(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setattr("exprocr.core.reading.recognizer.Recognizer.stream", None)
    for place in (tmp_path, tmp_path / "file" / "page.html"):
        result = report(copy, "-o", place)
        assert (result.exit_code, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert str(tmp_path) in line


@pytest.mark.parametrize("limit", [0, 401])
def test_wrong_use(tiny_run: Path, limit: int) -> None:
    assert report(tiny_run, "--limit", limit).exit_code == 2
