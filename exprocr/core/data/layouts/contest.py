"""The layout of the 2017 contest: ``labels.txt`` in the folder of the images.

Line i (0-based) belongs to the image named ``i``. It holds the expression and, optionally, one
space and the value.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from exprocr.core.data.labels import (
    IMAGE_SUFFIXES,
    Label,
    LabelFile,
    Layout,
    Sample,
    check_labels,
    check_text,
    is_plain,
    join,
    parse_value,
    read_lines,
    report_missing,
)
from exprocr.errors import DataError
from exprocr.words import quoted

NAME = "labels.txt"


def find(path: Path) -> Layout | None:
    """Return ``labels.txt`` in a folder; None if there is none."""
    file = path / NAME
    if not file.is_file():
        return None
    return Layout(f"one folder, labels in {NAME}", {"all": LabelFile(file, path, read)})


def read(source: LabelFile, warnings: list[str]) -> list[Sample]:
    """Read the labels and join them with their images; no image is opened.

    Args:
        source: The label file and the folder of the images.
        warnings: Receives one line for wrong values, one for labels without an image, and one for
            images without a label.

    Raises:
        DataError: A label is malformed, there is no label, two images have one stem, more than
            half of the labels have no image, or more than half of the images have no label.
        OSError: The file or the folder cannot be read.
    """
    labels = check_labels(source, _parse(source.file), warnings)
    images = _images_by_stem(source.folder)
    num_images = len(images)
    named = [
        label._replace(image=images.pop(label.image, f"{label.image}.png")) for label in labels
    ]
    samples = join(source, named, warnings)
    unlabeled = sorted(images.values(), key=lambda name: (len(name), name))
    report_missing(source.folder, "images have no label", unlabeled, num_images, warnings)
    return samples


def _parse(file: Path) -> Iterator[Label]:
    """Yield the labels, each with the stem of its image's name."""
    for index, line in enumerate(read_lines(file)):
        where = f"{file}, line {index + 1}"
        if not line.strip():
            raise DataError(f"{where}: expected an expression, found an empty line")
        text, space, value = line.partition(" ")
        if not text or not is_plain(text + value) or (space and not value):
            raise DataError(
                f"{where}: expected an expression without white space, optionally one space and "
                f"its value, found {quoted(line)}"
            )
        yield Label(index + 1, str(index), check_text(text, where), parse_value(value, where))


def _images_by_stem(folder: Path) -> dict[str, str]:
    """Return the file names of a folder's images by their stems."""
    images: dict[str, str] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if suffix.lower() not in IMAGE_SUFFIXES or stem[0] == "." or not entry.is_file():
                continue
            if other := images.get(stem):
                both = " and ".join(sorted((other, entry.name)))
                raise DataError(f"{folder}: expected one image called {stem}, found {both}")
            images[stem] = entry.name
    return images
