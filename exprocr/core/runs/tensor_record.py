"""The distributions of a network's tensors in a run: percentiles and histograms at each evaluation.

They are in the file ``tensors.bin`` of a run. After a line of JSON (format version, names, shapes,
number of bins, percentiles) it has one record per evaluation, all of one size, little endian::

    step         int64
    percentiles  float32 (tensors, 9)
    counts       uint32 (tensors, bins)

Bins divide the range from the smallest value to the largest into equal parts. Each includes its
lower edge, and the last both edges; if all values are equal, the last bin counts them. Values that
are not finite are ignored: then the sum of the counts is less than the number of values, and if no
value is finite, the percentiles are NaN.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprocr.core.system.files import atomic_write, output_error
from exprocr.core.system.limits import MAX_RECORD_BYTES
from exprocr.core.system.regular import read_regular, without_waiting
from exprocr.errors import DataError
from exprocr.words import quoted

FORMAT_VERSION = 1
PERCENTILES = (0, 7, 16, 31, 50, 69, 84, 93, 100)
"""Median, range, and for a normal distribution about 0.5, 1 and 1.5 standard deviations."""

NUM_BINS = 48
"""A number with many divisors, because plots of tensors with few values merge bins."""

MAX_BINS = 1_000
MAX_TENSORS = 100_000
MAX_VALUES = 2**32 - 1
"""Most values of a tensor, because counts are uint32."""


def summarize(
    values: NDArray[Any], num_bins: int = NUM_BINS
) -> tuple[NDArray[np.float32], NDArray[np.uint32]]:
    """Return a tensor's percentiles, (9,), and its histogram, (num_bins,).

    Percentiles between two values are interpolated linearly (Hyndman & Fan 1996, definition 7), as
    in `numpy.percentile`.

    Args:
        values: float32, any shape. Values that are not finite are ignored.
        num_bins: Number of bins of the histogram.
    """
    ordered = np.sort(values, axis=None)  # -inf comes first, NaN last
    if ordered.size and not (np.isfinite(ordered[0]) and np.isfinite(ordered[-1])):
        ordered = ordered[np.isfinite(ordered)]
    if not ordered.size:
        return np.full(len(PERCENTILES), np.nan, np.float32), np.zeros(num_bins, np.uint32)
    ordered = ordered.astype(np.float64)  # for exact differences and edges
    positions = np.array(PERCENTILES) / 100 * (ordered.size - 1)
    below = positions.astype(np.intp)
    above = np.minimum(below + 1, ordered.size - 1)
    percentiles = ordered[below] + (positions - below) * (ordered[above] - ordered[below])
    edges = np.linspace(ordered[0], ordered[-1], num_bins + 1)
    smaller = np.searchsorted(ordered, edges[1:-1])
    counts = np.diff(smaller, prepend=0, append=ordered.size)
    return percentiles.astype(np.float32), counts.astype(np.uint32)


@dataclass(frozen=True)
class TensorRecord:
    """The record of a run's tensors; E evaluations, N tensors."""

    names: tuple[str, ...]
    """The network's parameter names, in its order."""

    shapes: tuple[tuple[int, ...], ...]

    steps: NDArray[np.int64]
    """(E,), ascending."""

    percentiles: NDArray[np.float32]
    """(E, N, 9), see `PERCENTILES`; NaN where no value was finite."""

    counts: NDArray[np.uint32]
    """(E, N, bins), see `edges`."""

    def edges(self, evaluation: int, tensor: int) -> NDArray[np.float64]:
        """Return the bins' edges, (bins + 1,); all equal if all values were equal."""
        low, high = self.percentiles[evaluation, tensor, [0, -1]].astype(np.float64)
        return np.linspace(low, high, self.counts.shape[2] + 1)


@dataclass(frozen=True)
class _Layout:
    """The content of the file's first line, and the type of its records."""

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    num_bins: int

    @property
    def header(self) -> bytes:
        """The first line of the file."""
        entry = {
            "format_version": FORMAT_VERSION,
            "percentiles": PERCENTILES,
            "num_bins": self.num_bins,
            "names": self.names,
            "shapes": self.shapes,
        }
        return json.dumps(entry).encode("ascii") + b"\n"

    @property
    def record(self) -> np.dtype[np.void]:
        """The type of a record."""
        num = len(self.names)
        percentiles = ("percentiles", "<f4", (num, len(PERCENTILES)))
        return np.dtype([("step", "<i8"), percentiles, ("counts", "<u4", (num, self.num_bins))])


class TensorRecorder:
    """Collects statistics of tensors and appends them to a file.

    Args:
        path: The file, ``tensors.bin`` of a run.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._layout = _Layout((), (), NUM_BINS)
        self._pending: list[bytes] = []

    def add(self, step: int, tensors: Mapping[str, NDArray[Any]]) -> None:
        """Compute the statistics of tensors and keep them until `flush`.

        Args:
            step: Number of optimizer steps done; more than in the last call.
            tensors: float32 by name, the same names and shapes in each call; not changed.
        """
        shapes = tuple(tuple(values.shape) for values in tensors.values())
        self._layout = _Layout(tuple(tensors), shapes, NUM_BINS)
        record = np.zeros((), self._layout.record)
        record["step"] = step
        for i, values in enumerate(tensors.values()):
            record["percentiles"][i], record["counts"][i] = summarize(values)
        self._pending.append(record.tobytes())

    def flush(self) -> None:
        """Append the kept records to the file; an incomplete record at its end is overwritten.

        Raises:
            DataError: The file is damaged, or contains other tensors.
            OutputError: The file cannot be written.
        """
        if not self._pending:
            return
        try:
            if self.path.exists():
                with open(self.path, "r+b", opener=without_waiting) as file:
                    header = file.readline()
                    if _layout_of(self.path, header) != self._layout:
                        raise DataError(
                            f"{self.path}: expected this network's tensors, found others"
                        )
                    size = file.seek(0, os.SEEK_END)
                    file.truncate(size - (size - len(header)) % self._layout.record.itemsize)
                    file.seek(0, os.SEEK_END)
                    file.writelines(self._pending)
            else:
                with atomic_write(self.path) as temporary:
                    temporary.write_bytes(b"".join([self._layout.header, *self._pending]))
        except OSError as error:
            raise output_error(self.path, error) from error
        self._pending.clear()

    def rewind(self, step: int, *, evaluated: bool) -> None:
        """Remove the records after ``step``, because training repeats those steps.

        Args:
            step: Number of steps done.
            evaluated: Whether to keep the record of ``step`` itself.

        Raises:
            DataError: The file is damaged.
            OutputError: The file cannot be written.
        """
        if not self.path.exists():  # no evaluation yet, or a run of an older version
            return
        layout, records = _read(self.path)
        kept = np.searchsorted(records["step"], step, side="right" if evaluated else "left")
        try:
            if kept:
                os.truncate(self.path, len(layout.header) + int(kept) * layout.record.itemsize)
            else:
                self.path.unlink()
        except OSError as error:
            raise output_error(self.path, error) from error


def read_tensor_record(path: Path) -> TensorRecord:
    """Read the record of a run's tensors; an incomplete record at the end is ignored.

    Raises:
        DataError: The file does not exist, is damaged, or is from a newer program.
    """
    if not path.exists():
        raise DataError(
            f"{path}: expected the record of a run's tensors, found none; "
            "exprocr train writes it at each evaluation"
        )
    layout, records = _read(path)
    if not len(records):
        raise DataError(f"{path}: expected the record of an evaluation, found none")
    record = TensorRecord(
        layout.names,
        layout.shapes,
        *(np.ascontiguousarray(records[field]) for field in ("step", "percentiles", "counts")),
    )
    _check_values(path, record)
    return record


def _read(path: Path) -> tuple[_Layout, NDArray[np.void]]:
    """Return the layout and the complete records of a file, after checking their steps."""
    try:
        content = read_regular(path, MAX_RECORD_BYTES)
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    header = content[: content.find(b"\n") + 1] or content
    layout = _layout_of(path, header)
    num = (len(content) - len(header)) // layout.record.itemsize
    records = np.frombuffer(content, layout.record, num, offset=len(header))
    steps = records["step"]
    if np.any(np.diff(steps, prepend=-1) <= 0):
        raise DataError(f"{path}: expected ascending steps, found {steps[:20].tolist()}")
    return layout, records


def _layout_of(path: Path, line: bytes) -> _Layout:
    """Return the layout in the first line of a file."""
    try:
        layout = _parse(line)
        if layout.header != line:  # other keys, other spacing, or no line end
            raise DataError(f"expected a first line as exprocr writes it, found {quoted(line)}")
    except DataError as error:
        raise DataError(f"{path}: {error}") from None
    return layout


def _parse(line: bytes) -> _Layout:
    """Parse a file's first line strictly."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        entry = None
    if not isinstance(entry, dict):
        raise DataError(f"expected a first line of JSON, found {quoted(line)}")
    version = entry.get("format_version")
    if type(version) is not int or version != FORMAT_VERSION:
        raise DataError(f"format_version: expected {FORMAT_VERSION}, found {quoted(version)}")
    if (found := entry.get("percentiles")) != list(PERCENTILES):
        raise DataError(f"percentiles: expected {list(PERCENTILES)}, found {quoted(found)}")
    num_bins, names, shapes = (entry.get(key) for key in ("num_bins", "names", "shapes"))
    if type(num_bins) is not int or not 1 <= num_bins <= MAX_BINS:
        raise DataError(f"num_bins: expected 1 to {MAX_BINS}, found {quoted(num_bins)}")
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise DataError(f"names: expected names of tensors, found {str(names)[:40]}")
    if not 1 <= len(names) <= MAX_TENSORS:
        raise DataError(f"names: expected 1 to {MAX_TENSORS:,} tensors, found {len(names):,}")
    if len(set(names)) < len(names):
        raise DataError("names: expected different names, found a name twice")
    if not isinstance(shapes, list) or len(shapes) != len(names):
        raise DataError(f"shapes: expected one for each of {len(names)} names, found others")
    for name, shape in zip(names, shapes, strict=True):
        sizes = shape if isinstance(shape, list) else [None]
        if not all(type(n) is int and n > 0 for n in sizes) or math.prod(sizes) > MAX_VALUES:
            raise DataError(f"shapes: {name}: expected sizes of a tensor, found {str(shape)[:40]}")
    return _Layout(tuple(names), tuple(map(tuple, shapes)), num_bins)


def _check_values(path: Path, record: TensorRecord) -> None:
    """Check that percentiles and counts are possible for tensors of these shapes."""
    counted = record.counts.sum(axis=2, dtype=np.uint64)  # (E, N)
    most = np.array([math.prod(shape) for shape in record.shapes], dtype=np.uint64)
    percentiles = record.percentiles
    with np.errstate(invalid="ignore"):  # differences of infinities
        ordered = np.isfinite(percentiles).all(axis=2) & (np.diff(percentiles) >= 0).all(axis=2)
    good = (counted <= most) & np.where(counted, ordered, np.isnan(percentiles).all(axis=2))
    for evaluation, tensor in np.argwhere(~good)[:1]:
        raise DataError(
            f"{path}: step {record.steps[evaluation]}: {record.names[tensor]}: expected "
            f"percentiles in order and counts of at most {most[tensor]} values, found "
            f"{percentiles[evaluation, tensor].tolist()} and {counted[evaluation, tensor]}"
        )
