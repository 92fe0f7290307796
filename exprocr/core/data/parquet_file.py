"""Parquet files with a picture and a text in each row, read batch by batch.

A batch has few enough rows that its values fit into `MAX_BATCH_BYTES`, even where a file says that
all rows have the same huge value.
"""

from __future__ import annotations

import bisect
import errno
import os
import threading
import weakref
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate, repeat
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from exprocr.core.data.columns import IMAGE_COLUMNS, TEXT_COLUMNS, named_column
from exprocr.core.image.files import StoredPicture
from exprocr.core.system.limits import (
    MAX_ARCHIVE_BYTES,
    MAX_BATCH_BYTES,
    MAX_FOOTER_BYTES,
    MAX_LABELS,
    MAX_ROW_GROUP_BYTES,
    MB,
)
from exprocr.core.system.regular import open_regular
from exprocr.errors import DataError, ImageError
from exprocr.words import quoted, shortened

SUFFIX = ".parquet"

INSTALL = "pip install 'exprocr[parquet]'"

MAX_BATCH_ROWS = 1_000

_BYTES = ("binary", "large_binary", "fixed_size_binary")
"""Beginnings of the names of pyarrow's types of bytes."""


@dataclass(frozen=True)
class ParquetPicture(StoredPicture):
    """A picture in a row of a Parquet file."""

    table: Path
    row: int
    """Number of the row, from 0."""

    @property
    def file(self) -> Path:
        """The Parquet file."""
        return self.table

    @property
    def name(self) -> str:
        """The path of the file with the number of the row."""
        return str(self.file / str(self.row))

    def content(self) -> bytes:
        """Return the picture's bytes.

        Raises:
            ImageError: There is none, or the file cannot be read.
        """
        try:
            found = open_parquet(self.file).picture(self.row)
        except DataError as error:
            raise ImageError(str(error)) from None
        if not found:
            raise ImageError("expected a picture in this row, found none")
        return found


class Row(NamedTuple):
    """A row of a Parquet file."""

    has_bytes: bool
    """Whether the picture itself is in the row."""

    path: object
    """The path in place of the picture; None if there is none."""

    text: object
    value: object


class ParquetReader:
    """A Parquet file; pictures are read fast in the order of their rows.

    Args:
        file: The file.

    Raises:
        DataError: It is no usable Parquet file, pyarrow is not installed, or a column is missing.
    """

    def __init__(self, file: Path) -> None:
        self.file = file
        self._lock = threading.Lock()
        open_file = _opener(file)
        with _reported(file):
            stream = open_regular(file, MAX_ARCHIVE_BYTES)
            weakref.finalize(self, stream.close)
            _check_footer(stream)
            self._table = open_file(
                stream,
                buffer_size=2**20,
                pre_buffer=False,
                thrift_string_size_limit=MAX_FOOTER_BYTES,
                thrift_container_size_limit=MAX_FOOTER_BYTES // 8,
            )
            metadata = self._table.metadata
            groups = [metadata.row_group(i) for i in range(metadata.num_row_groups)]
            self.num_rows = metadata.num_rows
            self._starts = [0, *accumulate(group.num_rows for group in groups)]
            self._sizes = [_largest_column(group) for group in groups]
            kinds = {field.name: str(field.type) for field in self._table.schema_arrow}
        if self.num_rows > MAX_LABELS:
            raise DataError(f"{file}: expected at most {MAX_LABELS:,} rows, found more")
        if self._starts[-1] != self.num_rows or self._starts != sorted(self._starts):
            raise DataError(f"{file}: expected rows in groups, found other numbers of rows")
        if (largest := max(self._sizes, default=0)) > MAX_ROW_GROUP_BYTES:
            raise DataError(
                f"{file}: expected columns of at most {MAX_ROW_GROUP_BYTES // MB:,} MB in a row "
                f"group, found {largest // MB:,} MB; write the file with fewer rows in a group"
            )
        names = list(kinds)
        columns = named_column(IMAGE_COLUMNS, names), named_column(TEXT_COLUMNS, names)
        for column, known in zip(columns, (IMAGE_COLUMNS, TEXT_COLUMNS), strict=True):
            if column is None:
                found = quoted(", ".join(names)) if names else "none"
                raise DataError(f"{file}: expected a column {known[0]!r}, found {found}")
        self.image, self.text = map(str, columns)
        self.value = named_column(("value",), names)
        self._has_fields = kinds[self.image].startswith("struct<")
        self._bytes = f"{self.image}.bytes" if self._has_fields else self.image
        self._batch: Any = None
        self._batches: Iterator[Any] = iter(())
        self._end = 0
        """The row after the batch."""

    def rows(self) -> Iterator[Row]:
        """Yield all rows, in order.

        Raises:
            DataError: The file is damaged.
        """
        columns = [self.image, self.text, *([self.value] if self.value else [])]
        with _reported(self.file):
            for group in range(len(self._sizes)):
                for batch in self._read(group, columns):
                    texts = batch.column(self.text).to_pylist()
                    values = batch.column(self.value).to_pylist() if self.value else repeat(None)
                    pictures = batch.column(self.image)
                    for picture, text, value in zip(pictures, texts, values, strict=False):
                        yield Row(*self._picture(picture), text, value)

    def _picture(self, cell: Any) -> tuple[bool, object]:
        """Return whether a cell holds a picture, and else its path."""
        if self._has_fields:
            fields = dict(cell.items()) if cell.is_valid else {}
            if (content := fields.get("bytes")) is not None and content.is_valid:
                return True, None
            path = fields.get("path")
            return False, None if path is None else path.as_py()
        if str(cell.type).startswith(_BYTES):
            return cell.is_valid, None
        return False, cell.as_py()

    def picture(self, row: int) -> bytes | None:
        """Return the picture in a row; None if there is none.

        Raises:
            DataError: The file is damaged.
        """
        if not 0 <= row < self.num_rows:
            return None
        with self._lock, _reported(self.file):
            group = bisect.bisect_right(self._starts, row) - 1
            begin = self._end - (self._batch.num_rows if self._batch is not None else 0)
            if self._batch is None or row < begin or self._starts[group] >= self._end:
                self._batches = self._read(group, [self._bytes])
                self._end = self._starts[group]
            while self._end <= row:
                self._batch = next(self._batches, None)
                if self._batch is None:
                    raise DataError(f"{self.file}: expected row {row}, found fewer rows")
                self._end += self._batch.num_rows
            cells = self._batch.column(self.image)
            if self._has_fields:
                cells = cells.field("bytes")
            found = cells[row - self._end].as_py()
        return found if isinstance(found, bytes) else None

    def _read(self, group: int, columns: Sequence[str]) -> Iterator[Any]:
        """Yield the batches of a row group."""
        return iter(
            self._table.iter_batches(
                batch_size=max(1, min(MAX_BATCH_ROWS, MAX_BATCH_BYTES // self._sizes[group])),
                row_groups=[group],
                columns=list(columns),
                use_threads=False,
            )
        )


def open_parquet(file: Path) -> ParquetReader:
    """Return a file, opened once in this process.

    Raises:
        DataError: See `ParquetReader`.
    """
    status = file.stat()
    return _opened(file, status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=4)
def _opened(file: Path, size: int, changed: int) -> ParquetReader:
    return ParquetReader(file)


def _opener(file: Path) -> Any:
    try:
        from pyarrow.parquet import ParquetFile
    except ImportError as error:
        raise DataError(
            f"{file}: reading Parquet needs the package pyarrow ({error}): {INSTALL}"
        ) from None
    return ParquetFile


@contextmanager
def _reported(file: Path) -> Iterator[None]:
    """Raise what pyarrow says of a damaged file as a `DataError`."""
    try:
        yield
    except DataError:
        raise
    # pyarrow's errors are of many types; those of damaged files are these and their subclasses.
    except (ValueError, KeyError, IndexError, RuntimeError, NotImplementedError, OSError) as error:
        reason = (getattr(error, "strerror", None) or str(error) or "damage").splitlines()[0]
        raise DataError(
            f"{file}: expected a readable Parquet file, found: {shortened(reason, 200)}"
        ) from None


def _check_footer(stream: BinaryIO) -> None:
    """Check the size of a file's description of itself, before memory is taken for it.

    Raises:
        DataError: It is too large.
    """
    end = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, end - 8))
    length = int.from_bytes(stream.read(4), "little")
    if stream.read(4) == b"PAR1" and length > MAX_FOOTER_BYTES:
        limit = f"{MAX_FOOTER_BYTES // MB:,} MB"
        raise OSError(errno.EFBIG, f"a description of more than {limit}, the limit")
    stream.seek(0)


def _largest_column(group: Any) -> int:
    """Return the bytes of the largest column of a row group, at least 1."""
    sizes = [int(group.column(i).total_uncompressed_size) for i in range(group.num_columns)]
    return max(1, *sizes)
