"""What the parts of the table share: options, rows, medians, images to read, the machine."""

from __future__ import annotations

import os
import platform
import statistics
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from rich.box import MARKDOWN
from rich.console import Console
from rich.table import Table

from exprocr.core.system.processes import usable_processors

if TYPE_CHECKING:
    from PIL import Image

SEED = 40_000
PACKAGES = ("torch", "onnxruntime", "numpy", "pillow", "captcha")

WIDTH = 160
"""Columns of a table that is not for a terminal."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What is measured, and how thoroughly."""

    repetitions: int = 3
    """Each figure is the median of this many measurements."""

    threads: int | None = None
    """Threads to compute with; None is what exprocr picks by default."""

    device: str = "auto"
    """Where networks are trained."""

    model: str | None = None
    """Model that reads; None is the bundled one."""

    seconds: float = 10.0
    """Length of a training that is only timed, and of one timing of rendering or decoding."""

    num_files: int = 10_000
    """PNG files that one process reads."""

    num_images: int = 500
    """Images by the ``captcha`` package that exprocr and the other tools read."""

    real: tuple[Path, ...] = ()
    """Folders of labeled images that they read too."""

    recipe: Path | None = None
    """Data set to learn from: a folder with train/ and val/."""

    minutes: tuple[float, ...] = (3.0, 15.0)
    """Length of each training on it."""


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    what: str
    result: str


def median_rate(
    count: int,
    work: Callable[[], object],
    *,
    repetitions: int = 5,
    clock: Callable[[], float] = time.perf_counter,
) -> float:
    """Return ``count`` per second: the median of several calls of ``work``, after a warm-up."""
    work()
    times = []
    for _ in range(repetitions):
        started = clock()
        work()
        times.append(clock() - started)
    return count / statistics.median(times)


def per_second(rate: float) -> str:
    """Write images per second."""
    return f"{rate:,.0f} images/s"


def draw_captchas(num: int) -> Iterator[tuple[str, Image.Image]]:
    """Yield texts and pictures as the ``captcha`` package draws them.

    Raises:
        ModuleNotFoundError: The package is not installed.
    """
    from tests.benchmarks.captcha_images import draw_images

    return draw_images(num, SEED)


def write_captchas(folder: Path, num: int) -> list[str]:
    """Write pictures as `draw_captchas` draws them, ``0.png`` and on; return their texts."""
    folder.mkdir(parents=True)
    texts = []
    for number, (text, image) in enumerate(draw_captchas(num)):
        image.save(folder / f"{number}.png")
        texts.append(text)
    return texts


def print_table(table: Table) -> None:
    """Print a table; into a file, as Markdown, so that a document takes it as it is."""
    console = Console()
    if not console.is_terminal:
        console, table.box = Console(width=WIDTH), MARKDOWN
    console.print(table)


def version_of(package: str) -> str:
    """Return an installed package's version, or what stands for none."""
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def describe_machine() -> list[str]:
    """Return lines on the processor and the versions of what computes."""
    there = os.cpu_count() or 1
    cores = f"{usable_processors()} of {there} processors to use"
    packages = ", ".join(f"{package} {version_of(package)}" for package in PACKAGES)
    return [
        f"{_processor()}, {cores}, {platform.system()} {platform.release()}",
        f"Python {platform.python_version()}, {packages}",
    ]


def _processor() -> str:
    """Return the processor's name."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text().splitlines():
            name, _, value = line.partition(":")
            if name.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
