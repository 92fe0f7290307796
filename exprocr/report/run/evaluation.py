"""What a run's model reads in the run's validation images: figures, confusions, the worst."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from exprocr.cli.eval.report import (
    CONFUSION_COLUMNS,
    RELIABILITY_COLUMNS,
    RISK_COLUMNS,
    Measurement,
    confusion_rows,
    reliability_rows,
    risk_rows,
    summary_rows,
)
from exprocr.cli.output import note_unproven, progress
from exprocr.core.data.labels import Sample
from exprocr.core.text.expression import value_of
from exprocr.errors import DataError, ImageError
from exprocr.report.page import Block, Facts, Row, Section, Table
from exprocr.report.run.context import Run
from exprocr.words import quantity

if TYPE_CHECKING:
    from exprocr.core.reading.prediction import Prediction
    from exprocr.training.validation import LabeledPicture

NUM_REPORTED = 3
"""Unreadable images that are named; of more only the number is said."""


@dataclass(frozen=True)
class Example:
    """A validation image, and what was read in it."""

    picture: LabeledPicture
    prediction: Prediction


class Extremes:
    """Keeps the most extreme of many examples; of equals, the first.

    Args:
        limit: How many to keep.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._heap: list[tuple[float, int, Example]] = []
        self._num = 0

    def add(self, extreme: float, example: Example) -> None:
        """Keep an example for now, if it is more extreme than others that are kept."""
        self._num += 1
        heapq.heappush(self._heap, (extreme, -self._num, example))
        if len(self._heap) > self.limit:
            heapq.heappop(self._heap)

    def __iter__(self) -> Iterator[Example]:
        """Yield them, the most extreme first."""
        return iter([example for _, _, example in sorted(self._heap, reverse=True)])


@dataclass
class Validation:
    """The validation images as they were read: figures of all, and a few of them."""

    name: str
    """What the images are called."""

    measurement: Measurement
    wrong: Extremes
    """Read wrong, with the most confidence."""

    doubted: Extremes
    """Read right, with the least confidence."""

    typical: list[Example] = field(default_factory=list)
    """The first that is read right, if any is."""

    def add(self, example: Example) -> None:
        """Count an image."""
        picture, reading = example.picture, example.prediction
        sample = Sample(Path(picture.name), picture.text, picture.name, picture.value)
        # As `exprocr eval` does.
        truth = value_of(picture.text) if picture.value is None else picture.value
        self.measurement.add(sample, truth, reading)
        if reading.text != picture.text:
            self.wrong.add(reading.confidence, example)
            return
        self.doubted.add(-reading.confidence, example)
        if not self.typical:
            self.typical.append(example)


def read_validation(run: Run) -> Validation:
    """Read the run's validation images.

    Raises:
        DataError: They are gone, or none can be read.
        ModelFileError: The network gives NaN, or the run does not say what it was validated on.
    """
    from exprocr.training.validation import validation_pictures

    pictures = validation_pictures(run.path)
    for warning in pictures.warnings:
        run.session.report(f"warning: {warning}")
    recognizer = run.recognizer
    found = Validation(
        pictures.name, Measurement(recognizer.decoder), Extremes(run.limit), Extremes(run.limit)
    )
    measurement = found.measurement
    accepts = recognizer.decoder.grammar.accepts
    pending: deque[LabeledPicture] = deque()  # handed out and not yet read: a chunk at most

    def sources() -> Iterator[object]:
        for picture in pictures:
            pending.append(picture)
            yield picture.source

    started = time.perf_counter()
    with progress(run.session, len(pictures), description="reading") as bar:
        for reading in recognizer.stream(sources()):  # type: ignore[arg-type]
            bar.update()
            picture = pending.popleft()
            if isinstance(reading, ImageError):
                measurement.num_unreadable += 1
                if measurement.num_unreadable <= NUM_REPORTED:
                    run.session.problem(str(reading))
                continue
            measurement.num_outside_grammar += not accepts(picture.text)
            found.add(Example(picture, reading))
    measurement.seconds = time.perf_counter() - started
    _say_what_is_odd(run, found)
    return found


def _say_what_is_odd(run: Run, found: Validation) -> None:
    measurement = found.measurement
    if measurement.num_unreadable > NUM_REPORTED:
        number = quantity(measurement.num_unreadable, "image")
        run.session.problem(f"{number} of {found.name} cannot be read")
    if not measurement.counts.num_images:
        raise DataError(f"{found.name}: expected readable images, found none")
    if measurement.num_outside_grammar:
        number = quantity(measurement.num_outside_grammar, "label")
        grammar = measurement.decoder.grammar
        run.session.report(f"warning: grammar {grammar} excludes {number}")
    note_unproven(run.session, measurement.decoder, measurement.num_unproven)


def evaluation_section(run: Run, found: Validation) -> Section:
    """Show the figures that ``exprocr eval`` prints."""
    measurement = found.measurement
    blocks: list[Block | Row] = [
        Facts(
            [*_remarks(measurement), *summary_rows(measurement)],
            caption="Exact match: the expression is right. Value match: what it comes to is "
            "right. Contest score: both. CER, the character error rate: characters too many, too "
            "few or taken for others, of all there are. ECE, the expected calibration error: how "
            "far the confidence is from the share that is right; 0 is perfect. Brier score: the "
            "mean square of the same, of single images.",
        ),
    ]
    if measurement.decoder.temperature == 1:
        reason = "the run has not ended, or an older exprocr wrote it; its temperature is 1"
        blocks.append(run.missing("calibrated confidences", reason))
    blocks.append(Row([*_confidences(measurement), *_confusions(measurement)]))
    return Section(
        "evaluation",
        "How well it reads",
        blocks,
        f"The run's model on {found.name}, which it was not trained on. They chose its best "
        "weights and its temperature, so that images of another origin may be read less well.",
    )


def _remarks(measurement: Measurement) -> list[tuple[str, str]]:
    number = measurement.num_outside_grammar
    return [("outside the grammar", quantity(number, "label"))] if number else []


def _confidences(measurement: Measurement) -> Sequence[Table]:
    return (
        Table(
            RELIABILITY_COLUMNS,
            reliability_rows(measurement.reliability),
            "Equally many images a line, by confidence, the least confident first: their range of "
            "confidences, its mean, and the share that is right. The last two should agree.",
            "Reliability by confidence",
            right=RELIABILITY_COLUMNS,
        ),
        Table(
            RISK_COLUMNS,
            risk_rows(measurement.reliability),
            "If only this share of the images is kept, the most confident, then all have this "
            "confidence at least, and so many are wrong.",
            "Errors among the most confident",
            right=RISK_COLUMNS,
        ),
    )


def _confusions(measurement: Measurement) -> Sequence[Table]:
    if not measurement.wrong:
        return ()
    return (
        Table(
            CONFUSION_COLUMNS,
            confusion_rows(measurement.counts),
            "The most frequent mistakes with single characters. Read (none): left out; truth "
            "(none): put in.",
            "Confusions",
            right=("times",),
        ),
    )
