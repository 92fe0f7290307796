"""Memory of long work: after a warm-up it stays as it is, however many images and steps come."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import tomli_w

from tests.endurance.case import MB, Case
from tests.support.pictures import matplotlib_fonts
from tests.support.processes import Process, finish, send, start
from tests.support.tiny_runs import SETTINGS, write_files

MANY = 50_000
MOST_GROWTH, MOST_GROWTH_OF_FEW = 0.05, 0.15
"""Share that memory may grow by, and with fewer images than `MANY`, whose warm-up is short."""

IMAGES_PER_STEP = 5
"""A training takes one step where `predict` reads so many images."""

NUM_PICTURES = 50


def cases(number: int, seed: int, folder: Path, kinds: tuple[str, ...]) -> Iterator[Case]:
    """Read images and take steps while the memory is observed.

    Args:
        number: Images to read; a fifth of it are steps to take.
        seed: Seed of the pictures.
        folder: An empty folder, which is removed.
        kinds: Names in `KINDS`.
    """
    allowed = MOST_GROWTH if number >= MANY else MOST_GROWTH_OF_FEW
    for kind in kinds:
        process, written = KINDS[kind](folder, number, seed)
        first, last = quarters(observe(process, written))
        growth = last / first - 1
        outcome = f"{number:,}: {first:.1f} MB, then {last:.1f} MB, {growth:+.1%}"
        code, _, stderr = finish(process)
        problem = stderr if code else f"memory grows: {outcome}" if growth > allowed else ""
        print(f"{kind}: {outcome}", flush=True)
        yield Case(kind, seed, outcome, problem, taken_mb=last)
    shutil.rmtree(folder)


def predict(folder: Path, number: int, seed: int) -> tuple[Process, Callable[[], int]]:
    """Start to read many images; return what has been written of the results, too."""
    write_files(folder / "data", NUM_PICTURES, seed)
    (folder / "many").mkdir()
    for image in range(number):  # of one file there are not as many links
        os.link(folder / "data" / f"{image % NUM_PICTURES}.png", folder / "many" / f"{image}.png")
    out = folder / "out" / "o.tsv"
    process = start("-q", "predict", folder / "many", "--output", out, stdout=subprocess.DEVNULL)
    return process, lambda: sum(path.stat().st_size for path in out.parent.iterdir())


def train(folder: Path, number: int, seed: int) -> tuple[Process, Callable[[], int]]:
    """Start to train for many steps; return what has been written of their record, too."""
    steps = number // IMAGES_PER_STEP
    synth = SETTINGS["synth"] | {"system_fonts": False, "fonts": [str(matplotlib_fonts())]}
    training = SETTINGS["training"] | {"batch_size": 2, "seed": seed, "epochs": 10}
    training |= {"images_per_epoch": 2 * steps // 10, "checkpoint_every_steps": steps // 50}
    settings = SETTINGS | {"synth": synth, "training": training}
    (folder / "tiny.toml").write_text(tomli_w.dumps(settings))
    options = ("--config", folder / "tiny.toml", "--workers", "0", "--threads", "1")
    run = folder / "run"
    line = ("-q", "train", "--synth-mix", "1", *options, "--output", run)
    process = start(*line, stdout=subprocess.DEVNULL)
    return process, lambda: (run / "metrics.jsonl").stat().st_size


KINDS = {"predict": predict, "train": train}


def observe(process: Process, written: Callable[[], int]) -> list[tuple[int, float]]:
    """Return what was written and the memory, MB, at many moments of a process."""
    moments, status = [], Path(f"/proc/{process.pid}/statm")
    page = os.sysconf("SC_PAGE_SIZE") / MB
    try:
        while process.poll() is None:
            with suppress(OSError, ValueError, subprocess.TimeoutExpired):
                size = written()
                moments.append((size, int(status.read_text().split()[1]) * page))
                process.wait(0.02)
    except BaseException:
        send(process, 9)
        raise
    return moments


def quarters(moments: list[tuple[int, float]]) -> tuple[float, float]:
    """Return the mean memory in the first and in the last quarter of the work, after a warm-up.

    The start, until a tenth is written, is left out, and so is the end, when all is.
    """
    sizes, memory = np.array(moments).T
    work = memory[(sizes > 0.1 * sizes.max()) & (sizes < sizes.max())]
    assert len(work) >= 8, f"too few moments: {len(work)}"
    return float(work[: len(work) // 4].mean()), float(work[-len(work) // 4 :].mean())
