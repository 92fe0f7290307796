"""Taking up an ``exprocr predict`` that was stopped or killed: which of its lines stay.

The lines that stay are those that an unbroken run would write for the images that are there now.
They are the file's first lines: everything after them is cut off and read again.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

from exprocr import __version__
from exprocr.cli.inputs import Input
from exprocr.cli.options import Session
from exprocr.cli.predict.counts import Counts
from exprocr.cli.predict.formats import Extras
from exprocr.cli.predict.partial import Run
from exprocr.core.model.artifact import model_path
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.system.limits import MAX_MODEL_BYTES
from exprocr.core.system.regular import read_regular
from exprocr.errors import DataError, ImageError


def describe_run(recognizer: Recognizer, model: str | None, extras: Extras) -> Run:
    """Return all that readings depend on beside the images.

    Args:
        recognizer: What reads.
        model: Where it was loaded from.
        extras: What is written beside the readings.
    """
    decoder = recognizer.decoder
    return {
        "exprocr": __version__,
        "model_digest": _digest(read_regular(model_path(model), MAX_MODEL_BYTES)),
        "grammar": decoder.grammar.name,
        "texts_digest": _digest("\n".join(decoder.grammar.texts).encode("utf-8", "surrogatepass")),
        "decoder": decoder.method,
        "beam_width": decoder.beam_width,
        "by_value": decoder.by_value,
        "n_best": extras.num_best,
        "min_confidence": extras.min_confidence,
        "engine": str(recognizer.engine),
    }


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=16).hexdigest()


class _Gap(NamedTuple):
    """Images in a row that have no line, though one after them has."""

    begin: int
    end: int
    """Their numbers, the last excluded."""

    length: int
    """Bytes of the lines before them."""

    counts: Counts
    """What is in these lines."""


def take_up(
    lines: Path, inputs: Sequence[Input], recognizer: Recognizer, session: Session
) -> tuple[int, Counts]:
    """Cut off the lines of an earlier run that do not stay.

    Images that have no line, though one after them has, are read again. Those that cannot be read
    are reported again. If one can be read now, its line and all after it are to be written.

    Args:
        lines: The file.
        inputs: The images.
        recognizer: What reads.
        session: Where to report images that cannot be read.

    Returns:
        The number of images that are done, and what became of them.

    Raises:
        DataError: A line is of an image that is not there now, or at another place.
    """
    last = {item.path: number for number, item in enumerate(inputs)}
    gaps: list[_Gap] = []
    counts = Counts()
    done = length = 0
    with lines.open("rb") as file:
        for row, num_bytes in _rows(file):
            begin, path = done, row["path"]
            if last.get(path, -1) < begin:
                raise DataError(
                    f"{lines}: expected the images that the run began with, in their order; "
                    f"{path} is not among them; without --resume all images are read anew"
                )
            while inputs[done].path != path:
                done += 1
            if done > begin:
                gaps.append(_Gap(begin, done, length, replace(counts)))
            done += 1
            length += num_bytes
            counts.add_kept(row)
    num_unread = 0
    numbers = list(chain.from_iterable(range(gap.begin, gap.end) for gap in gaps))
    for number, result in zip(
        numbers, recognizer.stream(inputs[n].source for n in numbers), strict=False
    ):
        if not isinstance(result, ImageError):
            gap = next(gap for gap in gaps if number < gap.end)
            done, length, counts = number, gap.length, gap.counts
            break
        session.problem(str(result))
        num_unread += 1
    os.truncate(lines, length)
    return done, replace(counts, num_unread=num_unread)


def _rows(file: Iterator[bytes]) -> Iterator[tuple[Mapping[str, Any], int]]:
    """Yield the object and the bytes of each line, up to one that is damaged or cut off."""
    for line in file:
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            return
        if not (
            line.endswith(b"\n")
            and isinstance(row, dict)
            and isinstance(row.get("path"), str)
            and isinstance(row.get("proven"), bool)
        ):
            return
        yield row, len(line)
