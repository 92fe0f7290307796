"""Data sets: loading their labels, splitting them, and checking them against a model.

Defects of a whole data set are found here, before any training. A `DataError` stops the program;
warnings (`DataSet.warnings`) are for the caller to show.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exprocr.core.config.label_map import LabelMap
from exprocr.core.config.layout_choice import LayoutChoice
from exprocr.core.data.labels import LabelFile, Layout, Sample, TablePaths
from exprocr.core.data.layouts import listing, table, train_val
from exprocr.core.system.memory import garbage_kept
from exprocr.core.text.charset import Charset, num_frames_needed
from exprocr.core.text.notation import look_alike
from exprocr.errors import DataError
from exprocr.words import quantity, quoted, shortened

__all__ = [
    "DataSet",
    "Sample",
    "TablePaths",
    "charset_problem",
    "check_charset",
    "check_widths",
    "load_dataset",
    "split",
]

FILES = {"table": table.of_file, "list": listing.of_file}
"""Layouts that a file has, whatever its name, if the user says so."""


@dataclass
class DataSet:
    """The samples of a data set."""

    root: Path
    """The folder or table, as given by the caller."""

    layout: str
    """The layout that was recognized and how many labels were changed, one line for people."""

    parts: dict[str, list[Sample]]
    """Either ``train`` and ``val``, or ``all``; no part is empty."""

    warnings: list[str] = field(default_factory=list)
    """Minor defects, one line each."""

    images: Path | None = None
    """The folder that the paths of its tables start from, where the caller named one."""

    @property
    def held_out(self) -> str:
        """The part to measure on: ``val`` if there is one, else ``all``."""
        return "val" if "val" in self.parts else "all"

    @property
    def charset(self) -> Charset:
        """The characters of all labels; a `DataError` if there are too many."""
        try:
            return Charset.from_texts(s.text for part in self.parts.values() for s in part)
        except ValueError as error:
            raise DataError(f"{self.root}: {error}") from None

    def digest(self) -> str:
        """Return a fingerprint, which shows on resuming whether the data set has changed.

        It covers each picture's part, path relative to the root (or to `images`), label and size of
        the file that it is in, in any order. No pixels are read: if a picture is replaced by
        another one and the size of the file stays, so does the fingerprint.

        Returns:
            BLAKE2b of 16 bytes, hexadecimal.

        Raises:
            DataError: A picture no longer exists.
        """
        base = self.images or (self.root if self.root.is_dir() else self.root.parent)
        contents: dict[str, list[tuple[str, str, int]]] = {}
        for part, samples in self.parts.items():
            rows = contents[part] = []
            for sample in samples:
                path = sample.path
                name = path.relative_to(base) if path.is_relative_to(base) else path
                try:
                    rows.append((name.as_posix(), sample.text, sample.file.stat().st_size))
                except OSError as error:
                    raise _unreadable(sample.file, error) from error
            rows.sort()
        encoded = json.dumps(contents, sort_keys=True).encode()
        return hashlib.blake2b(encoded, digest_size=16).hexdigest()


def load_dataset(
    path: Path,
    paths: TablePaths | None = None,
    label_map: LabelMap | None = None,
    choice: LayoutChoice | None = None,
) -> DataSet:
    """Recognize a data set's layout and read its labels; no picture is opened.

    Args:
        path: A folder or a file, in any layout of `exprocr.core.data.layouts`.
        paths: Where the paths of a table start and may lead; None keeps them in its folder.
        label_map: Changes the texts of the labels; None changes none.
        choice: The layout that the user names; None recognizes it.

    Raises:
        DataError: There is no data set, a label is malformed, there is no label, a path leads out
            of the folder it starts from, more than half of the labels have no image, or more than
            half of the images have no label.
    """
    paths = paths or TablePaths()
    label_map = label_map or LabelMap()
    num_changed = label_map.num_changed
    notes: dict[str, list[str]] = {}
    try:
        layout = _find(path, choice or LayoutChoice())
        warnings = []
        if layout.unread:
            warnings.append(
                f"{path}: read as {layout.description}; not read: {', '.join(layout.unread)}; "
                "--layout or the path of a label file chooses another"
            )
        with garbage_kept():
            parts = {}
            for part, labels in layout.parts.items():
                notes[part] = []
                source = _place(labels, paths)
                source = source._replace(label_map=label_map, note=notes[part].append)
                parts[part] = labels.read(source, warnings)
    except OSError as error:
        raise _unreadable(Path(error.filename or path), error) from error
    description = "; ".join([layout.description, *_unusual(notes)])
    if label_map.replacements:
        changed = label_map.num_changed - num_changed
        description += f"; {quantity(changed, 'label')} changed by --map"
    return DataSet(path, description, parts, warnings, paths.images)


def _place(labels: LabelFile, paths: TablePaths) -> LabelFile:
    """Return a label file with the folder that its paths start from and whether they may leave it.

    Raises:
        DataError: A folder is named, and there is none, or the labels are in no table.
    """
    folder = paths.images
    if folder is not None and not folder.is_dir():
        found = "a file" if folder.exists() else "no such folder"
        raise DataError(f"{folder}: expected a folder, which --images names, found {found}")
    if folder is not None and not labels.has_paths:
        raise DataError(
            f"{labels.file}: expected a table or a list, which --images is for, found labels "
            "without paths"
        )
    return labels._replace(folder=folder or labels.folder, allow_outside=paths.allow_outside)


def _find(path: Path, choice: LayoutChoice) -> Layout:
    """Return the layout at a path.

    Raises:
        DataError: There is no data set, or not in the layout that the user names.
    """
    if choice.name in FILES and path.is_file():
        return FILES[choice.name](path)
    layouts = train_val.finders(choice)
    layout = train_val.find(path, layouts)
    if layout is None and "list" in layouts:
        layout = listing.find_parts(path)
    if layout is None:
        layout = train_val.find_part(path, layouts)
    if layout is not None:
        return layout
    if path.is_dir():
        raise train_val.no_labels(path)
    found = "another kind of file" if path.exists() else "nothing there"
    raise DataError(
        f"{path}: expected a folder or a .csv, .tsv, .jsonl or .parquet file, or a .txt file with "
        f"a path, a tab and a label in each line, found {found}"
    )


def _unusual(notes: Mapping[str, Sequence[str]]) -> list[str]:
    """Return what is unusual in how the labels of each part are written, each once."""
    told = {part: list(dict.fromkeys(several)) for part, several in notes.items()}
    if len({tuple(several) for several in told.values()}) == 1:
        return next(iter(told.values()))
    return [f"{part}: {', '.join(several)}" for part, several in told.items() if several]


def split(
    samples: Sequence[Sample], val_fraction: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Hold out a random share of the samples for validation.

    The same samples, fraction and seed give the same split.

    Args:
        samples: n samples.
        val_fraction: Share to hold out, 0..1. Above 0, both sides get at least one sample.
        seed: Seed of the permutation, at least 0.

    Returns:
        The training and the validation samples, both in their original order.

    Raises:
        DataError: There are fewer than two samples to split.
    """
    if val_fraction <= 0:
        return list(samples), []
    num_samples = len(samples)
    if num_samples < 2:
        place = f"{samples[0].where}: " if samples else ""
        raise DataError(
            f"{place}expected at least 2 images to hold some out for validation, "
            f"found {num_samples}"
        )
    num_val = min(max(round(num_samples * val_fraction), 1), num_samples - 1)
    # The second number makes this stream independent of others with the same seed.
    permutation = np.random.default_rng((seed, 1)).permutation(num_samples)
    held_out = set(permutation[:num_val].tolist())
    train = [sample for i, sample in enumerate(samples) if i not in held_out]
    return train, [samples[i] for i in sorted(held_out)]


def check_widths(
    samples: Sequence[Sample],
    inks: Sequence[NDArray[np.uint8]],
    num_frames: Callable[[int], int],
) -> None:
    """Check that every label fits into the frames of its picture.

    With fewer frames than CTC needs, the label's probability is zero and its loss infinite.

    Args:
        samples: n samples.
        inks: Their preprocessed pictures, n arrays (H, W_i).
        num_frames: Returns the number of frames of a picture W px wide.

    Raises:
        DataError: A label does not fit.
    """
    misfits = []
    for sample, ink in zip(samples, inks, strict=True):
        needed, available = num_frames_needed(sample.text), num_frames(ink.shape[1])
        if needed > available:
            misfits.append((sample, needed, available))
    if misfits:
        sample, needed, available = misfits[0]
        raise DataError(
            f"{sample.path}: expected a picture wide enough for {needed} frames, which its label "
            f"{shortened(sample.text)} needs, found {available}; {len(misfits)} of {len(samples)} "
            "labels are too long for their picture"
        )


def check_charset(samples: Sequence[Sample], charset: Charset) -> None:
    """Check that a model can read all characters of the labels.

    Args:
        samples: The samples.
        charset: The model's characters.

    Raises:
        DataError: A label has a character outside ``charset``.
    """
    if problem := charset_problem(samples, charset):
        raise DataError(problem)


def charset_problem(
    samples: Sequence[Sample],
    charset: Charset,
    remedy: str = "train a model that knows them (train --init)",
) -> str:
    """Return which labels a model cannot read, and what to do; empty if there is none.

    Args:
        samples: The samples.
        charset: The model's characters.
        remedy: What can be done besides changing the labels.
    """
    outside = [sample for sample in samples if charset.missing(sample.text)]
    if not outside:
        return ""
    first = outside[0]
    look_alikes = {
        other: known
        for sample in outside
        for other in charset.missing(sample.text)
        if (known := look_alike(other, charset.characters))
    }
    ways = []
    if look_alikes:
        options = " ".join(f"--map '{other}={known}'" for other, known in look_alikes.items())
        ways.append(f"replace characters that look alike with {options}")
    if any(" " in sample.text for sample in outside) and " " not in charset.characters:
        ways.append("take out blanks with --map ' ='")
    way = ", ".join(ways) or "replace them with --map FROM=TO"
    return (
        f"{first.where}: expected the model's characters {quoted(charset.characters)}, found "
        f"{quoted(charset.missing(first.text))} in the label {shortened(first.text)}; "
        f"{len(outside)} of {len(samples)} labels are affected: {way}, correct them, or {remedy}"
    )


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: expected a readable file or folder, found: {error.strerror}")
