"""Label files: every malformed line, and labels or images without the other."""

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
    table,
    write_image,
    write_images,
)

# Lines


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "line 2: expected an expression, found an empty line"),
        ("   ", "line 2: expected an expression, found an empty line"),
        ("1 + 2 3", "line 2: expected an expression without white space"),
        ("1+2  3", "line 2: expected an expression without white space"),
        (" 1+2", "line 2: expected an expression without white space"),
        ("1+2 ", "line 2: expected an expression without white space"),
        ("1\t+2", "line 2: expected an expression without white space"),
        ("1\u00a0+2 3", "line 2: expected an expression without white space"),
        ("1+2 three", "line 2: value: expected an integer or a fraction p/q, found 'three'"),
        ("1+2 +3", "line 2: value: expected an integer or a fraction p/q, found '+3'"),
        ("1+2 3.0", "line 2: value: expected an integer or a fraction p/q, found '3.0'"),
        ("1+2 1/0", "line 2: value: expected an integer or a fraction p/q, found '1/0'"),
        ("1+2 " + "9" * 5000, "line 2: value: expected an integer or a fraction p/q, found '999"),
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


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
def test_not_utf8(tmp_path: Path, mark: bytes) -> None:
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


@pytest.mark.parametrize(
    ("suffix", "content", "expected"),
    [
        (".csv", "picture,text\n0.png,1\n", "line 1: expected a column 'image', found"),
        (
            ".csv",
            "image,label\n0.png,1\n",
            "line 1: expected a column 'text', found 'image, label'",
        ),
        (".tsv", "image,text\n0.png,1\n", "line 1: expected a column 'image', found 'image,text'"),
        (".csv", "", "line 1: expected a column 'image', found none"),
        (".csv", "image,text\n0.png,1,2\n", "line 2: expected 2 columns, found 3"),
        (".csv", "image,text\n\n0.png,1\n", "line 2: expected 2 columns, found an empty line"),
        (".csv", "image,text\n,1\n", "line 2: image: expected a path, found ''"),
        (".csv", "image,text\n0.png,\n", "line 2: text: expected an expression"),
        (".csv", "image,text\n0.png,1 + 1\n", "line 2: text: expected an expression"),
        (".csv", 'image,text\n0.png,"1\n+1"\n', "line 3: text: expected an expression"),
        (".csv", 'image,text\n0.png,"1+1\n', "line 2: expected a row of a table"),
        (".csv", "image,text,value\n0.png,1,x\n", "line 2: value: expected an integer"),
        (".jsonl", '{"image": "0.png"}\n', "line 1: expected a column 'text', found 'image'"),
        (".jsonl", "{}\n", "line 1: expected a column 'image', found none"),
        (".jsonl", '{"image": "0.png", "text": "1"}\nx\n', "line 2: expected a JSON object"),
        (".jsonl", "[]\n", "line 1: expected a JSON object, found '[]'"),
        (".jsonl", "[" * 100_000, "line 1: expected a JSON object"),
        (".jsonl", '{"image": "0.png", "text": 12}\n', "line 1: text: expected an expression"),
        (".jsonl", '{"image": "0.png", "text": "\\ud800"}\n', "line 1: text: expected"),
        (".jsonl", '{"image": 0, "text": "12"}\n', "line 1: image: expected a path, found 0"),
        (".jsonl", '{"image": "a", "text": "1", "value": 1.0}\n', "line 1: value: expected an"),
        (".jsonl", '{"image": "a", "text": "1", "value": true}\n', "line 1: value: expected an"),
    ],
)
def test_malformed_table(tmp_path: Path, suffix: str, content: str, expected: str) -> None:
    write_images(tmp_path)
    path = tmp_path / f"labels{suffix}"
    path.write_text(content)
    assert error_of(path).startswith(f"{path}, {expected}")


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_table_with_byte_order_mark_and_crlf(tmp_path: Path, suffix: str) -> None:
    path = table(tmp_path, suffix)
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert_complete(load_dataset(path).parts["all"])


# Labels without images, images without labels


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


def test_images_that_a_table_does_not_name_are_no_matter(tmp_path: Path) -> None:
    path = table(tmp_path, ".csv")
    write_images(tmp_path / "pictures", 20)
    assert load_dataset(path).warnings == []
    for index in (0, 1):
        (tmp_path / "pictures" / f"{index}.png").unlink()
    assert load_dataset(path).warnings == [
        f"{path}: 2 of 4 labels have no image: pictures/0.png, pictures/1.png"
    ]
    (tmp_path / "pictures" / "2.png").unlink()
    assert "3 of 4 labels have no image" in error_of(path)


def test_two_images_of_one_stem(tmp_path: Path) -> None:
    contest(tmp_path)
    write_image(tmp_path / "1.jpg")
    assert error_of(tmp_path) == f"{tmp_path}: expected one image called 1, found 1.jpg and 1.png"


def test_no_image_at_all(tmp_path: Path) -> None:
    assert "4 of 4 labels have no image" in error_of(contest(tmp_path, num_images=0))
