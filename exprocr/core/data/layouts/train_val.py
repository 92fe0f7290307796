"""A folder with a part for training and one for validation, each in a layout of one part."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

from exprocr.core.config.layout_choice import BY_NAME, LayoutChoice
from exprocr.core.data.labels import IMAGE_SUFFIXES, Layout
from exprocr.core.data.layouts import beside, contest, listing, lmdb, names, pairs, parquet, table
from exprocr.errors import DataError
from exprocr.words import first_few, quantity

Finder = Callable[[Path], Layout | None]

PART_LAYOUTS: dict[str, Finder] = {
    "contest": contest.find,
    "list": listing.find,
    "table": table.find,
    "beside": beside.find,
    "pairs": pairs.find,
    "parquet": parquet.find,
    "lmdb": lmdb.find,
}
"""The layouts of one part that are recognized, in the order in which they are tried."""

TRAIN = ("train", "training")
VAL = ("val", "validation", "valid")
"""Names of the folders of the parts, the most usual first."""


def finders(choice: LayoutChoice) -> Mapping[str, Finder]:
    """Return the layouts of one part that a data set may have."""
    if choice.label_pattern is not None:
        return {BY_NAME: partial(names.find, pattern=re.compile(choice.label_pattern))}
    return PART_LAYOUTS if choice.name is None else {choice.name: PART_LAYOUTS[choice.name]}


def find_part(path: Path, layouts: Mapping[str, Finder]) -> Layout | None:
    """Return the first layout of one part that fits, with the others as unread; None if none does.

    Args:
        path: The folder or file.
        layouts: The layouts to try.
    """
    found = [layout for find in layouts.values() if (layout := find(path))]
    if not found:
        return None
    first, *others = found
    return first._replace(unread=(*first.unread, *(other.description for other in others)))


def find(path: Path, layouts: Mapping[str, Finder]) -> Layout | None:
    """Return the parts of a folder; None if it has none, or only its own labels.

    Args:
        path: The folder.
        layouts: The layouts that its parts may have.

    Raises:
        DataError: One part has no labels.
    """
    if not path.is_dir():
        return None
    folders = {}
    for part, known in (("train", TRAIN), ("val", VAL)):
        folder = next((path / name for name in known if (path / name).is_dir()), None)
        if folder is None:
            return None
        folders[part] = folder
    found = {part: find_part(folder, layouts) for part, folder in folders.items()}
    own = find_part(path, layouts)
    if not any(found.values()) and own:
        return None
    parts = {}
    unread = [own.description] if own else []
    for part, layout in found.items():
        if layout is None:
            raise no_labels(folders[part])
        parts[part] = layout.parts["all"]
        unread += [f"{folders[part].name}: {other}" for other in layout.unread]
    both = " and ".join(folder.name for folder in folders.values())
    files = (str(part.file.relative_to(path)) for part in parts.values())
    description = f"folders {both}, labels in " + " and ".join(files)
    return Layout(description, parts, tuple(unread))


def no_labels(folder: Path) -> DataError:
    """Return the error of a folder without labels: what was expected and what was found."""
    entries = sorted(entry.name for entry in folder.iterdir())
    num_images = sum(name.lower().endswith(IMAGE_SUFFIXES) for name in entries)
    if num_images:
        found = f"{quantity(num_images, 'image')} and no labels"
    elif entries:
        found = f"neither images nor labels ({first_few(entries)})"
    else:
        found = "an empty folder"
    return DataError(
        f"{folder}: expected labels.txt (or labels.csv, .tsv, .jsonl, gt.txt, metadata.csv, "
        f"{pairs.SUFFIX} beside each image) inside, {beside.file_of(folder).name} beside it, "
        "train/ and val/ with labels, or --label-pattern for labels in the names of the images, "
        f"found {found}"
    )
