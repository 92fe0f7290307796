r"""How well a model reads after it is fine-tuned on a small set, and how long that takes.

    python -m tests.benchmarks.measure_finetuning --real REAL/meter --real REAL/soda \
        --dseg DIR [--fonts DIR]... [--only numbers]... [--scratch] [--json FILE] [-- OPTION...]

Each row is a set and a number of its pictures to train on, once for each seed. ``exprocr train``
fine-tunes the model as it does without further options, but for ``--seed`` and ``--max-time``;
``exprocr eval`` reads the pictures to test, which the training never sees. What follows ``--`` are
further options of ``train``. The sets:

- ``meter``: photographs of electricity meters, a labeled folder of that name given by ``--real``;
  all pictures that are not trained on are tested. Two with the same label are never in both parts.
- ``soda``: arithmetic captchas, likewise. With 0 pictures the model reads as it is.
- ``numbers``: 3 to 6 real handwritten digits side by side, of the UCI repository. Three tenths of
  the digits are for testing alone. They are a file in scikit-learn (`pip install --no-deps
  scikit-learn` is enough).
- ``display``: numbers on seven-segment displays, in the look ``display``, in typefaces of Debian's
  package fonts-dseg: DSEG7 Classic and Classic Mini for training, Modern and Modern Mini for
  testing. ``--dseg`` is a folder that has them. They must not be among the fonts that the model was
  trained with.
- ``plates``: Russian number plates, Cyrillic letters and digits, in the looks ``print`` and
  ``screen``, in the fonts that are installed and those of ``--fonts``. Three tenths of the kinds of
  typefaces are for testing alone.

``--scratch`` also trains a new network on each set, for comparison. Figures are the median of all
seeds, and the least and the greatest. The time is that of the whole process that trains. A table of
all rows takes up to three hours, and twice that with ``--scratch``. With ``--work`` the sets, the
runs and the wrong readings (errors.csv) are kept in a new folder.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.table import Table

from exprocr.cli.signals import INTERRUPTED
from exprocr.core.model.artifact import BUNDLED
from tests.benchmarks import processes, small_sets
from tests.benchmarks.image_sets import MissingError
from tests.benchmarks.measuring import describe_machine, print_table
from tests.benchmarks.small_sets import Split

MARGIN = 0.9
"""Share of a row's time that ``--max-time`` gets; the process also starts, reads and saves."""

NEW = "from scratch"

Make = Callable[[argparse.Namespace, int, int], Split]
"""Makes a set by the options, the number of pictures to train on, and the seed."""


@dataclass(frozen=True)
class Run:
    """One training, and what it reads afterwards."""

    set: str
    num_train: int
    start: str
    seed: int
    num_test: int
    exact_match: float
    cer: float
    minutes: float
    """Of the process that trains; 0 where nothing is trained."""


@dataclass(frozen=True)
class Goal:
    """What is to be reached."""

    exact_match: float
    """At least, 0..1."""

    minutes: float | None = None
    """Of training, at most."""

    cer: float | None = None
    """At most, by that of training from scratch."""

    def __str__(self) -> str:
        parts = [f">= {self.exact_match:.0%}"]
        parts += [f"in <= {self.minutes:g} min"] if self.minutes else []
        parts += [f"CER <= {self.cer:g} of from scratch"] if self.cer else []
        return ", ".join(parts)

    def verdict(self, runs: Sequence[Run], scratch: Sequence[Run]) -> str:
        """Return whether the medians of some runs reach it, by those of runs from scratch."""
        if self.cer and not scratch:
            return "needs --scratch"
        reached = statistics.median(run.exact_match for run in runs) >= self.exact_match
        if self.minutes:
            reached &= statistics.median(run.minutes for run in runs) <= self.minutes
        if self.cer:
            most = self.cer * statistics.median(run.cer for run in scratch)
            reached &= statistics.median(run.cer for run in runs) <= most
        return "yes" if reached else "no"


@dataclass(frozen=True)
class Row:
    """A set, and how many of its pictures are trained on."""

    set: str
    num_train: int
    goal: Goal
    make: Make

    @property
    def name(self) -> str:
        """Return what ``--only`` calls it."""
        return f"{self.set}/{self.num_train}"


@dataclass
class Result:
    """What came of a row."""

    row: Row
    runs: list[Run] = field(default_factory=list)
    problem: str = ""
    """Why there are no more of them."""

    def lines(self) -> Iterator[list[str]]:
        """Yield the row's lines of the table."""
        row = self.row
        tuned = [run for run in self.runs if run.start != NEW]
        scratch = [run for run in self.runs if run.start == NEW]
        name = [row.set, f"{row.num_train:,}"]
        if not tuned:
            yield [*name, "", "", self.problem]
            return
        verdict = self.problem or row.goal.verdict(tuned, scratch)
        yield [*name, tuned[0].start, *_figures(tuned), str(row.goal), verdict]
        if scratch:
            yield ["", "", NEW, *_figures(scratch)]


COLUMNS = (
    "set", "trained on", "start", "tested", "exact match", "CER", "minutes", "to reach", "reached",
)  # fmt: skip


def _figures(runs: Sequence[Run]) -> list[str]:
    exact = _figure([run.exact_match for run in runs], "{:.1%}")
    cer = _figure([run.cer for run in runs], "{:.2%}")
    minutes = _figure([run.minutes for run in runs], "{:.1f}") if runs[0].num_train else ""
    return [f"{runs[0].num_test:,}", exact, cer, minutes]


def _figure(values: Sequence[float], form: str) -> str:
    """Return the median, and the range if there are several values."""
    median = form.format(statistics.median(values))
    if len(values) == 1:
        return median
    return f"{median} ({form.format(min(values))} to {form.format(max(values))})"


def _real(name: str) -> Make:
    def make(args: argparse.Namespace, num_train: int, seed: int) -> Split:
        for folder in args.real:
            if folder.resolve().name == name:
                return small_sets.real(folder, num_train, seed)
        raise MissingError(f"needs --real .../{name}")

    return make


def _numbers(args: argparse.Namespace, num_train: int, seed: int) -> Split:
    return small_sets.numbers(num_train, seed)


def _displays(args: argparse.Namespace, num_train: int, seed: int) -> Split:
    if args.dseg is None:
        raise MissingError("needs --dseg")
    return small_sets.displays(args.dseg, num_train, seed)


def _plates(args: argparse.Namespace, num_train: int, seed: int) -> Split:
    return small_sets.plates(args.fonts, num_train, seed)


ROWS = (
    Row("meter", 150, Goal(0.60, minutes=10), _real("meter")),
    Row("soda", 0, Goal(1.0), _real("soda")),
    Row("soda", 40, Goal(1.0), _real("soda")),
    Row("numbers", 100, Goal(0.60, minutes=5, cer=0.5), _numbers),
    Row("numbers", 300, Goal(0.85, minutes=5), _numbers),
    Row("numbers", 1_000, Goal(0.95, minutes=5), _numbers),
    Row("display", 100, Goal(0.95), _displays),
    Row("plates", 500, Goal(0.95), _plates),
)
DEFAULT_MINUTES = 10.0
"""Time of a training that has no time to keep to."""


def measure(row: Row, start: str, seed: int, args: argparse.Namespace, folder: Path) -> Run:
    """Train on a set and read what is to be tested.

    Args:
        row: What to train on.
        start: The model to start from, or `NEW`.
        seed: Of the set and of the training.
        args: The options.
        folder: A folder that has the set, in ``train`` and ``test``.

    Raises:
        CommandError: A command failed.
    """
    model, minutes = start, 0.0
    place = folder / ("scratch" if start == NEW else "tuned")
    place.mkdir()
    if row.num_train:
        limit = args.max_time or MARGIN * (row.goal.minutes or DEFAULT_MINUTES)
        command: list[object] = ["-q", "train", folder / "train", "--output", place / "run"]
        command += ["--seed", seed, "--max-time", f"{60 * limit:g}s"]
        command += [] if start == NEW else ["--init", start]
        minutes = processes.exprocr(*command, *args.train_options).seconds / 60
        model = str(place / "run")
    file = place / "eval.json"
    command = ["-q", "eval", folder / "test", "--model", model, "--json", file]
    processes.exprocr(*command, "--errors", place / "errors.csv")
    found = json.loads(file.read_text())
    return Run(
        set=row.set,
        num_train=row.num_train,
        start=start,
        seed=seed,
        num_test=found["num_images"],
        exact_match=found["exact_match"],
        cer=found["cer"],
        minutes=minutes,
    )


def fill(
    result: Result, args: argparse.Namespace, folder: Path, on_run: Callable[[], object]
) -> None:
    """Measure a row with all seeds.

    Args:
        result: Gets each run when it is done.
        args: The options.
        folder: Gets the sets and the runs.
        on_run: Called after each run.
    """
    row = result.row
    starts = [args.model, NEW] if args.scratch and row.num_train else [args.model]
    try:
        for seed in range(args.seeds):
            place = folder / row.set / f"{row.num_train}-seed{seed}"
            train, test = row.make(args, row.num_train, seed)
            small_sets.write(place / "test", test)
            if train:
                small_sets.write(place / "train", train)
            for start in starts:  # in turns, so that whatever else the machine does slows both
                result.runs.append(measure(row, start, seed, args, place))
                on_run()
    except MissingError as error:
        result.problem = str(error)
    except Exception as error:  # the other rows are still measured
        traceback.print_exc()
        result.problem = f"failed: {type(error).__name__}: {error}"


def parse(arguments: list[str] | None = None) -> tuple[argparse.Namespace, list[Row]]:
    """Return the options of a command line, and the rows to measure."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", default=BUNDLED, help="to start from [default: bundled]")
    add("--scratch", action="store_true", help="train new networks too")
    add("--real", type=Path, action="append", default=[], help="labeled folder, meter or soda")
    add("--dseg", type=Path, help="folder with the fonts of fonts-dseg")
    add("--fonts", type=Path, action="append", default=[], help="folder with fonts for plates")
    add("--only", action="append", metavar="NAME", help="rows whose names, SET/NUMBER, begin so")
    add("--seeds", type=int, default=3, metavar="N", help="runs of each row [default: 3]")
    add("--max-time", type=float, metavar="MINUTES", help="of each training [default: the row's]")
    add("--work", type=Path, metavar="DIR", help="new folder for sets and runs, which are kept")
    add("--json", type=Path, metavar="FILE", help="for all runs")
    add("train_options", nargs="*", metavar="OPTION", help="of exprocr train, after --")
    args = parser.parse_args(arguments)
    names = tuple(args.only or [""])
    rows = [row for row in ROWS if row.name.startswith(names)]
    if not rows:
        parser.error(f"--only: expected a row's name, found {', '.join(names)}")
    if args.seeds < 1:
        parser.error(f"--seeds: expected 1 or more, found {args.seeds}")
    if args.work and args.work.exists():
        parser.error(f"--work: expected a new folder, found {args.work}")
    return args, rows


def main(arguments: list[str] | None = None) -> None:
    """Measure the rows and print the table."""
    args, rows = parse(arguments)
    print("\n".join(describe_machine()))
    results: list[Result] = []

    def keep() -> None:
        runs = [run for result in results for run in result.runs]
        last = runs[-1]
        print(
            f"{last.set}/{last.num_train}, {last.start}, seed {last.seed}: exact match "
            f"{last.exact_match:.1%}, CER {last.cer:.2%}, {last.minutes:.1f} min",
            file=sys.stderr,
            flush=True,
        )
        if args.json:
            figures = {"train_options": args.train_options, "runs": list(map(asdict, runs))}
            args.json.write_text(json.dumps(figures, indent=1) + "\n")

    code = 0
    with TemporaryDirectory() as temporary:
        try:
            for row in rows:
                results.append(Result(row))
                fill(results[-1], args, args.work or Path(temporary), keep)
        except KeyboardInterrupt:  # what was measured is printed
            code = INTERRUPTED
    table = Table(*COLUMNS)
    for result in results:
        for line in result.lines():
            table.add_row(*line)
    print_table(table)
    if code:
        sys.exit(code)


if __name__ == "__main__":
    main()
