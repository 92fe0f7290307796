"""Pictures with what they say and what was read in them, the wrong ones framed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path

from click.exceptions import Exit, UsageError

from exprocr.cli.eval.run import find_samples
from exprocr.cli.options import BAD_INPUT, check_digits, look_settings, texts_settings
from exprocr.cli.output import cell, new_table, note_frames, print_table, progress, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.cli.visualize.subject import load_recognizer
from exprocr.core.config.layout_choice import LayoutChoice
from exprocr.core.config.schema import SynthConfig
from exprocr.core.config.settings import load_settings
from exprocr.core.data.dataset import TablePaths
from exprocr.core.data.pictures import PictureSet, file_pictures, rendered_pictures
from exprocr.core.evaluation.measure import Example, Extremes, Measurement, read_pictures
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.runs.layout import CONFIG_NAME, check_run_dir
from exprocr.errors import ImageError
from exprocr.synth.renderer import SAMPLE_STREAM, load_renderer
from exprocr.training.validation import validation_pictures
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.samples import Tile, draw_samples, load_shrunk
from exprocr.words import format_confidence, quantity, quoted

NUM_RENDERED = 1000
"""Samples that are rendered to look for errors in."""


def show(request: Request) -> None:
    """Draw a sheet of samples: the first ones, or the worst errors."""
    pictures = _pictures(request)
    for warning in pictures.warnings:
        request.session.report(f"warning: {warning}")
    recognizer = load_recognizer(request)
    measurement = Measurement(recognizer.decoder)
    shown = _read(request, recognizer, pictures, measurement)
    if not measurement.counts.num_images:  # each has been reported
        raise Exit(BAD_INPUT)
    errors = "Wrong readings of" if request.errors else "Samples:"
    about = describe(measurement, len(shown), len(pictures), errors=request.errors)
    path = request.path()
    tiles = [_tile(example) for example in shown]
    save_picture(draw_samples(tiles, f"{errors} {pictures.name}", about), path)
    _print(measurement, shown, path)
    if measurement.num_unreadable:
        raise Exit(BAD_INPUT)


def _pictures(request: Request) -> PictureSet:
    """Return the pictures asked for: a data set's, what a run validated on, or rendered ones."""
    rendered = texts_settings(vars(request)) | look_settings(vars(request))
    if request.image is not None:
        if rendered:
            raise UsageError("options of rendered samples go without IMAGE.")
        samples = find_samples(
            request.session,
            request.image,
            request.images,
            allow_outside=request.allow_outside,
            choice=LayoutChoice(name=request.layout, label_pattern=request.label_pattern),
        )
        return file_pictures(samples, request.image)
    if request.runs and not rendered:
        paths = TablePaths(allow_outside=request.allow_outside)
        found = validation_pictures(request.runs[0], paths)
        return replace(found, name=f"{found.name} ({request.runs[0]})")
    number = max(request.limit, NUM_RENDERED) if request.errors else request.limit
    config = SynthConfig(**rendered)
    if request.runs:  # all else is as the run renders
        run_dir = Path(request.runs[0])
        check_run_dir(run_dir, CONFIG_NAME)
        config = load_settings("default", run_dir / CONFIG_NAME, {"synth": rendered}).synth
    check_digits(request.digits, config)
    renderer, _ = load_renderer(config)
    look = f" in the look {', '.join(config.looks)}" if request.look else ""
    name = f"{quantity(number, 'rendered image')}{look}, seed {request.seed}"
    return rendered_pictures(renderer, request.seed, SAMPLE_STREAM, number, name)


def _read(
    request: Request, recognizer: Recognizer, pictures: PictureSet, measurement: Measurement
) -> list[Example]:
    """Read the first pictures, or all to find the errors; return those that go on the sheet."""
    first: list[Example] = []
    worst = Extremes(request.limit)
    unknown: set[str] = set()
    num_unknown = 0
    number = len(pictures) if request.errors else min(len(pictures), request.limit)
    with progress(request.session, number, description="reading") as bar:
        for example in read_pictures(recognizer, islice(pictures, number), measurement):
            bar.update()
            if isinstance(example, ImageError):
                request.session.problem(str(example))
                continue
            note_frames(request.session, example.prediction)
            missing = recognizer.charset.missing(example.picture.text)
            unknown.update(missing)
            num_unknown += bool(missing)
            if not request.errors:
                first.append(example)
            elif not example.is_right:
                worst.add(example.prediction.confidence, example)
    if unknown:
        characters = quoted("".join(sorted(unknown)))
        request.session.report(
            f"warning: the model does not know {characters}; {num_unknown:,} of "
            f"{quantity(measurement.counts.num_images, 'image')} have such a character and can "
            "only be read wrong"
        )
    return list(worst) if request.errors else first


def _tile(example: Example) -> Tile:
    """Load a picture again for its tile, and keep no more of it than the tile shows."""
    labeled, reading = example.picture, example.prediction
    picture = load_shrunk(labeled.source)
    return Tile(picture, Path(labeled.name).name, labeled.text, reading.text, reading.confidence)


def describe(measurement: Measurement, num_shown: int, number: int, *, errors: bool) -> str:
    """Return how many pictures were read, how many are wrong, and which are on the sheet.

    Args:
        measurement: What was read.
        num_shown: How many are on the sheet.
        number: How many there are in all, read or not.
        errors: Whether the sheet shows the wrong ones alone.
    """
    num_read, num_wrong = measurement.counts.num_images, measurement.num_wrong
    num_unreadable = measurement.num_unreadable
    wrong = f"{num_wrong:,} wrong ({num_wrong / num_read:.2%})" if num_wrong else "none wrong"
    unreadable = f", {num_unreadable:,} unreadable" if num_unreadable else ""
    parts = [f"{quantity(num_read, 'image')} read, {wrong}{unreadable}."]
    if errors and num_shown < num_wrong:
        which = "the one" if num_shown == 1 else f"the {num_shown:,}"
        parts.append(f"Drawn: {which} with the most confidence.")
    elif errors and num_shown > 1:
        parts.append("The most confident come first.")
    elif number > num_read + num_unreadable:
        parts.append(f"They are the first of {number:,}.")
    if num_shown:
        parts.append("At the lower right of each: the confidence in the reading.")
    if num_wrong and num_shown:
        parts.append(
            "Wrong ones have a thick frame; there, what differs is white on dark, and a character "
            "that is missing is an empty cell."
        )
    return " ".join(parts)


def _print(measurement: Measurement, shown: Sequence[Example], path: Path) -> None:
    """Print what is on the sheet, how many are wrong, and where the sheet is."""
    if shown:
        table = new_table("image", "truth", "read", "confidence", "", right=["confidence"])
        for example in shown:
            table.add_row(
                cell(example.picture.name),
                cell(example.picture.text),
                cell(example.prediction.text or "(nothing)"),
                cell(format_confidence(example.prediction.confidence)),
                cell("right" if example.is_right else "wrong"),
            )
        print_table(table, fold_first=True)
    rows = [
        ("images read", f"{measurement.counts.num_images:,}"),
        ("wrong", f"{measurement.num_wrong:,}"),
    ]
    if measurement.num_unreadable:
        rows.append(("unreadable", f"{measurement.num_unreadable:,}, not counted"))
    rows.append(("picture", str(path)))
    print_table(summary_table(rows, title="\nSamples" if shown else "Samples"))
