"""Labeled pictures as they are, as the network sees them, and augmented in several ways."""

from __future__ import annotations

from itertools import islice

import numpy as np
from click.exceptions import Exit, UsageError

from exprocr.cli.eval.run import find_samples
from exprocr.cli.options import BAD_INPUT
from exprocr.cli.output import print_table, progress, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.core.config.layout_choice import LayoutChoice
from exprocr.core.config.schema import AUTO_STRENGTH, Preset
from exprocr.core.config.settings import load_settings
from exprocr.core.data.dataset import Sample
from exprocr.core.image.preprocess import load
from exprocr.core.runs.layout import CONFIG_NAME, check_run_dir
from exprocr.errors import ImageError
from exprocr.synth.augment import Augmenter
from exprocr.viz.augment import Row, draw_augmented
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.samples import load_shrunk
from exprocr.words import quantity

NUM_AUGMENTED = 4
"""Distorted pictures of each picture."""


def show(request: Request) -> None:
    """Draw a sheet of the first pictures that a training would distort."""
    samples = _samples(request)
    settings = _settings(request)
    strength = request.strength
    if strength is None:
        strength = settings.augment.strength
    if strength is None:
        strength = AUTO_STRENGTH
    augment = Augmenter(strength, flat_field=settings.preprocess.flat_field)
    number = min(len(samples), request.limit)
    rows: list[Row] = []
    with progress(request.session, number, description="augmenting") as bar:
        for position, sample in enumerate(islice(samples, number)):
            bar.update()
            try:
                rows.append(_row(sample, settings, augment, (request.seed, position)))
            except ImageError as error:
                request.session.problem(str(error))
    if not rows:  # each has been reported
        raise Exit(BAD_INPUT)
    path = request.path()
    about = (
        f"{quantity(len(rows), 'image')} of {len(samples):,}; strength {strength:g}, seed "
        f"{request.seed}. Each epoch of a training draws other distortions."
    )
    save_picture(draw_augmented(rows, f"Augmentation: {request.image}", about), path)
    facts = [("images", f"{len(rows):,}"), ("strength", f"{strength:g}"), ("picture", str(path))]
    print_table(summary_table(facts, title="Augmentation"))
    if len(rows) < number:
        raise Exit(BAD_INPUT)


def _samples(request: Request) -> list[Sample]:
    """Return the labeled pictures to train on: where there are train/ and val/, those of train/."""
    if request.image is None:
        raise UsageError("--kind augment needs IMAGE, a labeled data set.")
    return find_samples(
        request.session,
        request.image,
        request.images,
        allow_outside=request.allow_outside,
        choice=LayoutChoice(name=request.layout, label_pattern=request.label_pattern),
        to_train=True,
    )


def _settings(request: Request) -> Preset:
    """Return the settings of the run that is named, or the default ones."""
    if not request.runs:
        return load_settings("default")
    check_run_dir(request.runs[0], CONFIG_NAME)
    return load_settings("default", request.runs[0] / CONFIG_NAME)


def _row(sample: Sample, settings: Preset, augment: Augmenter, seed: tuple[int, int]) -> Row:
    """Load a picture, and distort it."""
    ink = load(sample.source, settings.preprocess).ink
    ways = range(NUM_AUGMENTED)
    augmented = [augment(ink, np.random.default_rng((*seed, way))) for way in ways]
    original = load_shrunk(sample.source)
    return Row(sample.path.name, sample.text, original, [ink, *augmented])
