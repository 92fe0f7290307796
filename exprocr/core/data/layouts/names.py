"""Labels in the names of the files, which a pattern of the user's finds: ``7*(2+0)_1.png``."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from exprocr.core.config.layout_choice import TEXT_GROUP
from exprocr.core.data.labels import (
    Label,
    LabelFile,
    Layout,
    Sample,
    check_labels,
    image_names,
    join,
    report_missing,
)


def find(path: Path, pattern: re.Pattern[str]) -> Layout | None:
    """Return a folder with images; None if it has none.

    Args:
        path: The folder.
        pattern: Matches a whole name, without its suffix; its group ``text`` is the label.
    """
    if not path.is_dir() or next(image_names(path), None) is None:
        return None
    description = "one folder, labels in the names of the images"
    return Layout(description, {"all": LabelFile(path, path, partial(_read, pattern=pattern))})


def _read(source: LabelFile, warnings: list[str], *, pattern: re.Pattern[str]) -> list[Sample]:
    """Read the labels; no image is opened.

    Raises:
        DataError: A label is malformed, or more than half of the names do not fit the pattern.
        OSError: The folder cannot be read.
    """
    names = sorted(image_names(source.folder), key=lambda name: (len(name), name))
    unfit: list[str] = []

    def labels() -> Iterator[Label]:
        for name in names:
            match = pattern.fullmatch(Path(name).stem)
            if match is None or match[TEXT_GROUP] is None:
                unfit.append(name)
            else:
                yield Label(str(source.folder / name), name, match[TEXT_GROUP], None)

    found = list(labels())
    what = f"names of images do not fit {pattern.pattern}"
    report_missing(source.folder, what, unfit, len(names), warnings)
    return join(source, check_labels(source, found, warnings), warnings)
