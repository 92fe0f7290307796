"""``exprocr label``: which images and labels are on the page, and what is reported."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.label_pages import data_of, draw_many, label
from tests.support.predict_runs import draw, predict_with, tsv


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with three images, and one more in a folder inside it."""
    folder = draw_many(tmp_path_factory.mktemp("label") / "images", 3)
    (folder / "in").mkdir()
    draw(folder / "in" / "=1.png", "7*7")
    return folder


def test_readings_are_those_of_predict(images: Path, tiny_model: Path, tmp_path: Path) -> None:
    page = tmp_path / "new" / "page.html"
    done = label(tiny_model, images, images / "in", images / "0.png", "-o", page)
    assert done.exit_code == 0, done.stderr
    data = data_of(page)
    read = tsv(predict_with(tiny_model, images, images / "in"))
    shown = sorted((p["cell"], p["text"], f"{p['confidence']:.4f}") for p in data["pictures"])
    names = ["0.png", "1.png", "2.png", "in/=1.png"]
    assert shown == [
        (name, text, sure) for name, (_, text, _, sure, _) in zip(names, read, strict=True)
    ]
    confidences = [p["confidence"] for p in data["pictures"]]
    assert confidences == sorted(confidences)
    html = page.read_text()
    assert f"exprocr train labels.csv --images {images} --init {tiny_model}" in html


def test_a_spreadsheet_takes_no_path_for_a_formula(
    images: Path, tiny_model: Path, tmp_path: Path
) -> None:
    page = tmp_path / "page.html"
    assert label(tiny_model, images / "in", "-o", page).exit_code == 0
    assert [p["cell"] for p in data_of(page)["pictures"]] == ["./=1.png"]


def test_unreadable_images_are_listed(images: Path, tiny_model: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(images, tmp_path / "images")
    (folder / "a.png").write_bytes(b"no picture")
    page = tmp_path / "page.html"
    done = label(tiny_model, folder, tmp_path / "gone.png", "-o", page)
    assert done.exit_code == 1
    assert "a.png: expected a picture" in done.stderr
    assert "gone.png: expected a picture, found no such file" in done.stderr
    *others, last = data_of(page)["pictures"]
    assert [p["number"] for p in sorted(others, key=lambda p: str(p["name"]))] == [0, 1, 2]
    assert last["name"] == "a.png"
    assert "expected a picture" in last["problem"]


def test_labels_to_check(images: Path, tiny_model: Path, tmp_path: Path) -> None:
    texts = [row[1] for row in tsv(predict_with(tiny_model, images))]
    table = tmp_path / "labels.csv"
    table.write_text(f"image,text\n0.png,{texts[0]}\n1.png,{texts[1]}+1\nin/=1.png,7*7\n0.png,9\n")
    page = tmp_path / "page.html"
    done = label(tiny_model, "--labels", table, "--images", images, "-o", page)
    assert done.exit_code == 0, done.stderr
    assert "warning: 1 image listed again" in done.stderr
    rows = dict(line.rsplit(maxsplit=1) for line in done.stdout.splitlines()[1:4])
    assert rows == {"images": "3", "labeled": "3", "read otherwise": "3"}
    assert {p["name"]: p["label"] for p in data_of(page)["pictures"]} == {
        "0.png": "9",
        "1.png": f"{texts[1]}+1",
        "in/=1.png": "7*7",
    }
    # Images that are named, with a label or without one.
    options = ("--labels", table, "--images", images, "-o", page)
    assert label(tiny_model, images / "1.png", images / "2.png", *options).exit_code == 0
    assert [(p["name"], "label" in p) for p in data_of(page)["pictures"]] == [
        ("1.png", True),
        ("2.png", False),
    ]
    assert data_of(page)["pictures"][0]["labelDiffers"]


@pytest.mark.parametrize(
    ("args", "code", "message"),
    [
        ([], 2, "Give IMAGES, or labels to check"),
        (["-"], 2, "found - (standard input)"),
        (["gone"], 1, "gone: expected a picture, found no such file"),
        (["--labels", "gone"], 1, "gone: expected a folder or"),
        (["{images}", "-o", "{images}"], 1, "expected the name of a file, found a folder"),
        (["{images}", "--images", "gone"], 2, "--images is for --labels"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    images: Path, tiny_model: Path, args: list[str], code: int, message: str
) -> None:
    done = label(tiny_model, *(arg.format(images=images) for arg in args))
    assert (done.exit_code, done.stdout) == (code, "")
    assert message in done.stderr


def test_labels_in_names_of_files(tiny_model: Path, tmp_path: Path) -> None:
    draw(tmp_path / "7+1_a.png", "7+1")
    pattern = ("--label-pattern", "(?P<text>[^_]+)_.*")
    page = tmp_path / "page.html"
    assert label(tiny_model, "--labels", tmp_path, *pattern, "-o", page).exit_code == 0
    assert [p["label"] for p in data_of(page)["pictures"]] == ["7+1"]
    refused = label(tiny_model, tmp_path, *pattern, "-o", page)
    assert refused.exit_code == 2
    assert "--label-pattern is for --labels" in refused.stderr
