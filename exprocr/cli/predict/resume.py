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
from pathlib import Path
from typing import Any, NamedTuple

from exprocr import __version__
from exprocr.cli.inputs import Input
from exprocr.cli.options import Session
from exprocr.cli.predict.counts import Counts
from exprocr.cli.predict.formats import Extras
from exprocr.cli.predict.partial import Run
from exprocr.core.model.artifact import model_path
from exprocr.core.reading.recognizer import CHUNK_SIZE, Recognizer
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


class _Point(NamedTuple):
    """What stands before a chunk of images, which the recognizer reads together."""

    length: int
    """Bytes of the lines."""

    counts: Counts
    """What is in them."""


def take_up(
    lines: Path, inputs: Sequence[Input], recognizer: Recognizer, session: Session
) -> tuple[int, Counts]:
    """Cut off the lines of an earlier run that do not stay.

    The last digits of a confidence depend on the images that are read together. So a chunk of
    images is read again, unless it is complete. Images that have no line, though one after them
    has, are read again too. Those that cannot be read are reported again. If one can be read now,
    its chunk and all after it are read again.

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
    points = [_Point(0, Counts())]
    without_line: list[int] = []
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
            without_line += range(begin, done)
            _begin_chunks(points, done, length, counts)
            done += 1
            length += num_bytes
            counts.add_kept(row)
    _begin_chunks(points, done, length, counts)
    if done < len(inputs):
        done, length, counts = _before(done, points)
    problems: list[tuple[int, str]] = []
    without_line = [number for number in without_line if number < done]
    results = recognizer.stream(inputs[number].source for number in without_line)
    for number, result in zip(without_line, results, strict=False):
        if not isinstance(result, ImageError):
            done, length, counts = _before(number, points)
            break
        problems.append((number, str(result)))
    reported = [problem for number, problem in problems if number < done]
    for problem in reported:
        session.problem(problem)
    os.truncate(lines, length)
    return done, replace(counts, num_unread=len(reported))


def _begin_chunks(points: list[_Point], number: int, length: int, counts: Counts) -> None:
    """Note what stands before the chunks up to that of an image."""
    while len(points) <= number // CHUNK_SIZE:
        points.append(_Point(length, replace(counts)))


def _before(number: int, points: Sequence[_Point]) -> tuple[int, int, Counts]:
    """Return the first image of an image's chunk, and what stands before it."""
    chunk = number // CHUNK_SIZE
    return chunk * CHUNK_SIZE, points[chunk].length, points[chunk].counts


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
