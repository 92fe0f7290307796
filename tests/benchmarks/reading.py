"""Reading from the shell: one picture from a cold start, and very many in one process."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

from exprocr.choices import ENGINES
from tests.benchmarks.measuring import Options, Row, draw_captchas, per_second, write_captchas
from tests.benchmarks.processes import Usage, exprocr, median


def cold_start_rows(options: Options) -> Iterator[Row]:
    """Start ``exprocr predict`` for one picture."""
    with tempfile.TemporaryDirectory() as temporary:
        path = Path(temporary) / "img.png"
        _, image = next(draw_captchas(1))
        image.save(path)
        for engine in ENGINES:
            command = _command(path, engine, options.model, options.threads)
            exprocr(*command)  # the files are in the system's cache from here on
            usage = median([exprocr(*command) for _ in range(options.repetitions)])
            what = f"exprocr predict img.png --engine {engine}"
            yield Row(what, f"{usage.seconds:.2f} s, peak {usage.peak_mb:,.0f} MB")


def reading_rows(options: Options) -> Iterator[Row]:
    """Read many PNG files to text, and a tenth of them."""
    with tempfile.TemporaryDirectory() as temporary:
        everything, tenth = Path(temporary) / "all", Path(temporary) / "tenth"
        few = max(1, options.num_files // 10)
        write_captchas(everything, options.num_files)
        write_captchas(tenth, few)
        for engine in ENGINES:
            yield from _engine_rows(everything, tenth, engine, options)


def _engine_rows(everything: Path, tenth: Path, engine: str, options: Options) -> Iterator[Row]:
    """Compare many files with few, and the threads of the options with one."""
    num, few = options.num_files, max(1, options.num_files // 10)
    output = everything.parent / "readings.tsv"

    def read(folder: Path, threads: int | None) -> Usage:
        command = _command(folder, engine, options.model, threads)
        usages = [exprocr(*command, output=output) for _ in range(options.repetitions)]
        return median(usages)

    usage = read(everything, options.threads)
    what = f"{num:,} PNG files, whole process, {engine}"
    yield Row(what, f"{per_second(num / usage.seconds)}, peak {usage.peak_mb:,.0f} MB")
    small = read(tenth, options.threads)
    growth = usage.peak_mb / small.peak_mb
    what = f"memory, {few:,} and {num:,} files, {engine}"
    result = f"{small.peak_mb:,.0f} and {usage.peak_mb:,.0f} MB, ratio {growth:.2f}"
    yield Row(what, result)
    single = read(everything, 1)
    ratio = usage.cpu_s / single.cpu_s
    threads = options.threads or "default"
    result = f"{usage.cpu_s:.1f} and {single.cpu_s:.1f} s, ratio {ratio:.2f}"
    yield Row(f"processor time, threads {threads} and 1, {engine}", result)
    yield Row(f"{num:,} PNG files, --threads 1, {engine}", per_second(num / single.seconds))


def _command(source: Path, engine: str, model: str | None, threads: int | None) -> list[object]:
    """Return the arguments that read pictures with an engine, under the contest's grammar."""
    command: list[object] = ["predict", source, "--engine", engine, "--grammar", "level1"]
    command += ["--model", model] if model else []
    return command + (["--threads", threads] if threads else [])
