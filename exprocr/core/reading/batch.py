"""Reading batches of pictures in the programs that read tables of them on many machines.

Ray Data (``map_batches``) and Hugging Face datasets (``map(batched=True)``) give a function a batch
of rows, by the names of its columns. So does Spark's ``mapInPandas``, as a pandas table.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from copy import copy
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from exprocr.core.data.columns import IMAGE_COLUMNS, named_column
from exprocr.core.image.preprocess import ImageSource
from exprocr.core.reading.prediction import Prediction
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.expression import format_value
from exprocr.errors import DataError, ImageError
from exprocr.words import quoted

COLUMNS = ("text", "value", "confidence", "error")
"""The columns that are added."""

NUM_LOADED = 4
"""How many models a process keeps."""

_loading = threading.Lock()


class BatchRecognizer:
    """Reads batches of pictures: a column of pictures in, columns of readings added.

    It can be pickled. The model is loaded with the first batch, once in each process: equal ones
    share it.

    Args:
        model: As for `Recognizer.load`.
        column: Name of the column of pictures; None is the first of ``image``, ``bytes``,
            ``filename``, ``file_name`` and ``path`` that a batch has, in capitals or not.
        prefix: What the names of the new columns begin with, such as ``read_``.
        options: Other arguments of `Recognizer.load`.
    """

    def __init__(
        self,
        model: Path | str | None = None,
        *,
        column: str | None = None,
        prefix: str = "",
        **options: Any,
    ) -> None:
        self.options = {"model": model, **options}
        self.column = column
        self.prefix = prefix

    def __call__(self, batch: Any) -> Any:
        """Read the pictures of a batch.

        Args:
            batch: The values of each column, in a dict, a pandas table or the like; it stays as it
                is. A picture is a path, the bytes of a file, a uint8 array (H, W) or (H, W, 3 or
                4), a Pillow image, or a dict with ``bytes`` or ``path``, as Hugging Face stores it.

        Returns:
            The same with four more columns, arrays of N: ``text``, str; ``value``, str, as
            ``exprocr predict`` writes it to CSV, or None if there is none; ``confidence``, float64,
            0..1; ``error``, str, empty if the picture was read. Where it could not be read, text
            and value are None, and the confidence is NaN.

        Raises:
            DataError: There is no column of pictures, or one of the new columns is there already.
            ModelFileError: The model cannot be used.
            ConfigError: An argument is out of range.
        """
        names = [name for name in batch if isinstance(name, str)]
        added = [self.prefix + name for name in COLUMNS]
        if taken := [name for name in added if name in names]:
            raise DataError(
                f"batch: expected no column {quoted(taken[0])}, which is added, found one; "
                "set prefix"
            )
        # Of a copy: a batch of Hugging Face decodes its pictures when they are looked at, and then
        # they would be encoded again.
        pictures = [_source(cell) for cell in copy(batch)[self._column(names)]]
        sources = [picture for picture in pictures if not isinstance(picture, ImageError)]
        results = _recognizer(os.getpid(), **self.options).stream(sources)
        rows = [_row(p if isinstance(p, ImageError) else next(results)) for p in pictures]
        result = copy(batch)
        for i, (name, kind) in enumerate(zip(added, "OOdO", strict=True)):
            result[name] = np.array([row[i] for row in rows], kind)
        return result

    def _column(self, names: list[str]) -> str:
        """Return the name of the column of pictures."""
        known = ("image", "bytes", *IMAGE_COLUMNS) if self.column is None else (self.column,)
        if (found := named_column(known, names)) is None:
            raise DataError(
                f"batch: expected a column {' or '.join(map(repr, dict.fromkeys(known)))}, found "
                f"{quoted(', '.join(names)) if names else 'none'}"
            )
        return found


def _recognizer(process: int, **options: Any) -> Recognizer:
    """Return a model that is loaded once in a process.

    Args:
        process: The process's id: after a fork, what the parent has loaded is not to be used.
        options: Arguments of `Recognizer.load`.
    """
    with _loading:
        return _load(process, **options)


@lru_cache(NUM_LOADED)
def _load(process: int, **options: Any) -> Recognizer:
    return Recognizer.load(**options)


def _source(cell: Any) -> ImageSource | ImageError:
    """Return the picture in a cell, or what is wrong with it."""
    if isinstance(cell, Mapping):
        content = cell.get("bytes")
        return _source(cell.get("path") if content is None else content)
    if isinstance(cell, bytearray | memoryview):
        return bytes(cell)
    if isinstance(cell, bytes | str | Path | np.ndarray | Image.Image):
        return cell
    found = "none" if cell is None else type(cell).__name__
    return ImageError(f"expected a picture, found {found}")


def _row(reading: Prediction | ImageError) -> tuple[str | None, str | None, float, str]:
    """Return what is added to a row."""
    if isinstance(reading, ImageError):
        return None, None, np.nan, str(reading)
    value = format_value(reading.value, reading.text) or None
    return reading.text, value, reading.confidence, ""
