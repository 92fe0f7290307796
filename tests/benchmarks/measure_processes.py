r"""Training speed of several processes under torchrun, against one.

    python -m tests.benchmarks.measure_processes [--batch-size 64] [--steps 60] [--rounds 5] \
        [-- OPTION...]

Trains on rendered images, in rounds: one process of one thread, two of one thread each, and one of
two threads. Rendering is included: with ``--workers 0`` the processes render themselves, so that
each row has as many processors as it has threads. What follows ``--`` are further options of
`exprocr train`. Figures are medians over the rounds, of the second half of each training's steps.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.table import Table

from exprocr.core.runs.journal import read_records
from exprocr.core.runs.layout import METRICS_NAME
from exprocr.core.runs.summary import of_kind
from tests.benchmarks.measuring import describe_machine, print_table

ROWS = ((1, 1), (2, 1), (1, 2))
"""Processes, and threads of each."""


def main() -> int:
    """Measure, and print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch-size", type=int, default=64, help="of all processes together")
    parser.add_argument("--steps", type=int, default=60, help="of each training")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("options", nargs="*", help="of exprocr train")
    arguments = parser.parse_args()
    speeds: dict[tuple[int, int], list[float]] = {row: [] for row in ROWS}
    for _ in range(arguments.rounds):
        for num, threads in ROWS:
            speeds[num, threads].append(_speed(num, threads, arguments))
    print("\n".join(describe_machine()))
    table = Table("processes", "threads of each", "images/s", "by one process of one thread")
    for (num, threads), found in speeds.items():
        ratios = [mine / alone for mine, alone in zip(found, speeds[ROWS[0]], strict=True)]
        cells = (f"{statistics.median(found):.0f}", f"{statistics.median(ratios):.2f}")
        table.add_row(str(num), str(threads), *cells)
    print_table(table)
    return 0


def _speed(num: int, threads: int, arguments: argparse.Namespace) -> float:
    """Return the images per second of a training."""
    with TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable]
        if num > 1:
            command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num}"]
        command += ["-m", "exprocr", "-q", "train", "--synth-mix", "1", "--threads", str(threads)]
        command += ["--steps", str(arguments.steps), "--batch-size", str(arguments.batch_size)]
        command += ["--config", str(_few_validation_images(Path(folder))), "--output", str(run)]
        command += arguments.options or ["--workers", "0"]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        times = [r["elapsed_s"] for r in of_kind(read_records(run / METRICS_NAME), "step")]
    half = len(times) // 2
    seconds: float = times[-1] - times[half]
    return float(arguments.batch_size * (len(times) - 1 - half) / seconds)


def _few_validation_images(folder: Path) -> Path:
    config = folder / "few.toml"
    config.write_text("[training]\nval_images = 64\n")
    return config


if __name__ == "__main__":
    sys.exit(main())
