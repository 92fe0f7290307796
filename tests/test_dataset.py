"""Data sets: every layout written by hand with Pillow, every defect, the split, CTC feasibility."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from exprocr.core.charset import Charset
from exprocr.core.dataset import (
    DataSet,
    Sample,
    check_charset,
    check_widths,
    load_dataset,
    split,
)
from exprocr.core.image_reader import load_images
from exprocr.core.preprocess import PreprocessConfig
from exprocr.errors import DataError

TEXTS = ["(7+5)+4", "1-2*3", "9*9-(1+2)", "4/2+1"]
VALUES = [Fraction(16), Fraction(-5), Fraction(78), Fraction(3)]
LABELS = "".join(f"{t} {v}\n" for t, v in zip(TEXTS, VALUES, strict=True))


def write_image(path: Path, width: int = 180, shade: int = 20) -> None:
    image = Image.new("RGB", (width, 60), "white")
    image.paste((shade,) * 3, (10, 10, 30, 50))
    image.save(path)


def write_images(folder: Path, num_images: int = len(TEXTS), suffix: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(num_images):
        write_image(folder / f"{index}{suffix}")
    return folder


def contest(folder: Path, labels: str | bytes = LABELS, num_images: int = len(TEXTS)) -> Path:
    write_images(folder, num_images)
    data = labels.encode() if isinstance(labels, str) else labels
    (folder / "labels.txt").write_bytes(data)
    return folder


def table(folder: Path, suffix: str, values: bool = True) -> Path:
    """A table without the csv module: image, text and, optionally, value."""
    write_images(folder / "pictures")
    names = [f"pictures/{i}.png" for i in range(len(TEXTS))]
    columns = [["image", *names], ["text", *TEXTS], ["value", *map(str, VALUES)]]
    rows = list(zip(*(columns if values else columns[:2]), strict=True))
    if suffix == ".jsonl":
        lines = [json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:]]
    else:
        lines = [("\t" if suffix == ".tsv" else ",").join(row) for row in rows]
    path = folder / f"labels{suffix}"
    path.write_text("\n".join(lines) + "\n")
    return path


def error_of(path: Path) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset(path)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_complete(samples: Sequence[Sample], num_samples: int = len(TEXTS)) -> None:
    assert [s.text for s in samples] == TEXTS[:num_samples]
    assert [s.value for s in samples] == VALUES[:num_samples]
    assert [s.path.stem for s in samples] == [str(i) for i in range(num_samples)]
    assert all(s.path.is_file() for s in samples)


# Layouts


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


def test_labels_beside_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_images(tmp_path / "set")
    (tmp_path / "set_labels.txt").write_text(LABELS)
    data = load_dataset(folder)
    assert_complete(data.parts["all"])
    assert "set_labels.txt beside it" in data.layout
    monkeypatch.chdir(folder)
    assert_complete(load_dataset(Path(".")).parts["all"])


@pytest.mark.parametrize("where", ["inside", "beside", "table"])
def test_train_and_val(tmp_path: Path, where: str) -> None:
    for part, num_images in (("train", 4), ("val", 2)):
        if where == "table":
            table(tmp_path / part, ".csv")
            continue
        folder = write_images(tmp_path / part, num_images)
        labels = "".join(LABELS.splitlines(keepends=True)[:num_images])
        beside = tmp_path / f"{part}_labels.txt"
        (folder / "labels.txt" if where == "inside" else beside).write_text(labels)
    data = load_dataset(tmp_path)
    assert list(data.parts) == ["train", "val"]
    assert_complete(data.parts["train"], 4)
    assert_complete(data.parts["val"], 4 if where == "table" else 2)
    assert data.warnings == []
    assert "train" in data.layout
    assert "val" in data.layout


def test_train_and_val_come_before_labels_in_the_folder(tmp_path: Path) -> None:
    contest(tmp_path)
    (tmp_path / "train").mkdir()
    (tmp_path / "val").mkdir()
    assert list(load_dataset(tmp_path).parts) == ["all"]  # neither has labels
    contest(tmp_path / "train")
    assert str(tmp_path / "val") in error_of(tmp_path)
    contest(tmp_path / "val")
    assert list(load_dataset(tmp_path).parts) == ["train", "val"]


def test_train_and_val_without_labels(tmp_path: Path) -> None:
    write_images(tmp_path / "train", 3)
    write_images(tmp_path / "val")
    message = error_of(tmp_path)
    assert message.startswith(f"{tmp_path / 'train'}: expected labels.txt")
    assert message.endswith("found 3 images and no labels")


# No data set


def test_missing_path(tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    assert error_of(path) == (
        f"{path}: expected a folder or a .csv, .tsv or .jsonl file, found nothing there"
    )


def test_other_file(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png")
    assert "0.png: expected a folder or" in error_of(tmp_path / "0.png")


def test_name_too_long_for_the_system(tmp_path: Path) -> None:
    assert "expected" in error_of(tmp_path / ("x" * 5000))


@pytest.mark.parametrize(
    ("names", "found"),
    [
        ([], "an empty folder"),
        (["0.png", "1.JPG"], "2 images and no labels"),
        (["notes.md"], "neither images nor labels (notes.md)"),
    ],
)
def test_folder_without_labels(tmp_path: Path, names: list[str], found: str) -> None:
    folder = tmp_path / "d"
    folder.mkdir()
    for name in names:
        (folder / name).touch()
    message = error_of(folder)
    assert message.startswith(f"{folder}: expected labels.txt")
    assert "d_labels.txt" in message
    assert "train/ and val/" in message
    assert message.endswith(found)


@pytest.mark.parametrize("labels", ["", "\n\n"])
def test_no_label_at_all(tmp_path: Path, labels: str) -> None:
    assert error_of(contest(tmp_path, labels)).endswith("labels.txt: expected labels, found none")


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_table_without_rows(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"labels{suffix}"
    path.write_text("image,text\n" if suffix == ".csv" else "")
    assert error_of(path) == f"{path}: expected labels, found none"


def test_unreadable_folder(tmp_path: Path) -> None:
    contest(tmp_path)
    (tmp_path / "labels.txt").unlink()
    (tmp_path / "labels.txt").symlink_to("labels.txt")  # a loop
    assert "labels.txt" in error_of(tmp_path)


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


# Digest


def test_digest_follows_the_contents_and_not_the_place(tmp_path: Path) -> None:
    digest = load_dataset(contest(tmp_path / "a")).digest()
    assert len(bytes.fromhex(digest)) == 16
    moved = contest(tmp_path / "b")
    assert load_dataset(moved).digest() == digest
    digests = {digest}
    (moved / "labels.txt").write_text(LABELS.replace("1-2*3 -5", "1-2*4 -7"))
    digests.add(load_dataset(moved).digest())
    (moved / "labels.txt").write_text(LABELS)
    with (moved / "2.png").open("ab") as file:
        file.write(b"\0")
    digests.add(load_dataset(moved).digest())
    (moved / "3.png").unlink()
    digests.add(load_dataset(moved).digest())
    data = load_dataset(tmp_path / "a")
    digests.add(DataSet(data.root, "", {"train": data.parts["all"]}).digest())
    assert len(digests) == 5
    shuffled = DataSet(data.root, "", {"all": data.parts["all"][::-1]})
    assert shuffled.digest() == digest


@pytest.mark.parametrize("relative", [False, True])
def test_digest_of_a_table(tmp_path: Path, relative: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    path = table(tmp_path, ".csv")
    digest = load_dataset(path).digest()
    monkeypatch.chdir(tmp_path)
    assert load_dataset(Path(path.name) if relative else path).digest() == digest


def test_digest_of_a_vanished_image(tmp_path: Path) -> None:
    data = load_dataset(contest(tmp_path))
    (tmp_path / "1.png").unlink()
    with pytest.raises(DataError, match=r"1\.png"):
        data.digest()


# Split


def numbered(num_samples: int, text: str = "1+1") -> list[Sample]:
    return [Sample(Path(f"{i}.png"), text, f"labels.txt, line {i + 1}") for i in range(num_samples)]


@given(st.integers(2, 60), st.floats(0.001, 1.0), st.integers(0, 2**63 - 1))
def test_split_is_a_partition_in_order(num_samples: int, fraction: float, seed: int) -> None:
    samples = numbered(num_samples)
    train, val = split(samples, fraction, seed)
    assert sorted(train + val, key=samples.index) == samples
    assert train == sorted(train, key=samples.index)
    assert val == sorted(val, key=samples.index)
    assert train
    assert val
    assert abs(len(val) - num_samples * fraction) <= 0.5 or 1 in (len(val), len(train))
    assert (train, val) == split(samples, fraction, seed)


def test_split_is_random_and_follows_the_seed() -> None:
    samples = numbered(20)
    held_out = [frozenset(split(samples, 0.25, seed)[1]) for seed in range(200)]
    assert all(len(val) == 5 for val in held_out)
    assert len(set(held_out)) > 190
    counts = np.array([sum(sample in val for val in held_out) for sample in samples])
    assert counts.min() > 20  # 50 expected, standard deviation 6
    assert counts.max() < 80


def test_split_without_validation() -> None:
    assert split(numbered(3), 0.0, 1) == (numbered(3), [])
    assert split([], 0.0, 1) == ([], [])


@pytest.mark.parametrize(("num_samples", "place"), [(0, "^"), (1, "^labels.txt, line 1: ")])
def test_split_of_too_few(num_samples: int, place: str) -> None:
    with pytest.raises(DataError, match=f"{place}expected at least 2 images.*found {num_samples}"):
        split(numbered(num_samples), 0.5, 1)


# Images


def test_images_are_decoded_in_order(tmp_path: Path) -> None:
    contest(tmp_path)
    write_image(tmp_path / "1.png", width=240)
    calls: list[int] = []
    samples = load_dataset(tmp_path).parts["all"]
    inks = load_images(samples, PreprocessConfig(), progress=lambda: calls.append(1))
    assert [ink.shape for ink in inks] == [(60, 180), (60, 240), (60, 180), (60, 180)]
    assert {ink.dtype for ink in inks} == {np.dtype(np.uint8)}
    assert len(calls) == 4
    # write_image's ink: a box of columns 10..29 and rows 10..49.
    for ink in inks:
        rows, columns = np.nonzero(ink)
        assert (rows.min(), rows.max(), columns.min(), columns.max()) == (10, 49, 10, 29)


def test_unreadable_images_are_collected(tmp_path: Path) -> None:
    samples = load_dataset(contest(tmp_path, "1+1\n" * 6, 6)).parts["all"]
    (tmp_path / "0.png").write_bytes(b"")
    (tmp_path / "2.png").write_bytes((tmp_path / "1.png").read_bytes()[:60])
    (tmp_path / "3.png").unlink()
    (tmp_path / "5.png").write_text("no image")
    calls: list[int] = []
    with pytest.raises(DataError) as caught:
        load_images(samples, PreprocessConfig(), progress=lambda: calls.append(1))
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith(f"4 of 6 images cannot be read: {tmp_path / '0.png'}: expected")
    assert f"{tmp_path / '2.png'}: " in message
    assert f"{tmp_path / '3.png'}: expected a picture, found no such file" in message
    assert "5.png" not in message
    assert len(calls) == 6


# Labels against the model


def collapses_to(text: str, num_frames: int) -> bool:
    """Brute force over all alignments: does any of them read ``text``?"""
    blank = "_"
    return any(
        "".join(c for c, _ in itertools.groupby(path) if c != blank) == text
        for path in itertools.product("ab_", repeat=num_frames)
    )


@pytest.mark.parametrize("num_frames", range(1, 7))
def test_widths_against_all_alignments(num_frames: int) -> None:
    ink = np.zeros((60, 10 * num_frames), np.uint8)
    for length in range(1, 5):
        for letters in itertools.product("ab", repeat=length):
            text = "".join(letters)
            try:
                check_widths(numbered(1, text), [ink], lambda width: width // 10)
                feasible = True
            except DataError:
                feasible = False
            assert feasible == collapses_to(text, num_frames), text


def test_too_narrow_images_are_named_and_counted() -> None:
    samples = [*numbered(1, "1+2"), Sample(Path("d/7.png"), "(11+22", "x")] * 2
    inks = [np.zeros((60, 70), np.uint8)] * 4
    with pytest.raises(DataError) as caught:
        check_widths(samples, inks, lambda width: width // 10)
    message = str(caught.value)
    assert message.startswith(f"{Path('d/7.png')}: expected")
    assert "8 frames" in message
    assert "(11+22" in message
    assert "found 7;" in message
    assert "2 of 4 labels" in message
    assert "\n" not in message


def test_characters_outside_the_model() -> None:
    samples = [*numbered(2, "1+1"), Sample(Path("7.png"), "x1/1y", "l.txt, line 7")] * 2
    check_charset(samples, Charset("+/1xy"))
    with pytest.raises(DataError) as caught:
        check_charset(samples, Charset("+-1"))
    message = str(caught.value)
    assert message.startswith("l.txt, line 7: expected the model's characters '+-1', found 'x/y'")
    assert "x1/1y" in message
    assert "2 of 6 labels" in message
    assert "without --init" in message
    assert "\n" not in message
