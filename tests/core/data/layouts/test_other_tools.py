"""Layouts of other tools, on files made by hand after each tool's documentation."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from exprocr.core.config.layout_choice import LayoutChoice
from exprocr.core.data.dataset import DataSet, TablePaths, load_dataset
from exprocr.errors import ConfigError, DataError
from tests.support.data_sets import TEXTS, contest, error_of, table, write_image, write_images


def read(path: Path, **choice: str) -> DataSet:
    return load_dataset(path, choice=LayoutChoice(**choice))


def read_all(path: Path, **choice: str) -> tuple[dict[str, str], str]:
    """Return the text of each picture, by its name below the data set, and the line about it."""
    data = read(path, **choice)
    folder = path if path.is_dir() else path.parent
    samples = [sample for part in data.parts.values() for sample in part]
    assert all(sample.path.is_file() for sample in samples)
    return {s.path.relative_to(folder).as_posix(): s.text for s in samples}, data.layout


def two(folder: Path) -> Path:
    return write_images(folder, 2)


TWO = {"0.png": "6-(8+3)", "1.png": "7*(2+0)"}


# kraken and Calamari: a text file beside each picture


def pairs(folder: Path, texts: dict[str, str], end: str = "\n") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for stem, text in texts.items():
        (folder / f"{stem}.gt.txt").write_bytes(f"{text}{end}".encode())
    return folder


@pytest.mark.parametrize("end", ["\n", "", "\r\n"])
def test_pairs(tmp_path: Path, end: str) -> None:
    pairs(two(tmp_path), {"0": "6-(8+3)", "1": "7*(2+0)"}, end)
    found, layout = read_all(tmp_path)
    assert found == TWO
    told = "; Windows line ends" if end == "\r\n" else ""
    assert layout == f"one folder, each label in .gt.txt beside its image{told}"
    assert read(tmp_path).parts["all"][1].where == str(tmp_path / "1.gt.txt")


def test_pairs_of_binarized_pictures(tmp_path: Path) -> None:
    for name in ("a.1.bin.png", "b.nrm.png", "c.jpg"):
        write_image(tmp_path / name)
    pairs(tmp_path, {"a.1": "1", "b": "2", "c": "3"})
    found, _ = read_all(tmp_path)
    assert found == {"a.1.bin.png": "1", "b.nrm.png": "2", "c.jpg": "3"}
    write_image(tmp_path / "b.png")
    message = error_of(tmp_path)
    assert message.endswith("b.gt.txt: expected one image of this text, found b.png and b.nrm.png")


def test_pairs_that_are_incomplete_or_malformed(tmp_path: Path) -> None:
    pairs(write_images(tmp_path, 4), {str(i): "1+1" for i in range(1, 5)})
    assert read(tmp_path).warnings == [
        f"{tmp_path}: 1 of 4 labels have no image: 4.png",
        f"{tmp_path}: 1 of 4 images have no label: 0.png",
    ]
    pairs(tmp_path, {"2": "1+1\n2+2"})
    assert error_of(tmp_path) == (
        f"{tmp_path / '2.gt.txt'}: expected one line, found two or more, the second '2+2'"
    )
    pairs(tmp_path, {"2": ""})
    assert error_of(tmp_path) == f"{tmp_path / '2.gt.txt'}: expected one line, found none"


# PaddleOCR and deep-text-recognition-benchmark: path, tab, label


@pytest.mark.parametrize("name", ["gt.txt", "rec_gt.txt", "labels.txt"])
def test_list_in_a_folder(tmp_path: Path, name: str) -> None:
    two(tmp_path / "train")
    (tmp_path / name).write_text("train/0.png\t6-(8+3)\ntrain\\1.png\t 7 x 2\n")
    found, layout = read_all(tmp_path)
    assert found == {"train/0.png": "6-(8+3)", "train/1.png": "7 x 2"}
    assert layout == (
        f"one folder, paths and labels in {name}; blanks around 1 label taken off; "
        "backslashes in 1 path taken as /"
    )
    assert read(tmp_path / name).parts == read(tmp_path).parts


def test_lists_of_two_parts(tmp_path: Path) -> None:
    for part, text in (("train", "1+1"), ("test", "2+2")):
        two(tmp_path / part)
        rows = "".join(f"{part}/{i}.png\t{text}\n" for i in range(2))
        (tmp_path / f"rec_gt_{part}.txt").write_text(rows)
    data = read(tmp_path)
    assert {part: [s.text for s in some] for part, some in data.parts.items()} == {
        "train": ["1+1"] * 2,
        "val": ["2+2"] * 2,
    }
    # PaddleOCR's paths start from another folder, its data_dir.
    moved = (tmp_path / "rec_gt_train.txt").rename(tmp_path / "test" / "train.txt")
    with pytest.raises(DataError, match="2 of 2 labels have no image"):
        load_dataset(moved)
    assert len(load_dataset(moved, TablePaths(images=tmp_path)).parts["all"]) == 2


def test_lists_that_are_malformed(tmp_path: Path) -> None:
    path = tmp_path / "gt.txt"
    path.write_text("0.png\t1+1\n1.png 2+2\n")
    assert error_of(path) == (
        f"{path}, line 2: expected a path, a tab and a label, found '1.png 2+2'"
    )
    path.write_text("0.png\t1+1\n../1.png\t1\n")
    assert "line 2: image: expected a path inside" in error_of(path)
    path.write_text("0.png\t1+1\n..\\1.png\t1\n")
    assert "line 2: image: expected a path inside" in error_of(path)


# Tables: EasyOCR, Hugging Face, spreadsheets


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        (
            "labels.csv",
            "filename,words\n0.png,6-(8+3)\n1.png,7*(2+0)\n",
            "columns 'filename' and 'words'",
        ),
        (
            "metadata.csv",
            "file_name,text\n0.png,6-(8+3)\n1.png,7*(2+0)\n",
            "columns 'file_name' and 'text'",
        ),
        (
            "labels.csv",
            "Image, Text\n0.png,6-(8+3)\n1.png,7*(2+0)\n",
            "columns 'Image' and 'Text'",
        ),
        ("labels.csv", "image;text\n0.png;6-(8+3)\n1.png;7*(2+0)\n", "separated by semicolons"),
        ("labels.csv", "image\ttext\n0.png\t6-(8+3)\n1.png\t7*(2+0)\n", "separated by tabs"),
        ("labels.tsv", "image,text\n0.png,6-(8+3)\n1.png,7*(2+0)\n", "separated by commas"),
        (
            "labels.csv",
            "0.png,6-(8+3)\n1.png,7*(2+0)\n",
            "without a header, read as image, text",
        ),
        (
            "labels.csv",
            "0.png;6-(8+3);-5\n1.png;7*(2+0);14\n",
            "separated by semicolons; without a header, read as image, text, value",
        ),
        (
            "labels.csv",
            "\ufeffimage,text\r\n0.png, 6-(8+3) \r\n.\\1.png,7*(2+0)\r\n",
            "a byte-order mark; Windows line ends; blanks around 1 label taken off; "
            "backslashes in 1 path taken as /",
        ),
        ("labels.csv", 'image,text\n"0.png",6-(8+3)\n1.png,"7*(2+0)"\n', ""),
    ],
)
def test_tables(tmp_path: Path, name: str, content: str, told: str) -> None:
    (two(tmp_path) / name).write_bytes(content.encode())
    found, layout = read_all(tmp_path)
    assert found == TWO
    assert layout == "; ".join(filter(None, [f"one folder, labels in {name}", told]))


def test_a_decimal_comma_does_not_separate(tmp_path: Path) -> None:
    (two(tmp_path) / "labels.csv").write_text("0.png;1,5+1\n1.png;2,5\n")
    assert list(read_all(tmp_path)[0].values()) == ["1,5+1", "2,5"]


def test_metadata_in_json_lines(tmp_path: Path) -> None:
    """As Hugging Face's image folder has it; each row may name its columns in another order."""
    rows = [{"file_name": "0.png", "text": "6-(8+3)", "font": 3}]
    rows += [{"text": "7*(2+0)", "file_name": "1.png"}]
    (two(tmp_path) / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    found, layout = read_all(tmp_path)
    assert found == TWO
    assert layout == "one folder, labels in metadata.jsonl; columns 'file_name' and 'text'"


def test_exprocrs_own_columns_come_first(tmp_path: Path) -> None:
    content = "label,text,Text,image,path\n9,1+1,8,0.png,7\n9,2+2,8,1.png,7\n"
    (two(tmp_path) / "labels.csv").write_text(content)
    assert list(read_all(tmp_path)[0].values()) == ["1+1", "2+2"]


def test_characters_are_kept_as_they_are(tmp_path: Path) -> None:
    texts = ["1\uff0b2", "3\u22121", "2\u04452", "\uff11"]
    rows = "".join(f"{i}.png,{text}\n" for i, text in enumerate(texts))
    (write_images(tmp_path) / "labels.csv").write_text(rows, encoding="utf-8")
    assert list(read_all(tmp_path)[0].values()) == texts


def test_the_parts_of_other_tools(tmp_path: Path) -> None:
    """Hugging Face calls the second one validation, deep-text-recognition-benchmark the first one
    training."""
    for train in ("train", "training"):
        for part in (train, "validation"):
            table(tmp_path / train / part, ".csv")
        data = read(tmp_path / train)
        assert [len(samples) for samples in data.parts.values()] == [4, 4]
        assert data.layout.startswith(f"folders {train} and validation, labels in {train}")


def test_what_is_unusual_is_told_by_part(tmp_path: Path) -> None:
    for part in ("train", "val"):
        table(tmp_path / part, ".csv")
    labels = tmp_path / "val" / "labels.csv"
    labels.write_text(labels.read_text().replace(",", ";"))
    assert read(tmp_path).layout.endswith("; val: separated by semicolons")


# Labels in the names of the files


def test_names(tmp_path: Path) -> None:
    for name in ("6-(8+3).png", "7*(2+0)_1.png", "7*(2+0)_2.PNG"):
        write_image(tmp_path / name)
    pattern = "(?P<text>[^_]+)(_.*)?"
    found, layout = read_all(tmp_path, label_pattern=pattern)
    assert sorted(found.values()) == ["6-(8+3)", "7*(2+0)", "7*(2+0)"]
    assert layout == "one folder, labels in the names of the images"
    assert (
        read(tmp_path, name="names", label_pattern=pattern)
        .parts["all"][0]
        .where.endswith("6-(8+3).png")
    )
    (warning,) = read(tmp_path, label_pattern="(?P<text>[^_]+)_.*").warnings
    assert "1 of 3 names of images do not fit (?P<text>[^_]+)_.*: 6-(8+3).png" in warning
    with pytest.raises(DataError, match="expected at most half missing; 3 of 3 names"):
        read(tmp_path, label_pattern="(?P<text>[a-z]+)")
    assert "--label-pattern" in error_of(tmp_path)


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"name": "names"}, "expected --label-pattern"),
        ({"name": "table", "label_pattern": "(?P<text>.)"}, "expected the layout names"),
        ({"label_pattern": "(?P<text>"}, "expected a regular expression"),
        ({"label_pattern": "(?P<label>.)"}, r"expected a group \(\?P<text>"),
        ({"label_pattern": "(?P<text>" + "x" * 1000 + ")"}, "at most 1,000 characters"),
        ({"name": "tabel"}, "did you mean 'table'"),
    ],
)
def test_choices_that_are_none(choice: dict[str, str], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        LayoutChoice(**choice)


# Which one


def test_several_layouts_in_one_folder(tmp_path: Path) -> None:
    folder = contest(table(tmp_path, ".csv").parent)
    pairs(folder, {str(i): f"{i}+1" for i in range(len(TEXTS))})
    (folder / "metadata.csv").write_text("")
    data = read(folder)
    assert data.layout == "one folder, labels in labels.txt"
    assert data.warnings[0] == (
        f"{folder}: read as one folder, labels in labels.txt; not read: one folder, labels in "
        "labels.csv, one folder, each label in .gt.txt beside its image; --layout or the path of a "
        "label file chooses another"
    )
    assert [s.text for s in read(folder, name="pairs").parts["all"]] == ["0+1", "1+1", "2+1", "3+1"]
    assert [s.text for s in read(folder, name="table").parts["all"]] == TEXTS
    assert "not read: metadata.csv" in read(folder, name="table").warnings[0]
    with pytest.raises(DataError, match="expected labels"):
        read(folder, name="list")


def test_a_file_is_what_the_user_says(tmp_path: Path) -> None:
    path = two(tmp_path) / "all.data"
    path.write_text("image;text\n0.png;1+1\n1.png;2+2\n")
    assert "expected a folder" in error_of(path)
    assert [s.text for s in read(path, name="table").parts["all"]] == ["1+1", "2+2"]
    path.write_text("0.png\t1+1\n1.png\t2+2\n")
    assert [s.text for s in read(path, name="list").parts["all"]] == ["1+1", "2+2"]
