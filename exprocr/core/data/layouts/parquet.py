"""Parquet files with a picture and a text in each row, as Hugging Face's ``datasets`` writes them.

The path of a data set is such a file, or a folder that has some in it or in its folder ``data``.
Files called ``train-00000-of-00002.parquet`` and ``validation-00000-of-00001.parquet`` are two
parts. A column of pictures holds their bytes, or else paths of files. It may be a structure of
both, which is Hugging Face's.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from exprocr.core.data.labels import (
    Label,
    LabelFile,
    Layout,
    Sample,
    check_labels,
    check_text,
    join,
    parse_value,
    report_missing,
)
from exprocr.core.data.parquet_file import SUFFIX, ParquetPicture, open_parquet
from exprocr.errors import DataError
from exprocr.words import quantity, quoted

_PART = re.compile(r"(train|validation|val|test)(-[0-9]{5}-of-[0-9]{5})?\.parquet", re.IGNORECASE)


def find(path: Path) -> Layout | None:
    """Return a Parquet file, or those in a folder; None if there is none."""
    if path.is_file():
        if path.suffix.lower() != SUFFIX:
            return None
        return Layout(f"Parquet file {path.name}", {"all": _part([path], path.parent)})
    for folder in (path, path / "data"):
        if folder.is_dir() and (files := sorted(_parquet_files(folder))):
            return _of_folder(path, files)
    return None


def _parquet_files(folder: Path) -> Iterator[Path]:
    for file in folder.iterdir():
        if file.suffix.lower() == SUFFIX and file.name[0] != "." and file.is_file():
            yield file


def _of_folder(path: Path, files: Sequence[Path]) -> Layout:
    """Return one part, or two if the names of the files say so."""
    by_name: dict[str, list[Path]] = defaultdict(list)
    for file in files:
        match = _PART.fullmatch(file.name)
        name = match[1].lower() if match else ""
        by_name["val" if name == "validation" else name].append(file)
    what = quantity(len(files), "Parquet file")
    if "train" not in by_name or set(by_name) == {"train"}:
        return Layout(f"folder of {what}", {"all": _part(files, path)})
    used = {"train": by_name.pop("train")}
    if "val" in by_name:
        used["val"] = by_name.pop("val")
    description = f"folder of {what}, of which " + " and ".join(
        f"{len(several)} for {name}" for name, several in used.items()
    )
    unread = tuple(several[0].name for several in by_name.values())
    if len(used) == 1:
        return Layout(description, {"all": _part(used["train"], path)}, unread)
    return Layout(
        description, {name: _part(several, path) for name, several in used.items()}, unread
    )


def _part(files: Sequence[Path], folder: Path) -> LabelFile:
    file = files[0] if len(files) == 1 else files[0].parent
    return LabelFile(file, folder, partial(_read, files=files), has_paths=True)


def _read(source: LabelFile, warnings: list[str], *, files: Sequence[Path]) -> list[Sample]:
    """Read the labels; the pictures are left where they are.

    Raises:
        DataError: A file is damaged, a label is malformed, there is no label, or more than half of
            the labels have no picture.
        OSError: A file cannot be read.
    """
    empty: list[str] = []
    labels = [label for file in files for label in _parse(source, file, empty)]
    what = "labels have no image"
    report_missing(source.file, what, empty, len(labels) + len(empty), warnings)
    return join(source, check_labels(source, labels, warnings), warnings)


def _parse(source: LabelFile, file: Path, empty: list[str]) -> Iterator[Label]:
    """Yield the labels of a file; add the names of rows without a picture to ``empty``."""
    reader = open_parquet(file)
    if (reader.image, reader.text) != ("image", "text"):
        source.note(f"columns {quoted(reader.image)} and {quoted(reader.text)}")
    for number, row in enumerate(reader.rows()):
        where = f"{file}, row {number}"
        picture = ParquetPicture(file, number)
        text = row.text if isinstance(row.text, str) else check_text(row.text, where)
        value = parse_value(row.value, where)
        if row.has_bytes:
            yield Label(where, picture.name, text, value, picture)
        elif row.path is None:
            empty.append(f"row {number} of {file.name}")
        elif isinstance(row.path, str) and row.path:
            yield Label(where, row.path, text, value)
        else:
            raise DataError(
                f"{where}: {reader.image}: expected the bytes of a picture or a path, found "
                f"{quoted(row.path)}"
            )
