"""A text file for each picture: ``x.png`` and ``x.gt.txt``, as kraken and Calamari read them.

A picture may also be called ``x.bin.png`` or ``x.nrm.png``, as OCRopus and Calamari call those that
are binarized or normalized.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from exprocr.core.data.labels import (
    Label,
    LabelFile,
    Layout,
    Sample,
    check_labels,
    images_by_stem,
    join,
    read_lines,
    report_missing,
)
from exprocr.core.system.limits import MAX_LABELS
from exprocr.errors import DataError
from exprocr.words import quoted

SUFFIX = ".gt.txt"

_KINDS = (".bin", ".nrm")
"""Ends of the names of pictures, before the suffix, that their texts do not have."""


def find(path: Path) -> Layout | None:
    """Return a folder with a text file beside a picture; None if it has none."""
    if not path.is_dir() or next(_texts(path), None) is None:
        return None
    description = f"one folder, each label in {SUFFIX} beside its image"
    return Layout(description, {"all": LabelFile(path, path, read)})


def _texts(folder: Path) -> Iterator[str]:
    """Yield the names of the text files of a folder."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(SUFFIX) and entry.name[0] != "." and entry.is_file():
                yield entry.name


def read(source: LabelFile, warnings: list[str]) -> list[Sample]:
    """Read the labels and join them with their images; no image is opened.

    Args:
        source: The folder.
        warnings: Receives one line for labels without an image, and one for images without a label.

    Raises:
        DataError: A text file is not one line, two images have one text, more than half of the
            labels have no image, or more than half of the images have no label.
        OSError: The folder or a file cannot be read.
    """
    folder = source.folder
    names = sorted(islice(_texts(folder), MAX_LABELS + 1), key=lambda name: (len(name), name))
    if len(names) > MAX_LABELS:
        raise DataError(f"{folder}: expected at most {MAX_LABELS:,} texts, found more")
    images = images_by_stem(folder)
    num_images = len(images)
    labels = []
    for label in check_labels(source, (_parse(source, name) for name in names), warnings):
        stem = label.image
        found = [images.pop(end, None) for end in (stem, *(f"{stem}{kind}" for kind in _KINDS))]
        pictures = [name for name in found if name]
        if len(pictures) > 1:
            both = " and ".join(pictures)
            raise DataError(f"{label.where}: expected one image of this text, found {both}")
        labels.append(label._replace(image=pictures[0] if pictures else f"{stem}.png"))
    samples = join(source, labels, warnings)
    unlabeled = sorted(images.values(), key=lambda name: (len(name), name))
    report_missing(folder, "images have no label", unlabeled, num_images, warnings)
    return samples


def _parse(source: LabelFile, name: str) -> Label:
    """Return the label in a file, with the stem of its image's name."""
    file = source.folder / name
    lines = list(islice(read_lines(file, note=source.note), 2))
    if len(lines) != 1:
        found = f"two or more, the second {quoted(lines[1])}" if lines else "none"
        raise DataError(f"{file}: expected one line, found {found}")
    return Label(str(file), name.removesuffix(SUFFIX), lines[0], None)
