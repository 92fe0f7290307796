"""Tables: CSV, TSV, JSON Lines, each kind of malformed row, and missing images."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest

from exprocr.core.data.dataset import TablePaths, load_dataset
from exprocr.words import quoted
from tests.support.data_sets import (
    TEXTS,
    assert_complete,
    contest,
    error_of,
    table,
    write_image,
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
            "image,remark\n0.png,1\n",
            "line 1: expected a column 'text', found 'image, remark'",
        ),
        (".tsv", "image|text\n0.png|1\n", "line 1: expected a column 'image', found 'image|text'"),
        (".csv", "", "line 1: expected a column 'image', found none"),
        (".csv", "image,text\n0.png,1,2\n", "line 2: expected 2 columns, found 3"),
        (".csv", "image,text\n\n0.png,1\n", "line 2: expected 2 columns, found an empty line"),
        (".csv", "image,text\n,1\n", "line 2: image: expected a path, found ''"),
        (".csv", "image,text\n0.png,\n", "line 2: text: expected visible characters"),
        (".csv", "image,text\n0.png, \n", "line 2: text: expected visible characters"),
        (".csv", "image,text\n0.png,1\t1\n", "line 2: text: expected visible characters"),
        (".csv", "image,text\n0.png,1\u30001\n", "line 2: text: expected visible characters"),
        (".csv", 'image,text\n0.png,"1\n+1"\n', "line 3: text: expected visible"),
        (".csv", 'image,text\n0.png,"1+1\n', "line 2: expected a row of a table"),
        (".csv", "image,text,value\n0.png,1,x\n", "line 2: value: expected an integer"),
        (".jsonl", '{"image": "0.png"}\n', "line 1: expected a column 'text', found 'image'"),
        (".jsonl", "{}\n", "line 1: expected a column 'image', found none"),
        (".jsonl", '{"image": "0.png", "text": "1"}\nx\n', "line 2: expected a JSON object"),
        (".jsonl", "[]\n", "line 1: expected a JSON object, found '[]'"),
        (".jsonl", "[" * 100_000, "line 1: expected a JSON object"),
        (".jsonl", '{"image": "0.png", "text": 12}\n', "line 1: text: expected visible"),
        (".jsonl", '{"image": "0.png", "text": "\\ud800"}\n', "line 1: text: expected"),
        (".jsonl", '{"image": 0, "text": "12"}\n', "line 1: image: expected a path, found 0"),
        (".jsonl", '{"image": "a", "text": "1", "value": 1e99}\n', "line 1: value: expected an"),
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


def rows_of(path: Path, images: Sequence[str]) -> Path:
    """Write a table of images."""
    if path.suffix == ".jsonl":
        rows = [json.dumps({"image": image, "text": "1+1"}) for image in images]
    else:
        rows = ["image,text", *(f"{image},1+1" for image in images)]
        rows = [row.replace(",", "\t" if path.suffix == ".tsv" else ",") for row in rows]
    path.write_text("\n".join(rows) + "\n")
    return path


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
@pytest.mark.parametrize("kind", ["absolute", "..", "a/../..", "./..", "a//../b/../.."])
def test_paths_that_lead_out_are_refused(tmp_path: Path, suffix: str, kind: str) -> None:
    write_images(tmp_path)
    folder = write_images(tmp_path / "data")
    for name in ("a", "b"):
        (folder / name).mkdir()
    outside = str(tmp_path / "1.png") if kind == "absolute" else f"{kind}/1.png"
    path = rows_of(folder / f"labels{suffix}", ["0.png", outside])
    line = 2 if suffix == ".jsonl" else 3
    assert error_of(path) == (
        f"{path}, line {line}: image: expected a path inside {folder}, found {quoted(outside)}; "
        "give --allow-outside if you trust this table"
    )
    assert error_of(folder) == error_of(path)
    found = load_dataset(path, TablePaths(allow_outside=True)).parts["all"]
    assert [sample.path.resolve() for sample in found] == [folder / "0.png", tmp_path / "1.png"]


def test_paths_that_stay_inside(tmp_path: Path) -> None:
    write_images(tmp_path / "a")
    names = ["a/../a/0.png", "./a/1.png", "a/..2.png", "..3.png"]
    for name in names[2:]:
        write_image(tmp_path / name)
    path = rows_of(tmp_path / "labels.csv", names)
    assert [sample.path for sample in load_dataset(path).parts["all"]] == [
        tmp_path / name for name in names
    ]


@pytest.mark.skipif("os.name == 'nt'", reason="links need a right there")
def test_links_are_followed(tmp_path: Path) -> None:
    write_images(tmp_path / "elsewhere")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "0.png").symlink_to(tmp_path / "elsewhere" / "0.png")
    (tmp_path / "data" / "more").symlink_to(tmp_path / "elsewhere")
    path = rows_of(tmp_path / "data" / "labels.csv", ["0.png", "more/1.png"])
    assert len(load_dataset(path).parts["all"]) == 2


def test_paths_start_from_the_folder_that_is_named(tmp_path: Path) -> None:
    images = write_images(tmp_path / "images")
    path = rows_of(tmp_path / "labels.csv", ["0.png", "1.png"])
    assert "2 of 2 labels have no image" in error_of(path)
    data = load_dataset(path, TablePaths(images=images))
    assert [sample.path for sample in data.parts["all"]] == [images / "0.png", images / "1.png"]
    digest = data.digest()
    moved = images.rename(tmp_path / "moved")
    assert load_dataset(path, TablePaths(images=moved)).digest() == digest
    rows_of(path, ["0.png", "../labels.csv"])
    assert f"line 3: image: expected a path inside {moved}" in error_of(
        path, TablePaths(images=moved)
    )


def test_a_folder_of_images_is_a_folder_and_for_tables(tmp_path: Path) -> None:
    path = table(tmp_path / "table", ".csv")
    for name, found in (("none", "no such folder"), ("table/labels.csv", "a file")):
        place = tmp_path / name
        assert error_of(path, TablePaths(images=place)) == (
            f"{place}: expected a folder, which --images names, found {found}"
        )
    folder = contest(tmp_path / "contest")
    assert error_of(folder, TablePaths(images=folder)) == (
        f"{folder / 'labels.txt'}: expected a table or a list, which --images is for, found labels "
        "without paths"
    )


@pytest.mark.skipif("os.name == 'nt'", reason="no such file names")
@pytest.mark.parametrize("name", ["a\rb", "a\nb", "a\r\nb", 'a"b', "a,b", "a\tb", "a\u2028b"])
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl"])
def test_any_name_of_a_file(tmp_path: Path, suffix: str, name: str) -> None:
    write_image(tmp_path / f"{name}.png")
    path = tmp_path / f"labels{suffix}"
    with path.open("w", encoding="utf-8", newline="") as file:
        if suffix == ".jsonl":
            file.write(json.dumps({"image": f"{name}.png", "text": "1"}))
        else:
            delimiter = "\t" if suffix == ".tsv" else ","
            rows = csv.writer(file, delimiter=delimiter, quoting=csv.QUOTE_ALL)
            rows.writerows([["image", "text"], [f"{name}.png", "1"]])
    assert [sample.path.stem for sample in load_dataset(path).parts["all"]] == [name]
