"""The contest's layout: labels.txt, malformed lines, labels and images without the other."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from exprocr.core.data.dataset import load_dataset
from exprocr.core.text.charset import Charset
from tests.support.data_sets import (
    LABELS,
    assert_complete,
    contest,
    error_of,
    write_image,
    write_images,
)


def test_contest_layout(tmp_path: Path) -> None:
    data = load_dataset(contest(tmp_path / "data"))
    assert list(data.parts) == ["all"]
    assert_complete(data.parts["all"])
    assert data.parts["all"][2].where == f"{tmp_path / 'data' / 'labels.txt'}, line 3"
    assert "labels.txt" in data.layout
    assert "\n" not in data.layout
    assert data.warnings == []


@pytest.mark.parametrize(
    "suffix", [".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".PNG"]
)
def test_image_suffixes(tmp_path: Path, suffix: str) -> None:
    (write_images(tmp_path, suffix=suffix) / "labels.txt").write_text(LABELS)
    assert_complete(load_dataset(tmp_path).parts["all"])


@pytest.mark.parametrize("labels", ["", "\n\n"])
def test_no_label_at_all(tmp_path: Path, labels: str) -> None:
    assert error_of(contest(tmp_path, labels)).endswith("labels.txt: expected labels, found none")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "line 2: expected an expression, found an empty line"),
        ("   ", "line 2: expected an expression, found an empty line"),
        ("1 + 2 3", "line 2: expected an expression without white space"),
        ("1+2  3", "line 2: expected an expression without white space"),
        ("1\t+2", "line 2: expected an expression without white space"),
        ("1\u00a0+2 3", "line 2: expected an expression without white space"),
        (
            "1+2 three",
            "line 2: value: expected an integer, a decimal or a fraction p/q, found 'three'",
        ),
        ("1+2 +3", "line 2: value: expected an integer, a decimal or a fraction p/q, found '+3'"),
        ("1+2 3.", "line 2: value: expected an integer, a decimal or a fraction p/q, found '3.'"),
        ("1+2 1/0", "line 2: value: expected an integer, a decimal or a fraction p/q, found '1/0'"),
        (
            "1+2 " + "9" * 5000,
            "line 2: value: expected an integer, a decimal or a fraction p/q, found '999",
        ),
    ],
)
def test_malformed_line(tmp_path: Path, line: str, expected: str) -> None:
    message = error_of(contest(tmp_path, f"1+1 2\n{line}\n2+2 4\n"))
    assert message.startswith(f"{tmp_path / 'labels.txt'}, {expected}")
    assert len(message) < 400 + len(str(tmp_path))


@pytest.mark.parametrize(
    "labels",
    [
        LABELS.encode() + b"\n \n\n",
        LABELS.rstrip().encode(),
        b"\xef\xbb\xbf" + LABELS.encode(),
        LABELS.replace("\n", "\r\n").encode() + b"\r\n",
    ],
    ids=["blank lines at the end", "no line end", "byte-order mark", "CRLF"],
)
def test_tolerated_text_files(tmp_path: Path, labels: bytes) -> None:
    assert_complete(load_dataset(contest(tmp_path, labels)).parts["all"])


def test_labels_without_values_and_with_fractions(tmp_path: Path) -> None:
    data = load_dataset(contest(tmp_path, "1+1\n1/2-1 -1/2\n流*2\n", 3))
    assert [s.value for s in data.parts["all"]] == [None, Fraction(-1, 2), None]
    assert data.warnings == []
    assert data.charset == Charset("*+-/12流")


def test_blanks_around_a_line_are_taken_off(tmp_path: Path) -> None:
    data = load_dataset(contest(tmp_path, " (7+5)+4 16\n1-2*3 -5 \n9*9-(1+2) 78\n4/2+1 3\n"))
    assert_complete(data.parts["all"])
    assert data.layout == "one folder, labels in labels.txt; blanks around 2 lines taken off"


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_a_file_that_is_not_utf8(tmp_path: Path, mark: bytes) -> None:
    message = error_of(contest(tmp_path, mark + b"1+1 2\n1+2 3\n1\xff2 3\n"))
    assert message == f"{tmp_path / 'labels.txt'}, line 3: expected UTF-8, found the byte 0xff"


def test_wrong_values_are_counted_and_kept(tmp_path: Path) -> None:
    data = load_dataset(contest(tmp_path, "1+1 2\n1+1 3\n1/0 4\n1+2 5\n1+2 6\n1+2 3\n", 6))
    (warning,) = data.warnings
    assert warning.startswith(f"{tmp_path / 'labels.txt'}: 4 of 6 values")
    for place in ("line 2: 1+1 is 2, not 3", "line 3: 1/0 is without a value, not 4", "line 4"):
        assert place in warning
    assert "line 5" not in warning
    assert [s.value for s in data.parts["all"]] == [2, 3, 4, 5, 6, 3]


def test_some_images_missing(tmp_path: Path) -> None:
    contest(tmp_path, "1+1\n" * 8, 8)
    for index in (1, 3, 5, 7):
        (tmp_path / f"{index}.png").unlink()
    data = load_dataset(tmp_path)
    assert [s.path.stem for s in data.parts["all"]] == ["0", "2", "4", "6"]
    assert [s.where[-1] for s in data.parts["all"]] == ["1", "3", "5", "7"]
    assert data.warnings == [
        f"{tmp_path / 'labels.txt'}: 4 of 8 labels have no image: 1.png, 3.png, 5.png, ..."
    ]
    (tmp_path / "0.png").unlink()
    labels = tmp_path / "labels.txt"
    assert error_of(tmp_path).startswith(
        f"{labels}: expected at most half missing; 5 of 8 labels have no image: 0.png, "
    )


def test_some_labels_missing(tmp_path: Path) -> None:
    contest(tmp_path, "1+1\n" * 4, 8)
    (tmp_path / "notes.md").touch()
    (tmp_path / "._0.png").touch()  # another system's leavings
    assert load_dataset(tmp_path).warnings == [
        f"{tmp_path}: 4 of 8 images have no label: 4.png, 5.png, 6.png, ..."
    ]
    write_image(tmp_path / "cover.png")
    assert "5 of 9 images have no label" in error_of(tmp_path)


def test_two_images_of_one_stem(tmp_path: Path) -> None:
    contest(tmp_path)
    write_image(tmp_path / "1.jpg")
    assert error_of(tmp_path) == f"{tmp_path}: expected one image called 1, found 1.jpg and 1.png"


def test_no_image_at_all(tmp_path: Path) -> None:
    assert "4 of 4 labels have no image" in error_of(contest(tmp_path, num_images=0))
