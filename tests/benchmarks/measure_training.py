r"""How long a network takes to learn, from the start of the process to each validation.

    python -m tests.benchmarks.captcha_images recipe -n 100000 --val 10000 --thin-minus \
        --families --seed 1
    python -m tests.benchmarks.measure_training recipe --minutes 3
    python -m tests.benchmarks.measure_training recipe --minutes 15
    python -m tests.benchmarks.measure_training recipe --minutes 15 --preset reference

Each preset is trained from scratch by `exprocr train`, on the first of RECIPE/train's images, and
validated on RECIPE/val. The learning rate's schedule needs the number of steps beforehand: a
short run measures how many images fit into the time, or ``--images`` and ``--epochs`` set it.
``time`` is that of the whole process, with importing, reading the images and validating;
``training`` is that of the steps alone.
"""

from __future__ import annotations

import argparse
import csv
import math
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from exprocr.core.config.schema import PRESETS
from exprocr.core.data.dataset import load_dataset
from exprocr.core.data.labels import Sample
from exprocr.core.runs.journal import read_records
from exprocr.core.runs.layout import CONFIG_NAME, METRICS_NAME

TARGETS = (0.9, 0.99, 0.999)
TRIAL_IMAGES, TRIAL_VAL_IMAGES = 6000, 1000
MARGIN = 0.95
"""Share of the time that is planned."""

MAX_EPOCHS = 1000
POLL_S = 0.1


@dataclass(frozen=True)
class Plan:
    """What is trained on."""

    num_images: int
    """Different images."""

    epochs: int
    """Passes over them."""

    evaluations: int
    """Validations, evenly spaced if more than one per epoch; else each epoch ends with one."""

    @property
    def num_evaluations(self) -> int:
        """Most validations that there are."""
        return max(self.epochs, self.evaluations)


@dataclass(frozen=True)
class Evaluation:
    """A validation."""

    time_s: float
    """Seconds since the process started."""

    record: dict[str, Any]
    """Its line in metrics.jsonl."""


@dataclass(frozen=True)
class Learning:
    """What a training came to."""

    plan: Plan
    loading_s: float
    """Seconds until all images were in memory."""

    images_per_s: float
    """Training steps alone."""

    evaluations: list[Evaluation]

    def passed(self, target: float) -> float | None:
        """Return the time, s, of the first validation at a target or above; None without one."""
        times = [e.time_s for e in self.evaluations if e.record["val_exact_match"] >= target]
        return min(times, default=None)


@dataclass(frozen=True)
class Trainings:
    """Trains on a recipe's images.

    Args:
        recipe: Folder with train/ and val/.
        options: Further options of `exprocr train`.
    """

    recipe: Path
    options: tuple[str, ...] = ()

    def plan(self, preset: str, minutes: float, evaluations: int) -> Plan:
        """Return how many images fit into a time, by a short training."""
        train, val = self._samples()
        num_val = min(TRIAL_VAL_IMAGES, len(val))
        trial = Plan(min(TRIAL_IMAGES, len(train)), 1, 1)
        found = self._learn(preset, trial, val[:num_val])
        (end,) = found.evaluations
        start_s = _time_to_import()
        load_s = max(0.0, found.loading_s - start_s) / (trial.num_images + num_val)
        val_s = (end.time_s - found.loading_s - end.record["elapsed_s"]) / num_val
        for epochs in range(1, MAX_EPOCHS + 1):
            plan = Plan(len(train), epochs, evaluations)
            for_val_s = len(val) * (load_s + plan.num_evaluations * val_s)
            for_each_s = load_s + epochs / found.images_per_s
            num_images = int((MARGIN * 60 * minutes - start_s - for_val_s) / for_each_s)
            # Rather all images once more than fewer of them more often.
            if 0 < num_images <= len(train):
                return replace(plan, num_images=num_images)
        raise SystemExit(f"found nothing to train on for {minutes} minutes")

    def learn(self, preset: str, plan: Plan) -> Learning:
        """Train a preset from scratch."""
        return self._learn(preset, plan, self._samples()[1])

    def _learn(self, preset: str, plan: Plan, val: list[Sample]) -> Learning:
        with tempfile.TemporaryDirectory() as temporary:
            folder = Path(temporary)
            _write_table(folder / "train.csv", self._samples()[0][: plan.num_images])
            _write_table(folder / "val.csv", val)
            batch_size = PRESETS[preset].training.batch_size
            steps = plan.epochs * math.ceil(plan.num_images / batch_size)
            more = plan.evaluations > plan.epochs
            every = math.ceil(steps / plan.evaluations) if more else 0
            config = f"[training]\nevaluate_every_steps = {every}\n"
            (folder / "config.toml").write_text(config)
            command = [sys.executable, "-m", "exprocr", "-q", "train", str(folder / "train.csv")]
            command += ["--val", str(folder / "val.csv"), "--allow-outside", "--preset", preset]
            command += ["--config", str(folder / "config.toml"), "--epochs", str(plan.epochs)]
            command += [*self.options, "--output", str(folder / "run")]
            started = time.time()
            evaluations = list(_watch(command, folder / "run", started))
            loaded = (folder / "run" / CONFIG_NAME).stat().st_mtime
        rate = evaluations[-1].record["images_per_s"]
        return Learning(plan, loaded - started, rate, evaluations)

    def _samples(self) -> tuple[list[Sample], list[Sample]]:
        parts = load_dataset(self.recipe).parts
        return parts["train"], parts["val"]


def _time_to_import() -> float:
    """Return the seconds until a process that trains can read its first image."""
    started = time.monotonic()
    subprocess.run([sys.executable, "-c", "import exprocr.training.setup"], check=True)
    return time.monotonic() - started


def _watch(command: list[str], run: Path, started: float) -> Iterator[Evaluation]:
    """Run a training; yield its validations with the time each was there."""
    journal = run / METRICS_NAME
    size = seen = 0
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        done = False
        while not done:
            time.sleep(POLL_S)
            done = process.poll() is not None
            if not journal.exists() or journal.stat().st_size == size:
                continue
            size = journal.stat().st_size
            evaluations = [r for r in read_records(journal) if r["kind"] == "evaluation"]
            for record in evaluations[seen:]:
                yield Evaluation(time.time() - started, record)
            seen = len(evaluations)
    if process.returncode:
        raise SystemExit(process.returncode)


def _write_table(path: Path, samples: list[Sample]) -> None:
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("image", "text"))
        rows.writerows((str(sample.path.resolve()), sample.text) for sample in samples)


def minutes(seconds: float | None) -> str:
    """Write a time."""
    return "-" if seconds is None else f"{int(seconds) // 60} min {int(seconds) % 60:02} s"


def print_learning(console: Console, preset: str, learning: Learning, batch_size: int) -> None:
    """Print the curve, and when the targets were passed."""
    plan = learning.plan
    table = Table(title=f"{preset}: {plan.num_images:,} images, epochs: {plan.epochs}")
    for name in ("time", "training", "images trained on", "exact match", "CER", "loss"):
        table.add_column(name, justify="right")
    for evaluation in learning.evaluations:
        record = evaluation.record
        table.add_row(
            minutes(evaluation.time_s),
            minutes(record["elapsed_s"]),
            f"{round(record['images_per_s'] * record['elapsed_s']):,}",
            f"{record['val_exact_match']:.2%}",
            f"{record['val_cer']:.3%}",
            f"{record['val_loss']:.4f}",
        )
    console.print(table)
    passed = ", ".join(
        f"{target:.1%} after {minutes(learning.passed(target))}" for target in TARGETS
    )
    console.print(
        f"{preset}: {learning.images_per_s:,.0f} images/s in batches of {batch_size}, images in "
        f"memory after {minutes(learning.loading_s)}; {passed}\n"
    )


def main() -> None:
    """Train and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("recipe", type=Path)
    parser.add_argument("--preset", action="append", choices=list(PRESETS))
    parser.add_argument("--minutes", type=float, help="of the whole process")
    parser.add_argument("--images", type=int, help="different images; all of them by default")
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--evaluations", type=int, default=3)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    options = ["--seed", str(args.seed)]
    if args.threads:
        options += ["--threads", str(args.threads)]
    trainings = Trainings(args.recipe, tuple(options))
    console = Console(width=100)
    for preset in args.preset or ["default"]:
        if args.minutes:
            plan = trainings.plan(preset, args.minutes, args.evaluations)
        else:
            most = len(load_dataset(args.recipe).parts["train"])
            plan = Plan(min(args.images or most, most), args.epochs, args.evaluations)
        learning = trainings.learn(preset, plan)
        print_learning(console, preset, learning, PRESETS[preset].training.batch_size)


if __name__ == "__main__":
    main()
