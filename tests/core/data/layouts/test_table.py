"""Tables: CSV, TSV, JSON Lines, each kind of malformed row, and missing images."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from exprocr.core.data.dataset import load_dataset
from tests.support.data_sets import (
    TEXTS,
    assert_complete,
    error_of,
    table,
    write_images,
)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_table(tmp_path: Path, suffix: str) -> None:
    path = table(tmp_path, suffix)
    data = load_dataset(path)
    assert list(data.parts) == ["all"]
    assert_complete(data.parts["all"])
    assert data.root == path
    assert path.name in data.layout
    assert data.warnings == []
    first_line = 1 if suffix == ".jsonl" else 2
    assert data.parts["all"][0].where == f"{path}, line {first_line}"
    # The same table found inside a folder.
    assert load_dataset(tmp_path).parts == data.parts


def test_table_in_upper_case_without_values(tmp_path: Path) -> None:
    path = table(tmp_path, ".csv", values=False).rename(tmp_path / "MINE.CSV")
    assert [s.value for s in load_dataset(path).parts["all"]] == [None] * len(TEXTS)


def test_table_may_leave_single_values_empty(tmp_path: Path) -> None:
    write_images(tmp_path, 3)
    rows = ['{"image": "0.png", "text": "1/2", "value": null}', '{"image": "1.png", "text": "2"}']
    rows += ['{"image": "2.png", "text": "3", "value": 3}']
    path = tmp_path / "l.jsonl"
    path.write_text("\n".join(rows))
    assert [s.value for s in load_dataset(path).parts["all"]] == [None, None, Fraction(3)]


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_table_without_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"labels{suffix}"
    path.write_text("image,text\n" if suffix == ".csv" else "")
    assert error_of(path) == f"{path}: expected labels, found none"


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


def test_images_outside_the_table_are_ignored(tmp_path: Path) -> None:
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
