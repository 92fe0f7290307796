"""LMDB folders, as parseq and deep-text-recognition-benchmark write them."""

from __future__ import annotations

from pathlib import Path

from exprocr.core.data.labels import (
    Label,
    LabelFile,
    Layout,
    Sample,
    check_labels,
    join,
    report_missing,
)
from exprocr.core.data.lmdb_folder import DATA_NAME, LmdbPicture, entries


def find(path: Path) -> Layout | None:
    """Return an LMDB folder; None if it is none."""
    if not (path / DATA_NAME).is_file():
        return None
    return Layout("LMDB folder", {"all": LabelFile(path / DATA_NAME, path, read)})


def read(source: LabelFile, warnings: list[str]) -> list[Sample]:
    """Read the labels; the pictures are left where they are.

    Raises:
        DataError: The folder is damaged, a label is malformed, there is no label, or more than half
            of the samples have no label or no picture.
        OSError: The folder cannot be read.
    """
    folder = source.folder
    labels, without_text, without_picture = [], [], []
    num = 0
    for number, text, has_picture in entries(folder):
        num += 1
        key = f"image-{number}"
        if text is None:
            without_text.append(key)
        elif not has_picture:
            without_picture.append(key)
        else:
            where = f"{folder}, label-{number}"
            labels.append(Label(where, key, text, None, LmdbPicture(folder, key)))
    report_missing(folder, "images have no label", without_text, num, warnings)
    report_missing(folder, "labels have no image", without_picture, num, warnings)
    return join(source, check_labels(source, labels, warnings), warnings)
