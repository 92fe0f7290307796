"""A folder with the parts train/ and val/."""

from __future__ import annotations

from pathlib import Path

import pytest

from exprocr.core.data.dataset import load_dataset
from tests.support.data_sets import (
    LABELS,
    assert_complete,
    contest,
    error_of,
    table,
    write_images,
)


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
