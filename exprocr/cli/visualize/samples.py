"""Pictures with what they say and what was read in them, the wrong ones framed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from heapq import heappush, heapreplace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from click.exceptions import Exit

from exprocr.cli.options import BAD_INPUT
from exprocr.cli.output import cell, new_table, print_table, progress, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.core.data.dataset import load_dataset
from exprocr.core.image.preprocess import load_image
from exprocr.errors import ImageError
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import CHARACTERS, SAMPLE_STREAM, Renderer
from exprocr.viz.canvas.drawing import to_rgb
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.samples import Tile, draw_samples
from exprocr.words import format_confidence, quantity

if TYPE_CHECKING:
    from exprocr.cli.options import Session
    from exprocr.core.reading.recognizer import Recognizer
    from exprocr.training.validation import LabeledPicture, ValidationSet

NUM_RENDERED = 1000
"""Samples that are rendered to look for errors in."""

CHUNK_SIZE = 64
MAX_TILE_PX = (900, 450)
"""Larger pictures are shrunk before they are put on the sheet."""


@dataclass(frozen=True)
class Shown:
    """A picture that goes on the sheet, and how it was read."""

    picture: LabeledPicture
    reading: str
    confidence: float

    @property
    def is_right(self) -> bool:
        """Whether the text was read as it is."""
        return self.reading == self.picture.text


@dataclass
class Readings:
    """What came out of reading the pictures."""

    limit: int
    """How many are kept."""

    errors: bool
    """Keep the wrong ones alone, those with the most confidence; otherwise the first ones."""

    num_read: int = 0
    num_wrong: int = 0
    num_unreadable: int = 0

    def __post_init__(self) -> None:
        # Of errors a heap, the least confident on top; of two equals the later one goes first.
        self._kept: list[tuple[float, int, Shown]] = []

    def add(self, shown: Shown) -> None:
        """Count a picture, and keep it if it belongs on the sheet."""
        self.num_read += 1
        self.num_wrong += not shown.is_right
        if self.errors and shown.is_right:
            return
        item = (shown.confidence if self.errors else 0.0, -self.num_read, shown)
        if len(self._kept) < self.limit:
            heappush(self._kept, item)
        elif item[:2] > self._kept[0][:2]:
            heapreplace(self._kept, item)

    @property
    def kept(self) -> list[Shown]:
        """What goes on the sheet, in order."""
        return [shown for _, _, shown in sorted(self._kept, key=lambda item: item[:2])[::-1]]


def show(request: Request) -> None:
    """Draw a sheet of samples."""
    from exprocr.cli.visualize.subject import load_recognizer

    found = _pictures(request)
    for warning in found.warnings:
        request.session.report(f"warning: {warning}")
    recognizer = load_recognizer(request)
    readings = Readings(request.limit, request.errors)
    number = found.number if request.errors else min(found.number, request.limit)
    _read(request.session, recognizer, islice(found, number), number, readings)
    if not readings.num_read:  # each has been reported
        raise Exit(BAD_INPUT)
    title = f"Wrong readings of {found.name}" if request.errors else f"Samples: {found.name}"
    tiles = [_tile(shown) for shown in readings.kept]
    path = request.path()
    save_picture(draw_samples(tiles, title, describe(readings, found.number)), path)
    _print(readings, path)
    if readings.num_unreadable:
        raise Exit(BAD_INPUT)


def _pictures(request: Request) -> ValidationSet:
    """Return the pictures asked for: a data set's, what a run validated on, or rendered ones."""
    from exprocr.training import validation

    if request.image is not None:
        data = load_dataset(Path(request.image))
        part = "val" if "val" in data.parts else "all"
        whole = "" if part == "all" else ", val of it is read"
        request.session.note(f"{request.image}: {data.layout}{whole}")
        return validation.file_pictures(data.parts[part], request.image, data.warnings)
    if request.runs:
        found = validation.validation_pictures(request.runs[0])
        return replace(found, name=f"{found.name} ({request.runs[0]})")
    number = max(request.limit, NUM_RENDERED) if request.errors else request.limit
    renderer = Renderer(find_fonts([], CHARACTERS).usable)
    name = f"{quantity(number, 'rendered image')}, seed {request.seed}"
    return validation.rendered_pictures(renderer, request.seed, SAMPLE_STREAM, number, name)


def _read(
    session: Session,
    recognizer: Recognizer,
    pictures: Iterator[LabeledPicture],
    number: int,
    readings: Readings,
) -> None:
    """Read pictures; what cannot be read is reported."""
    with progress(session, number, description="reading") as bar:
        while chunk := list(islice(pictures, CHUNK_SIZE)):
            found = recognizer.stream([picture.source for picture in chunk])
            for picture, reading in zip(chunk, found, strict=True):
                bar.update()
                if isinstance(reading, ImageError):
                    session.problem(str(reading))
                    readings.num_unreadable += 1
                else:
                    readings.add(Shown(picture, reading.text, reading.confidence))


def _tile(shown: Shown) -> Tile:
    """Load a picture again for its tile, and keep no more of it than the tile shows."""
    picture = to_rgb(load_image(shown.picture.source))
    picture.thumbnail(MAX_TILE_PX)
    name = Path(shown.picture.name).name
    return Tile(picture, name, shown.picture.text, shown.reading, shown.confidence)


def describe(readings: Readings, number: int) -> str:
    """Say how many pictures were read, how many are wrong, and what is on the sheet."""
    num_kept = len(readings.kept)
    wrong = "none wrong"
    if readings.num_wrong:
        wrong = f"{readings.num_wrong:,} wrong ({readings.num_wrong / readings.num_read:.2%})"
    unreadable = f", {readings.num_unreadable:,} unreadable" if readings.num_unreadable else ""
    parts = [f"{quantity(readings.num_read, 'image')} read, {wrong}{unreadable}."]
    if readings.errors and num_kept < readings.num_wrong:
        which = "the one" if num_kept == 1 else f"the {num_kept:,}"
        parts.append(f"Drawn: {which} with the most confidence.")
    elif readings.errors and num_kept > 1:
        parts.append("The most confident come first.")
    elif number > readings.num_read + readings.num_unreadable:
        parts.append(f"They are the first of {number:,}.")
    if num_kept:
        parts.append("At the lower right of each: the confidence in the reading.")
    if readings.num_wrong and num_kept:
        parts.append(
            "Wrong ones have a thick frame; there, what differs is white on dark, and a character "
            "that is missing is an empty cell."
        )
    return " ".join(parts)


def _print(readings: Readings, path: Path) -> None:
    """Print what is on the sheet, how many are wrong, and where the sheet is."""
    kept = readings.kept
    if kept:
        table = new_table("image", "truth", "read", "confidence", "", right=["confidence"])
        for shown in kept:
            table.add_row(
                cell(shown.picture.name),
                cell(shown.picture.text),
                cell(shown.reading or "(nothing)"),
                cell(format_confidence(shown.confidence)),
                cell("right" if shown.is_right else "wrong"),
            )
        print_table(table, fold_first=True)
    rows = [("images read", f"{readings.num_read:,}"), ("wrong", f"{readings.num_wrong:,}")]
    if readings.num_unreadable:
        rows.append(("unreadable", f"{readings.num_unreadable:,}, not counted"))
    rows.append(("picture", str(path)))
    print_table(summary_table(rows, title="\nSamples" if kept else "Samples"))
