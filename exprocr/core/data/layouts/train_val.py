"""A folder with the parts ``train/`` and ``val/``, each in a layout of one part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from exprocr.core.data.labels import IMAGE_SUFFIXES, Layout
from exprocr.core.data.layouts import beside, contest, table
from exprocr.errors import DataError
from exprocr.words import first_few, quantity

PART_LAYOUTS: tuple[Callable[[Path], Layout | None], ...] = (contest.find, table.find, beside.find)
"""The layouts of one part, in the order in which they are tried."""


def find_part(path: Path) -> Layout | None:
    """Return the first layout of one part that fits; None if none does."""
    return next((layout for find in PART_LAYOUTS if (layout := find(path))), None)


def find(path: Path) -> Layout | None:
    """Return the parts of a folder; None if it has none, or only its own labels.

    Raises:
        DataError: One part has no labels.
    """
    if not path.is_dir():
        return None
    folders = {name: path / name for name in ("train", "val")}
    if not all(folder.is_dir() for folder in folders.values()):
        return None
    found = {name: find_part(folder) for name, folder in folders.items()}
    if not any(found.values()) and find_part(path):
        return None
    parts = {}
    for name, layout in found.items():
        if layout is None:
            raise no_labels(folders[name])
        parts[name] = layout.parts["all"]
    files = (str(part.file.relative_to(path)) for part in parts.values())
    return Layout("folders train and val, labels in " + " and ".join(files), parts)


def no_labels(folder: Path) -> DataError:
    """Return the error of a folder without labels: what was expected and what was found."""
    names = sorted(entry.name for entry in folder.iterdir())
    num_images = sum(name.lower().endswith(IMAGE_SUFFIXES) for name in names)
    if num_images:
        found = f"{quantity(num_images, 'image')} and no labels"
    elif names:
        found = f"neither images nor labels ({first_few(names)})"
    else:
        found = "an empty folder"
    return DataError(
        f"{folder}: expected labels.txt (or labels.csv, .tsv, .jsonl) inside, "
        f"{beside.file_of(folder).name} beside it, or train/ and val/ with labels, found {found}"
    )
