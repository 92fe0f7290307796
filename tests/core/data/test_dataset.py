"""Data sets: every layout written by hand with Pillow, what is none, and the digest."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from exprocr.core.data.dataset import DataSet, load_dataset
from exprocr.errors import DataError
from tests.support.data_sets import (
    LABELS,
    TEXTS,
    assert_complete,
    contest,
    error_of,
    table,
    write_image,
    write_images,
)

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
