"""Training and reading beside another busy process, against the same on an idle machine."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from exprocr.choices import ENGINES
from exprocr.core.config.schema import PRESETS
from exprocr.core.model.engine import pick_threads
from exprocr.core.runs.journal import STEP, read_records
from exprocr.core.runs.layout import METRICS_NAME
from tests.benchmarks.learning import TooShortError, measured
from tests.benchmarks.measuring import Options, Row, per_second, write_captchas
from tests.benchmarks.processes import exprocr

AWAKE = {"GOMP_SPINCOUNT": "300000"}
"""How PyTorch's threads wait by default, which is what exprocr changes."""

MIN_SECONDS = 8.0
"""Of a training that is timed, because it begins slowly."""

Rate = Callable[[dict[str, str]], float]


def rows(options: Options) -> Iterator[Row]:
    """Compare, in turns: idle, beside a busy process, and both with threads that wait awake."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        threads = str(pick_threads(options.threads))

        def train(variables: dict[str, str]) -> float:
            return _training_rate(folder, threads, max(options.seconds, MIN_SECONDS), variables)

        yield _row("training, --synth-mix 1", train, options)
        images, num = folder / "images", min(1_000, options.num_files)
        write_captchas(images, num)
        for engine in ENGINES:

            def read(variables: dict[str, str], engine: str = engine) -> float:
                command = ["-q", "predict", images, "--engine", engine, "--threads", threads]
                return num / exprocr(*command, variables=variables).seconds

            yield _row(f"reading {num:,} PNG files, whole process, {engine}", read, options)


def _row(what: str, rate: Rate, options: Options) -> Row:
    idle, beside, idle_awake, beside_awake = [], [], [], []
    try:
        for _ in range(options.repetitions):
            idle.append(rate({}))
            idle_awake.append(_awake(rate))
            with _busy():
                beside.append(rate({}))
                beside_awake.append(_awake(rate))
    except TooShortError as error:
        return Row(what, f"not measured: {error}")
    medians = map(statistics.median, (idle, beside, idle_awake, beside_awake))
    alone, busy, alone_awake, busy_awake = medians
    return Row(
        what,
        f"idle {per_second(alone)}, beside a busy process {per_second(busy)}, {busy / alone:.2f} "
        f"of idle; threads that wait awake: {per_second(alone_awake)} and {per_second(busy_awake)}",
    )


def _awake(rate: Rate) -> float:
    """Return the rate of threads that wait awake; 0 where they came too slowly to be measured."""
    try:
        return rate(AWAKE)
    except TooShortError:
        return 0.0


def _training_rate(folder: Path, threads: str, seconds: float, variables: dict[str, str]) -> float:
    with tempfile.TemporaryDirectory(dir=folder) as temporary:
        config, run = Path(temporary) / "config.toml", Path(temporary) / "run"
        config.write_text("[training]\nval_images = 16\nimages_per_epoch = 1_000_000\n")
        time = ("--max-time", f"{max(1, round(seconds))}s")
        command = ("-q", "train", "--synth-mix", "1", "--config", config, "--threads", threads)
        exprocr(*command, *time, "--output", run, variables=variables)
        records = read_records(run / METRICS_NAME)
    elapsed_s: list[float] = [r["elapsed_s"] for r in records if r["kind"] == STEP]
    first, last = measured(elapsed_s[:-1], seconds)
    batch_size = PRESETS["default"].training.batch_size
    return batch_size * (last - first) / (elapsed_s[last] - elapsed_s[first])


@contextmanager
def _busy() -> Iterator[None]:
    """Keep one processor busy."""
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as process:
        try:
            yield
        finally:
            process.kill()
