"""What a run's model reads in the run's validation images: figures, confusions, the worst."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby

from PIL import Image

from exprocr.core.data.pictures import PictureSet
from exprocr.core.evaluation.measure import (
    CONFUSION_COLUMNS,
    RELIABILITY_COLUMNS,
    RISK_COLUMNS,
    Example,
    Extremes,
    Measurement,
    confusion_rows,
    read_pictures,
    reliability_rows,
    risk_rows,
    summary_rows,
)
from exprocr.core.evaluation.metrics import align
from exprocr.core.image.preprocess import load_image
from exprocr.errors import DataError, ImageError
from exprocr.report.page import Block, Card, Cards, Facts, Figure, Row, Section, Table, figure
from exprocr.report.run.context import Run
from exprocr.viz.canvas.drawing import to_rgb
from exprocr.words import format_confidence, quantity

NUM_REPORTED = 3
"""Unreadable images that are named; of more only the number is reported."""

CARD_SIZE_PX = (560, 240)
MAX_CARD_BYTES = 60_000
"""A picture of more is no drawing: it becomes a JPEG."""

Pieces = Sequence[tuple[str, bool]]


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
        """Keep an image, if it is one of these."""
        confidence = example.prediction.confidence
        if not example.is_right:
            self.wrong.add(confidence, example)
            return
        self.doubted.add(-confidence, example)
        if not self.typical:
            self.typical.append(example)


def read_validation(run: Run, pictures: PictureSet) -> Validation:
    """Read the images that a run validated on.

    Raises:
        DataError: None can be read.
        ModelFileError: The network gives NaN.
    """
    for warning in pictures.warnings:
        run.console.report(f"warning: {warning}")
    measurement = Measurement(run.recognizer.decoder)
    found = Validation(pictures.name, measurement, Extremes(run.limit), Extremes(run.limit))
    with run.progress(len(pictures)) as bar:
        for example in read_pictures(run.recognizer, pictures, measurement):
            bar.update()
            if not isinstance(example, ImageError):
                found.add(example)
            elif measurement.num_unreadable <= NUM_REPORTED:
                run.console.problem(str(example))
    _report_what_is_odd(run, found)
    return found


def _report_what_is_odd(run: Run, found: Validation) -> None:
    measurement = found.measurement
    if measurement.num_unreadable > NUM_REPORTED:
        number = quantity(measurement.num_unreadable, "image")
        run.console.problem(f"{number} of {found.name} cannot be read")
    if not measurement.counts.num_images:
        raise DataError(f"{found.name}: expected readable images, found none")
    if measurement.num_outside_grammar:
        number = quantity(measurement.num_outside_grammar, "label")
        run.console.report(f"warning: grammar {measurement.decoder.grammar} excludes {number}")
    if remark := measurement.decoder.unproven_remark(measurement.num_unproven):
        run.console.note(remark)


def evaluation_section(run: Run, found: Validation) -> Section:
    """Return the section with the figures that ``exprocr eval`` prints."""
    measurement = found.measurement
    blocks: list[Block | Row] = [
        Facts(
            [*_remarks(measurement), *summary_rows(measurement)],
            caption="Exact match: the expression is right. Value match: its value is right. "
            "Contest score: both are. CER, the character error rate: inserted, deleted and "
            "substituted characters, divided by the number of characters. ECE, the expected "
            "calibration error: the mean distance between the confidence and the share that is "
            "right; 0 is perfect. Brier score: the mean squared difference between the confidence "
            "of an image and 1 if it is right, 0 if not.",
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
        f"The run's model on {found.name}, which it was not trained on. Its best weights and its "
        "temperature were chosen by them, so it may read images from elsewhere less well.",
    )


def _remarks(measurement: Measurement) -> list[tuple[str, str]]:
    number = measurement.num_outside_grammar
    return [("outside the grammar", quantity(number, "label"))] if number else []


def _confidences(measurement: Measurement) -> Sequence[Table]:
    return (
        Table(
            RELIABILITY_COLUMNS,
            reliability_rows(measurement.reliability),
            "Images sorted by confidence, the same number on each line, the least confident "
            "first: the range of their confidences, the mean, and the share that is right. The "
            "last two should agree.",
            "Reliability by confidence",
            right=RELIABILITY_COLUMNS,
        ),
        Table(
            RISK_COLUMNS,
            risk_rows(measurement.reliability),
            "If only this share of the images is kept, the most confident, then each has at least "
            "this confidence, and this many are wrong.",
            "Errors among the most confident",
            right=RISK_COLUMNS,
        ),
    )


def _confusions(measurement: Measurement) -> Sequence[Table]:
    if not measurement.num_wrong:
        return ()
    return (
        Table(
            CONFUSION_COLUMNS,
            confusion_rows(measurement.counts),
            "The most frequent mistakes with single characters. Read (none): the character was "
            "left out. Truth (none): it was added.",
            "Confusions",
            right=("times",),
        ),
    )


def worst_section(run: Run, found: Validation) -> Section:
    """Return the section with what is read wrong, or, if nothing is, with what is least sure."""
    num_wrong, num_images = found.measurement.num_wrong, found.measurement.counts.num_images
    if num_wrong:
        examples, title = list(found.wrong), "What it reads wrong"
        intro = f"{num_wrong:,} of {quantity(num_images, 'validation image')} are read wrong."
        if num_wrong > len(examples):
            intro += f" These are the {len(examples):,} that it is most confident of."
        else:
            intro += " The most confident come first."
        caption = "Where the truth and the reading differ is marked; an empty mark is a character "
        caption += "that one of them lacks."
    else:
        examples, title = list(found.doubted), "What it is least sure of"
        intro = f"All {quantity(num_images, 'validation image')} are read right. "
        intro += "These have the lowest confidence, the lowest first."
        caption = "Read right, but with the most doubt."
    cards = run.attempt("pictures of readings", lambda: [Cards(list(_cards(examples)), caption)])
    return Section("worst", title, cards, intro)


def _cards(examples: Iterable[Example]) -> Iterator[Card]:
    for example in examples:
        picture, reading = example.picture, example.prediction
        truth, read = _differences(picture.text, reading.text)
        try:
            image = thumbnail(load_image(picture.source), f"an image that says {picture.text}")
        except ImageError:  # gone since it was read
            continue
        yield Card(image, picture.name, truth, read, format_confidence(reading.confidence))


def _differences(truth: str, read: str) -> tuple[Pieces, Pieces]:
    """Return the pieces of both texts, and whether they differ there."""
    pairs = align(truth, read)
    return _join(pairs, 0), _join(pairs, 1)


def _join(pairs: Iterable[tuple[str, str]], side: int) -> Pieces:
    """Return one of two texts: what is alike in pieces, what differs one by one."""
    pieces: list[tuple[str, bool]] = []
    for alike, group in groupby(pairs, key=lambda pair: pair[0] == pair[1]):
        characters = [pair[side] for pair in group]
        if alike:
            pieces.append(("".join(characters), False))
        else:
            pieces += [(character, True) for character in characters]
    return pieces


def thumbnail(picture: Image.Image, alt: str) -> Figure:
    """Return a picture, shrunk where it is large, for a card."""
    small = to_rgb(picture)
    small.thumbnail(CARD_SIZE_PX, Image.Resampling.LANCZOS)
    drawn = figure(small, alt, "")
    if len(drawn.image) <= MAX_CARD_BYTES:
        return drawn
    stream = io.BytesIO()
    small.save(stream, format="JPEG", quality=85)
    return Figure(stream.getvalue(), small.size, alt, "")
