"""Validation images as cards: the picture, what it says, what was read in it."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby

from PIL import Image

from exprocr.core.evaluation.metrics import align
from exprocr.core.image.preprocess import load_image
from exprocr.errors import ImageError
from exprocr.report.page import Card, Cards, Figure, Section, figure
from exprocr.report.run.context import Run
from exprocr.report.run.evaluation import Example, Validation
from exprocr.viz.canvas.drawing import to_rgb
from exprocr.words import format_confidence, quantity

CARD_SIZE_PX = (560, 240)
MAX_CARD_BYTES = 60_000
"""A picture of more is no drawing: it becomes a JPEG."""

Pieces = Sequence[tuple[str, bool]]


def worst_section(run: Run, found: Validation) -> Section:
    """Show what was read wrong with the most confidence; without that, what was nearly."""
    num_wrong, num_images = len(found.measurement.wrong), found.measurement.counts.num_images
    if num_wrong:
        examples, title = list(found.wrong), "What it reads wrong"
        intro = f"{num_wrong:,} of {quantity(num_images, 'validation image')} are read wrong."
        if num_wrong > len(examples):
            intro += f" These are the {len(examples):,} that it is most confident of."
        else:
            intro += " The most confident come first."
        caption = "Marked is where the truth and the reading differ; an empty mark is a character "
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
