"""Lists: text files with ``path<TAB>label`` in each line and no header.

PaddleOCR reads such files, and deep-text-recognition-benchmark makes its data sets of them. There
are no quotes: all after the first tab is the label. The path of a data set is the list, or a folder
with one of `NAMES`, or with two of `NAMES_OF_PARTS`.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from exprocr.core.data.labels import (
    Label,
    LabelFile,
    Layout,
    Sample,
    check_labels,
    join,
    read_lines,
)
from exprocr.core.system.limits import MAX_LABEL_FILE_BYTES, MAX_LINE_LENGTH
from exprocr.core.system.regular import open_regular
from exprocr.errors import DataError
from exprocr.words import quoted

SUFFIX = ".txt"

NAMES = ("gt.txt", "rec_gt.txt", "labels.txt")
"""Lists that are looked for in a folder."""

NAMES_OF_PARTS = (
    ("rec_gt_train.txt", "rec_gt_val.txt"),
    ("rec_gt_train.txt", "rec_gt_test.txt"),
    ("train_list.txt", "val_list.txt"),
    ("train.txt", "val.txt"),
)
"""Lists for training and validation in one folder, as PaddleOCR's documentation calls them."""


def is_list(file: Path) -> bool:
    """Return whether the first line of a file has a tab between two texts."""
    try:
        with open_regular(file, MAX_LABEL_FILE_BYTES) as lines:
            path, _, label = lines.readline(MAX_LINE_LENGTH).partition(b"\t")
    except OSError:  # reported when it is read
        return False
    return bool(path.strip() and label.strip())


def find(path: Path) -> Layout | None:
    """Return a list, or the first one in a folder; None if there is none."""
    if path.is_file():
        return of_file(path) if path.suffix.lower() == SUFFIX and is_list(path) else None
    found = [name for name in NAMES if (path / name).is_file() and is_list(path / name)]
    if not found:
        return None
    labels = LabelFile(path / found[0], path, read, has_paths=True)
    description = f"one folder, paths and labels in {found[0]}"
    return Layout(description, {"all": labels}, tuple(found[1:]))


def of_file(path: Path) -> Layout:
    """Return the layout of a file that is a list, whatever its name."""
    labels = LabelFile(path, path.parent, read, has_paths=True)
    return Layout(f"list {path.name} of path, tab and label", {"all": labels})


def find_parts(path: Path) -> Layout | None:
    """Return the two lists of a folder; None if it has none."""
    for names in NAMES_OF_PARTS:
        files = [path / name for name in names]
        if all(file.is_file() and is_list(file) for file in files):
            parts = [LabelFile(file, path, read, has_paths=True) for file in files]
            description = f"one folder, paths and labels in {' and '.join(names)}"
            return Layout(description, dict(zip(("train", "val"), parts, strict=True)))
    return None


def read(source: LabelFile, warnings: list[str]) -> list[Sample]:
    """Read the labels and join them with their images; no image is opened.

    Args:
        source: The list, and the folder that the paths start from.
        warnings: Receives one line for labels without an image.

    Raises:
        DataError: A line has no tab, there is no label, a path leads out of the folder, or more
            than half of the labels have no image.
        OSError: The file cannot be read.
    """
    return join(source, check_labels(source, _parse(source), warnings), warnings)


def _parse(source: LabelFile) -> Iterator[Label]:
    for number, line in enumerate(read_lines(source.file, note=source.note), start=1):
        where = f"{source.file}, line {number}"
        path, tab, text = line.partition("\t")
        if not path or not tab:
            raise DataError(f"{where}: expected a path, a tab and a label, found {quoted(line)}")
        yield Label(where, path, text, None)
