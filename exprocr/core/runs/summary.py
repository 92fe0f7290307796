"""The record of a run: read and checked, as series over steps or time, and summed up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from exprocr.core.evaluation.metrics import score
from exprocr.core.runs.journal import EVALUATION, STEP, read_records
from exprocr.core.runs.layout import METRICS_NAME, check_run_dir
from exprocr.errors import DataError

Floats = NDArray[np.float64]
Records = Sequence[Mapping[str, Any]]

MAX_WINDOW = 100
"""Steps that a moving average takes the mean of, at most."""


class Series(NamedTuple):
    """Values and the steps (or times) they belong to, float64 (N,) each."""

    x: Floats
    y: Floats


def read_run(run_dir: Path) -> list[dict[str, Any]]:
    """Read the record of a run, finished or under way.

    Raises:
        DataError: There is none, it is damaged, or nothing is recorded yet.
    """
    check_run_dir(run_dir, METRICS_NAME)
    path = run_dir / METRICS_NAME
    records = read_records(path)
    if not any(record.get("kind") in (STEP, EVALUATION) for record in records):
        raise DataError(f"{path}: expected steps or evaluations, found none yet")
    return records


def of_kind(records: Records, kind: str) -> list[Mapping[str, Any]]:
    """Return the records of a kind, in order."""
    return [record for record in records if record.get("kind") == kind]


def series(records: Records, name: str) -> Series:
    """Return the finite values of a figure, and their steps; records without it are skipped."""
    points = [(r["step"], r[name]) for r in records if r.get(name) is not None]
    steps, values = np.array(points, dtype=np.float64).reshape(-1, 2).T
    finite = np.isfinite(values)
    return Series(steps[finite], values[finite])


def _known(records: Records) -> Records:
    """Leave out records of other kinds, whose figures nobody has checked."""
    return [record for record in records if record.get("kind") in (STEP, EVALUATION)]


def over_time(of_steps: Series, records: Records) -> Series:
    """Turn a figure over steps into one over the seconds trained.

    Steps without a recorded time are placed evenly between the records that have one; those after
    the last of these are left out.

    Args:
        of_steps: The figure, over steps.
        records: All records of the run, in order; their ``elapsed_s`` is the time trained.
    """
    clock = series(_known(records), "elapsed_s")
    if not clock.x.size:
        return Series(*np.zeros((2, 0)))
    known = of_steps.x <= clock.x[-1]
    seconds = np.interp(of_steps.x[known], [0.0, *clock.x], [0.0, *clock.y])
    return Series(seconds, of_steps.y[known])


def throughput(records: Records) -> Series:
    """Return the images trained on per second, between one evaluation and the next.

    The record holds the mean since the run began, which hardly shows a change late in a run.
    """
    steps, rates, images, seconds = [], [], 0.0, 0.0
    for record in of_kind(records, EVALUATION):
        elapsed, mean = record.get("elapsed_s"), record.get("images_per_s")
        if elapsed is None or mean is None or not elapsed > seconds:
            continue
        steps.append(float(record["step"]))
        rates.append((mean * elapsed - images) / (elapsed - seconds))
        images, seconds = mean * elapsed, elapsed
    return Series(np.array(steps, np.float64), np.array(rates, np.float64))


def smoothed(of_steps: Series) -> tuple[Series, int]:
    """Return the moving average of a figure, and its window: how many steps each mean is of.

    The window is a twentieth of the steps, 100 at most. A mean stands at the last of its steps.
    """
    window = max(1, min(MAX_WINDOW, len(of_steps.y) // 20))
    return Series(of_steps.x[window - 1 :], moving_average(of_steps.y, window)), window


def moving_average(values: Floats, window: int) -> Floats:
    """Return the means of every ``window`` neighbors; ``window - 1`` fewer than values."""
    if not values.size:
        return values
    return np.convolve(values, np.full(window, 1 / window), mode="valid")


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """The figures of a run; None where nothing is recorded."""

    num_steps: int
    num_epochs: int
    """Epochs, including one that is not finished."""

    num_images: int | None
    """Images trained on up to the last evaluation, counted as often as they were seen."""

    elapsed_s: float | None
    """Seconds trained, evaluations left out."""

    best: Mapping[str, Any] | None
    """The record of the best evaluation, see `best_evaluation`."""

    last_loss: float | None
    """Mean training loss of the last steps, nats per image."""

    images_per_s: float | None
    """Images trained on per second, over the whole run."""


def summarize(records: Records) -> RunSummary:
    """Return the figures of a run."""
    records = _known(records)
    evaluations = of_kind(records, EVALUATION)
    elapsed, speed = series(records, "elapsed_s").y, series(evaluations, "images_per_s")
    images = [
        r["images_per_s"] * r["elapsed_s"]
        for r in evaluations
        if r.get("images_per_s") is not None and r.get("elapsed_s") is not None
    ]
    mean_loss, _ = smoothed(series(of_kind(records, STEP), "loss"))
    return RunSummary(
        num_steps=max((r["step"] for r in records if "step" in r), default=0),
        num_epochs=max((r["epoch"] for r in records if "epoch" in r), default=0),
        num_images=round(images[-1]) if images else None,
        elapsed_s=float(elapsed[-1]) if elapsed.size else None,
        best=best_evaluation(evaluations),
        last_loss=float(mean_loss.y[-1]) if mean_loss.y.size else None,
        images_per_s=float(speed.y[-1]) if speed.y.size else None,
    )


def best_evaluation(records: Records) -> Mapping[str, Any] | None:
    """Return the evaluation of the network that was kept: of the ``best_step`` of the last one.

    Records of older runs have none: there it is the best by the rule of
    `exprocr.core.evaluation.metrics.score`, and of equals the first. Records without a validation
    exact match are skipped.
    """
    scored = [record for record in records if record.get("val_exact_match") is not None]
    step = scored[-1].get("best_step") if scored else None
    kept = [record for record in scored if record.get("step") == step] if step is not None else []
    return max(
        kept or scored, key=lambda r: score(r["val_exact_match"], r.get("val_loss")), default=None
    )
