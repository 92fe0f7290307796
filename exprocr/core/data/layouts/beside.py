"""Labels beside the folder: the images of ``X`` with the contest's labels in ``X_labels.txt``."""

from __future__ import annotations

from pathlib import Path

from exprocr.core.data.labels import LabelFile, Layout
from exprocr.core.data.layouts import contest


def file_of(folder: Path) -> Path:
    """Return the path that a folder's label file would have."""
    if folder.name in ("", ".."):  # the path contains neither the folder's name nor its parent
        folder = folder.resolve()
    return folder.parent / f"{folder.name}_labels.txt"


def find(path: Path) -> Layout | None:
    """Return the label file beside a folder; None if there is none."""
    if not path.is_dir() or not (file := file_of(path)).is_file():
        return None
    description = f"one folder, labels in {file.name} beside it"
    return Layout(description, {"all": LabelFile(file, path, contest.read)})
