"""The layout of the 2017 contest: ``labels.txt`` in the folder of the images.

Line i (0-based) belongs to the image named ``i``. It holds the expression and, optionally, one
space and the value. Blanks around a line are taken off.
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
    images_by_stem,
    is_plain,
    join,
    parse_value,
    read_lines,
    report_missing,
)
from exprocr.core.data.layouts import listing
from exprocr.errors import DataError
from exprocr.words import quantity, quoted

NAME = "labels.txt"


def find(path: Path) -> Layout | None:
    """Return ``labels.txt`` in a folder; None if there is none."""
    file = path / NAME
    if not file.is_file() or listing.is_list(file):
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
    labels = check_labels(source, _parse(source), warnings)
    images = images_by_stem(source.folder)
    num_images = len(images)
    named = [
        label._replace(image=images.pop(label.image, f"{label.image}.png")) for label in labels
    ]
    samples = join(source, named, warnings)
    unlabeled = sorted(images.values(), key=lambda name: (len(name), name))
    report_missing(source.folder, "images have no label", unlabeled, num_images, warnings)
    return samples


def _parse(source: LabelFile) -> Iterator[Label]:
    """Yield the labels, each with the stem of its image's name."""
    file = source.file
    num_stripped = 0
    for index, written in enumerate(read_lines(file, note=source.note)):
        where = f"{file}, line {index + 1}"
        if not (line := written.strip()):
            raise DataError(f"{where}: expected an expression, found an empty line")
        num_stripped += len(line) != len(written)
        text, _, value = line.partition(" ")
        if not is_plain(text + value):
            raise DataError(
                f"{where}: expected an expression without white space, optionally one space and "
                f"its value, found {quoted(written)}"
            )
        yield Label(where, str(index), text, parse_value(value, where))
    if num_stripped:
        source.note(f"blanks around {quantity(num_stripped, 'line')} taken off")
