"""Data sets: which layout is taken, paths without a data set, and the digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from exprocr.core.config.label_map import LabelMap
from exprocr.core.data.dataset import DataSet, load_dataset
from exprocr.errors import DataError
from tests.support.data_sets import (
    LABELS,
    contest,
    error_of,
    table,
    write_image,
)


def test_the_first_layout_that_fits_is_taken(tmp_path: Path) -> None:
    folder = table(tmp_path / "set", ".jsonl").parent
    (tmp_path / "set_labels.txt").write_text(LABELS)
    for suffix in (".jsonl", ".tsv", ".csv"):
        table(folder, suffix)
        assert load_dataset(folder).layout == f"one folder, labels in labels{suffix}"
    contest(folder)
    assert load_dataset(folder).layout == "one folder, labels in labels.txt"


def test_missing_path(tmp_path: Path) -> None:
    path = tmp_path / "nowhere"
    assert error_of(path) == (
        f"{path}: expected a folder or a .csv, .tsv, .jsonl or .parquet file, or a .txt file with "
        "a path, a tab and a label in each line, found nothing there"
    )


def test_other_file(tmp_path: Path) -> None:
    write_image(tmp_path / "0.png")
    assert "0.png: expected a folder or" in error_of(tmp_path / "0.png")


def test_name_too_long_for_the_system(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 5000)
    assert error_of(path).startswith(f"{path}: expected a readable file or folder, found: ")


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


def test_labels_are_mapped_before_their_values_are_checked(tmp_path: Path) -> None:
    folder = contest(tmp_path / "d", "5\u22122 3\n1+1 2\n2\u22121 2\n", 3)
    data = load_dataset(folder, label_map=LabelMap(["\u2212=-"]))
    assert [sample.text for sample in data.parts["all"]] == ["5-2", "1+1", "2-1"]
    assert data.layout == "one folder, labels in labels.txt; 2 labels changed by --map"
    (warning,) = data.warnings
    assert "1 of 3 values are not those of their expressions: line 3: 2-1 is 1, not 2" in warning
    assert load_dataset(folder).digest() != data.digest()
    untouched = load_dataset(folder, label_map=LabelMap(["x=*"]))
    assert untouched.layout.endswith("; 0 labels changed by --map")


def test_a_map_that_leaves_nothing_of_a_label(tmp_path: Path) -> None:
    folder = contest(tmp_path / "d", "1+1\n?\n", 2)
    with pytest.raises(DataError, match="line 2: text: expected visible characters") as caught:
        load_dataset(folder, label_map=LabelMap(["?="]))
    assert "labels.txt" in str(caught.value)
