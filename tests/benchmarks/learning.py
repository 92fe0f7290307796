"""Training: images per second, whether it waits for rendering, and the time it takes to learn."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprocr.core.config.schema import PRESETS, Preset
from exprocr.core.evaluation.calibration import Calibration
from exprocr.core.model.engine import pick_threads
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import Renderer
from exprocr.synth.texts import LEVEL1
from exprocr.training.batches import Batch
from exprocr.training.checkpoint import TrainingState
from exprocr.training.limits import Limits
from exprocr.training.run import RunSpec, default_workers, read_data
from exprocr.training.setup import make_trainer
from tests.benchmarks.measure_training import TARGETS, Trainings, minutes
from tests.benchmarks.measuring import SEED, Options, Row, per_second

EVALUATIONS = 3
"""Validations of a run that has a time to keep to."""

NUM_IMAGES = 2048
VAL_IMAGES = 64
LOW_WIDTH, HIGH_WIDTH = 60, 480
"""Narrowest and widest of the images of mixed widths, px."""

WARM_UP = 0.25
"""Share of the steps that the rate leaves out: the first ones, and what was rendered ahead."""


MIN_STEPS, MIN_SHARE = 4, 0.3
"""Steps, and share of the time given, that a speed is measured over at least."""


class TooShortError(Exception):
    """There was no time for a measurement; the message says what there was."""


@dataclass(frozen=True)
class TrainingSpeed:
    """How fast training goes."""

    images_per_s: float
    """Evaluations and checkpoints left out, loading and rendering counted."""

    columns_per_s: float
    """The same for columns of pixels, without padding."""

    waiting: float
    """Share of the time in which the training steps wait for their images, 0..1."""


@dataclass
class _Laps:
    """An observer that notes when each step was done."""

    elapsed_s: list[float] = field(default_factory=list)

    def on_step(self, state: TrainingState, record: dict[str, Any]) -> None:
        self.elapsed_s.append(state.elapsed_s)

    def on_evaluation(self, record: dict[str, Any]) -> None:
        pass

    def on_calibration(self, calibration: Calibration) -> None:
        pass


def training_rows(options: Options, presets: Mapping[str, Preset] = PRESETS) -> Iterator[Row]:
    """Train each preset on ready images, and the first one on other images too."""
    with tempfile.TemporaryDirectory() as temporary:
        folders = {}
        for name, preset in presets.items():
            folders[name] = Path(temporary) / name
            _render(folders[name], preset)
            what = f"{name}, ready images"
            try:
                speeds = [
                    _speed(preset, folders[name], options) for _ in range(options.repetitions)
                ]
                yield Row(what, per_second(_median_rate(speeds)))
            except TooShortError as error:
                yield Row(what, f"not measured: {error}")
        name, preset = next(iter(presets.items()))
        ready, rendered = [], []
        yield _widths_row(name, preset, Path(temporary), options)
        try:
            for _ in range(options.repetitions):  # in turns, so that other work slows both
                ready.append(_speed(preset, folders[name], options))
                rendered.append(_speed(preset, None, options))
        except TooShortError as error:
            yield Row(f"{name}, --synth-mix 1", f"not measured: {error}")
            return
        ratio = _median_rate(rendered) / _median_rate(ready)
        waiting = statistics.median(speed.waiting for speed in rendered)
        yield Row(
            f"{name}, --synth-mix 1",
            f"{per_second(_median_rate(rendered))}, {ratio:.2f} of ready images, "
            f"{waiting:.1%} of the time waiting",
        )


def _widths_row(name: str, preset: Preset, folder: Path, options: Options) -> Row:
    """Train on images of mixed widths, in turns with ones that all have the mean width."""
    what = f"{name}, ready images, mixed widths"
    folders = {"mixed": folder / "mixed", "equal": folder / "equal"}
    rng = np.random.default_rng(SEED)
    multiple = preset.preprocess.width_multiple
    widths = rng.integers(LOW_WIDTH // multiple, HIGH_WIDTH // multiple, NUM_IMAGES, endpoint=True)
    _render(folders["mixed"], preset, widths * multiple)
    mean = round(float(widths.mean())) * multiple
    _render(folders["equal"], preset, np.full(NUM_IMAGES, mean))
    rates: dict[str, list[float]] = {kind: [] for kind in folders}
    try:
        for _ in range(options.repetitions):
            for kind, place in folders.items():
                rates[kind].append(_speed(preset, place, options).columns_per_s)
    except TooShortError as error:
        return Row(what, f"not measured: {error}")
    mixed, equal = (statistics.median(rates[kind]) for kind in ("mixed", "equal"))
    return Row(
        what,
        f"{mixed:,.0f} columns/s at {LOW_WIDTH} to {HIGH_WIDTH} px, {mixed / equal:.2f} of equal "
        f"widths of {mean} px",
    )


def recipe_rows(options: Options) -> Iterator[Row]:
    """Train the default preset from scratch, once for each time that it is given."""
    if options.recipe is None:
        yield Row("time to learn", "not measured: needs --recipe")
        return
    arguments = ["--seed", "0", "--device", options.device]
    arguments += ["--threads", str(options.threads)] if options.threads else []
    trainings = Trainings(options.recipe, tuple(arguments))
    for given in options.minutes:
        plan = trainings.plan("default", given, EVALUATIONS)
        learning = trainings.learn("default", plan)
        passed = [f"{t:.1%} after {minutes(learning.passed(t))}" for t in TARGETS]
        what = f"default, planned for {given:g} min, {plan.num_images:,} images x {plan.epochs}"
        yield Row(what, ", ".join(passed))


def training_speed(spec: RunSpec, seconds: float) -> TrainingSpeed:
    """Train for some seconds.

    Raises:
        TooShortError: There was no time for enough steps.
    """
    spec, data = read_data(spec)
    laps, sizes, columns, waits = _Laps(), [], [], []
    with tempfile.TemporaryDirectory() as folder:
        trainer = make_trainer(spec, data, Path(folder))
        between = trainer.batches.between

        def timed(first_step: int, last_step: int) -> Iterator[Batch]:
            batches = between(first_step, last_step)
            started = time.perf_counter()
            for batch in batches:
                waits.append(time.perf_counter() - started)
                sizes.append(len(batch.texts))
                columns.append(sum(batch.widths))
                yield batch
                started = time.perf_counter()

        trainer.batches.between = timed  # type: ignore[method-assign]
        trainer.train(Limits(max_time_s=seconds), laps, lambda: False)
    # Not the last step: it is recorded together with the one before.
    first, last = measured(laps.elapsed_s[:-1], seconds)
    elapsed = laps.elapsed_s[last] - laps.elapsed_s[first]
    steps = slice(first + 1, last + 1)
    return TrainingSpeed(
        images_per_s=sum(sizes[steps]) / elapsed,
        columns_per_s=sum(columns[steps]) / elapsed,
        waiting=sum(waits[steps]) / elapsed,
    )


def measured(elapsed_s: Sequence[float], seconds: float) -> tuple[int, int]:
    """Return the first and the last step that a speed is measured from and to.

    Args:
        elapsed_s: When each step was done.
        seconds: How long the training had.

    Raises:
        TooShortError: They are too few, or too close together.
    """
    last = len(elapsed_s) - 1
    first = int(max(last, 0) * WARM_UP)
    time = elapsed_s[last] - elapsed_s[first] if elapsed_s else 0.0
    if last - first < MIN_STEPS or time < MIN_SHARE * seconds:
        raise TooShortError(
            f"{max(last - first, 0)} steps in {time:.2f} s, expected {MIN_STEPS} or more in "
            f"{MIN_SHARE * seconds:.1f} s or more; give more --seconds"
        )
    return first, last


def _speed(preset: Preset, data: Path | None, options: Options) -> TrainingSpeed:
    """Train a preset on files, or on rendered images if there are none."""
    mix = 1.0 if data is None else 0.0
    # So many epochs that the time ends the training, and an evaluation that takes no time.
    training = replace(
        preset.training,
        epochs=1000,
        synth_mix=mix,
        val_images=VAL_IMAGES,
        val_fraction=VAL_IMAGES / NUM_IMAGES,
    )
    spec = RunSpec(
        settings=replace(preset, training=training),
        data=None if data is None else str(data),
        device=options.device,
        threads=pick_threads(options.threads),
        workers=default_workers(mix),
    )
    return training_speed(spec, options.seconds)


def _render(folder: Path, preset: Preset, widths: NDArray[np.int64] | None = None) -> None:
    """Write labeled images such as the preset renders.

    Args:
        folder: Where to write; it is made.
        preset: What they look like.
        widths: Widths that the images are stretched to, at the height of the network's input, px;
            None leaves them as they are.
    """
    folder.mkdir()
    synth = preset.synth
    places = [Path(place) for place in synth.fonts]
    fonts = find_fonts(places, LEVEL1.characters, system=synth.system_fonts).usable
    renderer = Renderer(fonts, synth)
    with (folder / "labels.csv").open("w") as labels:
        labels.write("image,text\n")
        for number in range(NUM_IMAGES):
            text, image = renderer.sample(SEED, 0, number)
            if widths is not None:
                image = image.resize((int(widths[number]), preset.preprocess.height))
            image.save(folder / f"{number}.png", compress_level=1)
            labels.write(f"{number}.png,{text}\n")


def _median_rate(speeds: list[TrainingSpeed]) -> float:
    return statistics.median(speed.images_per_s for speed in speeds)
