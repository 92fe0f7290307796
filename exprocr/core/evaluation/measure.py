"""Reading labeled pictures and measuring what was read: the loop, its counts, and their tables."""

from __future__ import annotations

import heapq
import time
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from exprocr.core.data.pictures import LabeledPicture
from exprocr.core.decode.decoder import Decoder
from exprocr.core.decode.forward import text_log_probs
from exprocr.core.evaluation.metrics import Evaluation
from exprocr.core.evaluation.reliability import Reliability
from exprocr.core.image.preprocess import ImageSource
from exprocr.core.reading.prediction import Prediction
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.expression import outcome_of
from exprocr.errors import ImageError
from exprocr.words import format_confidence, format_rate

NUM_CONFUSIONS = 10
"""Confusions in a table, at most."""

RELIABILITY_COLUMNS = ("images", "from", "to", "mean", "right")
RISK_COLUMNS = ("coverage", "at least", "wrong", "error rate")
CONFUSION_COLUMNS = ("truth", "read", "times")


@dataclass(frozen=True)
class Example:
    """A labeled picture, and what was read in it."""

    picture: LabeledPicture
    prediction: Prediction

    @property
    def is_right(self) -> bool:
        """Whether the text is right."""
        return self.prediction.text == self.picture.text


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
        """Keep an example, unless as many that are at least as extreme are kept already."""
        self._num += 1
        heapq.heappush(self._heap, (extreme, -self._num, example))
        if len(self._heap) > self.limit:
            heapq.heappop(self._heap)

    def __iter__(self) -> Iterator[Example]:
        """Yield the examples that are kept, the most extreme first."""
        return iter([example for _, _, example in sorted(self._heap, reverse=True)])


@dataclass
class Measurement:
    """What came out of reading labeled pictures."""

    decoder: Decoder
    """What they are read with."""

    counts: Evaluation = field(default_factory=Evaluation)
    reliability: Reliability = field(default_factory=Reliability)

    num_outside_grammar: int = 0
    """Labels that the grammar excludes, so that they can only be read wrong."""

    num_unreadable: int = 0
    """Pictures that could not be read; the other figures leave them out."""

    num_unproven: int = 0
    """Readings that are not proven to be the most probable."""

    seconds: float = 0.0
    """Time from the first picture to the last."""

    @property
    def num_wrong(self) -> int:
        """Pictures whose text was read wrong."""
        return self.counts.num_images - self.counts.num_exact

    def add(self, example: Example) -> None:
        """Count one reading."""
        picture, reading = example.picture, example.prediction
        is_right = example.is_right
        if self.decoder.by_value and picture.value is not None:
            # Read by value, the confidence is that of the value, and of whether it holds.
            expected = (picture.value, outcome_of(picture.text).holds)
            is_right = (reading.value, reading.holds) == expected
        self.counts.add(picture.text, picture.value, reading.text, reading.value)
        self.reliability.add(reading.confidence, is_right)
        self.num_unproven += not reading.is_proven


def read_pictures(
    recognizer: Recognizer, pictures: Iterable[LabeledPicture], measurement: Measurement
) -> Iterator[Example | ImageError]:
    """Read labeled pictures in order, and count what is right.

    Memory does not grow with the number of pictures: a chunk or two are held at a time.

    Args:
        recognizer: What reads them.
        pictures: The pictures.
        measurement: Gets the counts, before each example is yielded.

    Yields:
        Each picture with its reading, or the error of one that cannot be read.

    Raises:
        ModelFileError: The network gives NaN.
    """
    accepts = recognizer.decoder.grammar.accepts
    pending: deque[LabeledPicture] = deque()  # handed out and not yet read

    def sources() -> Iterator[ImageSource]:
        for picture in pictures:
            pending.append(picture)
            yield picture.source

    started = time.perf_counter()
    for reading in recognizer.stream(sources()):
        picture = pending.popleft()
        measurement.num_outside_grammar += not accepts(picture.text)
        measurement.seconds = time.perf_counter() - started
        if isinstance(reading, ImageError):
            measurement.num_unreadable += 1
            yield reading
        else:
            example = Example(picture, reading)
            measurement.add(example)
            yield example


def summary_rows(measurement: Measurement) -> list[tuple[str, str]]:
    """Return the figures by name, as people read them."""
    counts, decoder = measurement.counts, measurement.decoder
    rows = [("grammar", str(decoder.grammar))]
    if (method := str(decoder)) != "auto":
        rows.append(("decoder", method))
    rows.append(("images", f"{counts.num_images:,}"))
    if measurement.num_unreadable:
        rows.append(("unreadable", f"{measurement.num_unreadable:,}, not counted"))
    return [
        *rows,
        ("exact match", f"{counts.exact_match:.2%}  ({counts.num_exact:,} right)"),
        ("value match", f"{counts.value_match:.2%}"),
        ("contest score", f"{counts.contest_score:.2%}"),
        (
            "CER",
            f"{counts.cer:.3%}  ({counts.insertions} inserted, {counts.deletions} deleted, "
            f"{counts.substitutions} substituted of {counts.num_chars:,})",
        ),
        ("normalized edit distance", f"{counts.normalized_edit_distance:.5f}"),
        ("ECE", f"{measurement.reliability.ece():.5f}"),
        ("Brier score", f"{measurement.reliability.brier:.5f}"),
        ("images/s", format_rate(counts.num_images, measurement.seconds)),
    ]


def reliability_rows(reliability: Reliability) -> list[tuple[str, ...]]:
    """Return the share of right readings by confidence, under `RELIABILITY_COLUMNS`."""
    return [
        (
            f"{part.count:,}",
            *map(format_confidence, (part.low, part.high, part.confidence)),
            f"{part.accuracy:.2%}",
        )
        for part in reliability.bins()
    ]


def risk_rows(reliability: Reliability) -> list[tuple[str, ...]]:
    """Return the errors among the most confident readings, under `RISK_COLUMNS`."""
    return [
        (
            f"{risk.coverage:.0%}",
            format_confidence(risk.threshold),
            f"{risk.num_wrong:,}",
            f"{risk.error_rate:.3%}",
        )
        for risk in reliability.risks()
    ]


def confusion_rows(counts: Evaluation) -> list[tuple[str, ...]]:
    """Return the most frequent confusions, under `CONFUSION_COLUMNS`."""
    return [
        (truth or "(none)", read or "(none)", str(times))
        for (truth, read), times in counts.top_confusions(NUM_CONFUSIONS)
    ]


@dataclass(frozen=True)
class LabeledImages:
    """Preprocessed pictures and their labels, all in memory: what training validates on."""

    inks: list[NDArray[np.uint8]]
    """uint8 (H, W) each, as `exprocr.core.image.preprocess.preprocess` returns them."""

    texts: list[str]
    """The expressions."""

    values: list[Fraction | None]
    """Their values."""


def evaluate(recognizer: Recognizer, images: LabeledImages) -> tuple[Evaluation, float]:
    """Read preprocessed pictures and count what is right, with the loss, as training needs it.

    A text with a character outside the recognizer's charset can only be read wrong. It has no loss.

    Returns:
        The counts, and the mean CTC loss in nats of the texts that have one; 0 if none has.
    """
    counts = Evaluation()
    charset = recognizer.charset
    is_known = np.array([not charset.missing(text) for text in images.texts], dtype=bool)
    losses = np.zeros(len(images.inks))
    # The empty text stands in for one without a loss.
    ids = [charset.encode(t) if k else [] for t, k in zip(images.texts, is_known, strict=True)]
    for indices, log_probs in recognizer.log_probs(images.inks):
        losses[indices] = -text_log_probs(log_probs, [ids[i] for i in indices])
        for i, reading in zip(indices, recognizer.decoder(log_probs), strict=True):
            best = reading.alternatives[0]
            counts.add(images.texts[i], images.values[i], best.text, best.value)
    return counts, float(losses[is_known].mean()) if is_known.any() else 0.0
