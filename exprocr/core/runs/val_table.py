"""A run's ``val.csv``, whose paths lead to the data set that the run was trained on."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

from exprocr.core.config.label_map import LabelMap
from exprocr.core.config.layout_choice import LayoutChoice
from exprocr.core.data.dataset import DataSet, TablePaths, load_dataset
from exprocr.core.data.labels import read_lines
from exprocr.core.data.layouts import table
from exprocr.core.runs.layout import SPLIT_NAME, VAL_NAME
from exprocr.errors import DataError


def load_labeled(
    path: Path,
    paths: TablePaths | None = None,
    label_map: LabelMap | None = None,
    choice: LayoutChoice | None = None,
) -> DataSet:
    """Load a data set as `load_dataset` does; the table of a run may lead out of its folder.

    Raises:
        DataError: See `load_dataset`.
    """
    paths = paths or TablePaths()
    return load_dataset(
        path,
        replace(paths, allow_outside=paths.allow_outside or is_val_table(path)),
        label_map,
        choice,
    )


def is_val_table(path: Path) -> bool:
    """Return whether a table is the one that a run wrote, and nobody has added to it.

    It is called ``val.csv``, lies beside the run's ``split.json``, and lists the files that were
    held out there, in their order.

    Raises:
        DataError: ``split.json`` is there and cannot be used.
    """
    split = path.with_name(SPLIT_NAME)
    if path.name != VAL_NAME or not path.is_file() or not os.path.lexists(split):
        return False
    names = _held_out(split)
    try:
        images = [label.image for label in table.parse(path)]
    except (DataError, OSError):  # reported when the table is loaded
        return False
    return len(images) == len(names) and all(
        f"/{image}".endswith(f"/{name}") for image, name in zip(images, names, strict=True)
    )


def _held_out(split: Path) -> list[str]:
    """Read which files a run held out."""
    try:
        names = json.loads("\n".join(read_lines(split)))["val"]
    except OSError as error:
        raise DataError(f"{split}: cannot be read: {error.strerror}") from None
    except (ValueError, LookupError, TypeError, RecursionError):
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f'{split}: expected a JSON object with a list "val" of paths')
    return names
