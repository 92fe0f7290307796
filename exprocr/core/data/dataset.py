"""Labeled pictures: the layouts of data sets, their checks, the split, decoding.

Whatever is wrong with a data set as a whole is found here, before any training: a `DataError`
stops, a warning (`DataSet.warnings`) is for the caller to show.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exprocr.core.data.labels import IMAGE_SUFFIXES, TABLE_SUFFIXES, Sample, is_table, read_samples
from exprocr.core.text.charset import Charset
from exprocr.errors import DataError
from exprocr.words import first_few

__all__ = [
    "DataSet",
    "Sample",
    "check_charset",
    "check_widths",
    "load_dataset",
    "split",
]

_LABEL_FILES = ("labels.txt", *(f"labels{suffix}" for suffix in TABLE_SUFFIXES))
_EXPECTED_LABELS = "labels.txt (or labels.csv, .tsv, .jsonl)"


@dataclass
class DataSet:
    """The samples of a data set."""

    root: Path
    """The folder or table, as it was given."""

    layout: str
    """Which layout was recognized, one line for people."""

    parts: dict[str, list[Sample]]
    """Either ``train`` and ``val``, or ``all``; no part is empty."""

    warnings: list[str] = field(default_factory=list)
    """What is odd but no reason to stop, one line each."""

    @property
    def charset(self) -> Charset:
        """The characters of all labels."""
        return Charset.from_texts(s.text for part in self.parts.values() for s in part)

    def digest(self) -> str:
        """Fingerprint the data set, to notice on resuming that it has changed.

        It covers each picture's part, path below the root, label and file size, in any order. It
        does not read pixels: a picture replaced by another of the same size goes unnoticed.

        Returns:
            BLAKE2b of 16 bytes, hexadecimal.

        Raises:
            DataError: A picture is gone.
        """
        base = self.root if self.root.is_dir() else self.root.parent
        contents: dict[str, list[tuple[str, str, int]]] = {}
        for part, samples in self.parts.items():
            rows = contents[part] = []
            for sample in samples:
                path = sample.path
                name = path.relative_to(base) if path.is_relative_to(base) else path
                try:
                    rows.append((name.as_posix(), sample.text, path.stat().st_size))
                except OSError as error:
                    raise _unreadable(path, error) from error
            rows.sort()
        encoded = json.dumps(contents, sort_keys=True).encode()
        return hashlib.blake2b(encoded, digest_size=16).hexdigest()


def load_dataset(path: Path) -> DataSet:
    """Recognize a data set's layout and read its labels; no picture is opened.

    In this order: a table (.csv, .tsv, .jsonl) with ``image`` and ``text``, optionally ``value``;
    a folder with ``train/`` and ``val/``, each with labels inside or beside it; a folder with
    labels inside; a folder X with ``X_labels.txt`` beside it. Line i (0-based) of a ``.txt``
    belongs to ``i.png`` and holds the expression, optionally one space and its value. All label
    files are UTF-8.

    Args:
        path: The folder or the table.

    Raises:
        DataError: There is no data set, a label is malformed, there is no sample, or more than
            half of the labels lack their image or of the images their label.
    """
    try:
        return _load_dataset(path)
    except OSError as error:
        raise _unreadable(Path(error.filename or path), error) from error


def _load_dataset(path: Path) -> DataSet:
    data = DataSet(path, "", {})
    if path.is_file() and is_table(path):
        data.layout = f"table {path.name} with image and text"
        data.parts["all"] = read_samples(path.parent, path, data.warnings)
        return data
    if not path.is_dir():
        found = "another kind of file" if path.exists() else "nothing there"
        raise DataError(f"{path}: expected a folder or a .csv, .tsv or .jsonl file, found {found}")
    labels = _find_labels(path)
    train, val = path / "train", path / "val"
    if train.is_dir() and val.is_dir():
        found_labels = {folder: _find_labels(folder) for folder in (train, val)}
        if any(found_labels.values()) or not labels:
            for folder, part_labels in found_labels.items():
                if part_labels is None:
                    raise _no_labels(folder)
                data.parts[folder.name] = read_samples(folder, part_labels, data.warnings)
            data.layout = "folders train and val, labels in " + " and ".join(
                str(file.relative_to(path)) for file in found_labels.values() if file
            )
            return data
    if labels is None:
        raise _no_labels(path)
    beside = "" if labels.parent == path else " beside it"
    data.layout = f"one folder, labels in {labels.name}{beside}"
    data.parts["all"] = read_samples(path, labels, data.warnings)
    return data


def _find_labels(folder: Path) -> Path | None:
    """Find a folder's label file: inside it, or named after the folder beside it."""
    candidates = [folder / name for name in _LABEL_FILES]
    candidates.append(_beside(folder))
    return next((file for file in candidates if file.is_file()), None)


def _beside(folder: Path) -> Path:
    if folder.name in ("", ".."):  # the path says neither the folder's name nor its parent
        folder = folder.resolve()
    return folder.parent / f"{folder.name}_labels.txt"


def _no_labels(folder: Path) -> DataError:
    """Say what was expected of a folder and what is in it."""
    names = sorted(entry.name for entry in folder.iterdir())
    num_images = sum(name.lower().endswith(IMAGE_SUFFIXES) for name in names)
    if num_images:
        found = f"{num_images} images and no labels"
    elif names:
        found = f"neither images nor labels ({first_few(names)})"
    else:
        found = "an empty folder"
    return DataError(
        f"{folder}: expected {_EXPECTED_LABELS} inside, {_beside(folder).name} beside it, "
        f"or train/ and val/ with labels, found {found}"
    )


def split(
    samples: Sequence[Sample], val_fraction: float, seed: int
) -> tuple[list[Sample], list[Sample]]:
    """Hold out a random share of the samples for validation.

    The same samples, fraction and seed give the same split.

    Args:
        samples: n samples.
        val_fraction: Share to hold out, 0..1. Above 0, at least one sample goes to either side.
        seed: Seed of the permutation, at least 0.

    Returns:
        The training and the validation samples, each in their original order.

    Raises:
        DataError: There are fewer than two samples to divide.
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
    # The second number keeps this stream apart from others that start from the same seed.
    permutation = np.random.default_rng((seed, 1)).permutation(num_samples)
    held_out = set(permutation[:num_val].tolist())
    train = [sample for i, sample in enumerate(samples) if i not in held_out]
    return train, [samples[i] for i in sorted(held_out)]


def check_widths(
    samples: Sequence[Sample],
    inks: Sequence[NDArray[np.uint8]],
    num_frames: Callable[[int], int],
) -> None:
    """Check that every label fits into its picture's frames.

    A CTC alignment needs a frame for each character, and one for a blank between two equal
    neighbors (Graves et al. 2006); with fewer, the label's probability is zero and its loss
    infinite.

    Args:
        samples: n samples.
        inks: Their preprocessed pictures, n of (H, W_i).
        num_frames: Frames the network makes of a picture W px wide.

    Raises:
        DataError: A label does not fit.
    """
    misfits = []
    for sample, ink in zip(samples, inks, strict=True):
        text, there = sample.text, num_frames(ink.shape[1])
        needed = len(text) + sum(a == b for a, b in pairwise(text))
        if needed > there:
            misfits.append((sample, needed, there))
    if misfits:
        sample, needed, there = misfits[0]
        raise DataError(
            f"{sample.path}: expected a picture wide enough for {needed} frames, which its label "
            f"{sample.text} needs, found {there}; {len(misfits)} of {len(samples)} labels are too "
            "long for their picture"
        )


def check_charset(samples: Sequence[Sample], charset: Charset) -> None:
    """Check that a model has all characters of the labels.

    Args:
        samples: The samples.
        charset: The model's characters.

    Raises:
        DataError: A label has a character outside ``charset``.
    """
    outside = [sample for sample in samples if charset.missing(sample.text)]
    if outside:
        first = outside[0]
        raise DataError(
            f"{first.where}: expected the model's characters {charset.characters!r}, found "
            f"{charset.missing(first.text)!r} in the label {first.text}; {len(outside)} of "
            f"{len(samples)} labels are affected: correct them, or train a new model (without "
            "--init)"
        )


def _unreadable(path: Path, error: OSError) -> DataError:
    return DataError(f"{path}: expected a readable file or folder, found: {error.strerror}")
