"""Commands that are killed, interrupted, or find a full disk: nothing is lost, and all goes on."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

from tests.endurance.case import Case
from tests.endurance.place import (
    FILES,
    PREDICT,
    RESUMED,
    SYNTHS,
    TRAININGS,
    Place,
    discard,
    is_whole,
    left,
)
from tests.endurance.program import Program, can_trace, pick

EARLIER = "what was here before\n"

LATEST_S = 2.0
"""When a command is broken off at the latest; alone on a machine, most have ended by then."""

SENT = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)

DISK = ("openat", "mkdir", "write", "pwrite64", "rename", "ftruncate", "truncate")
"""System calls that a disk without room, or a damaged one, refuses."""

Broken = tuple[Program, str, str]
"""A program that has ended, how it was broken, and what is wrong with its end."""

Breaker = Callable[[Place, str, Path, random.Random], Broken]


def cases(
    breaker: Breaker, number: int, seed: int, folder: Path, kinds: tuple[str, ...]
) -> Iterator[Case]:
    """Break commands off, and go on.

    Args:
        breaker: How.
        number: How many times.
        seed: Seed of the first one; the others follow.
        folder: An empty folder, which is removed.
        kinds: The commands, in turn.
    """
    place = Place(folder)
    try:
        for case in range(seed, seed + number):
            yield try_once(place, kinds[case % len(kinds)], case, breaker)
    finally:
        place.close()


def try_once(place: Place, kind: str, seed: int, breaker: Breaker) -> Case:
    """Break a command off once or twice, go on, and check the result."""
    rng = random.Random(f"{kind} {seed}")
    place.result(kind)
    out = place.out(kind)
    discard(out)
    if kind in FILES:
        out.write_text(EARLIER)
    moments, problem = [], ""
    for _ in range(rng.choice((1, 1, 2)) if kind in (*TRAININGS, RESUMED) else 1):
        program, moment, found = breaker(place, kind, out, rng)
        moments.append(f"{moment}: {program.code}")
        problem = problem or found or _processes(program)
    problem = problem or _kept(place, kind, out) or place.finish(kind, out)
    return Case(kind, seed, ", ".join(moments), problem)


def kill(place: Place, kind: str, out: Path, rng: random.Random) -> Broken:
    """Kill a command, or one of its processes, at a random moment or change of a file."""
    if can_trace() and rng.random() < 0.6:
        name, number = pick(rng, place.calls[kind])
        fault = f"inject={name}:signal=SIGKILL:when={number}"
        program = place.programs.run(place.again(kind, out), trace=fault)
        return program, f"{name} {number}", _end(program, -signal.SIGKILL)
    program = place.programs.start(place.again(kind, out))
    delay, moment = rng.uniform(0, LATEST_S), "after"
    if not program.wait(delay):
        victim = program.pid  # alone: its processes must end by themselves
        if rng.random() < 0.3 and (workers := program.workers()):
            victim, moment = rng.choice(workers), "a process after"
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        program.wait()
    codes = (-signal.SIGKILL, 1) if moment != "after" else (-signal.SIGKILL,)
    return program, f"{moment} {delay:.3f} s", _end(program, *codes)


def interrupt(place: Place, kind: str, out: Path, rng: random.Random) -> Broken:
    """Send a signal to a command and all its processes at a random moment."""
    program = place.programs.start(place.again(kind, out))
    delay, number = rng.uniform(0, LATEST_S), rng.choice(SENT)
    if not program.wait(delay):
        program.send(number)
        program.wait()
    # The first thing that the program does is to catch signals; until then they kill it.
    problem = _end(program, 128 + number, -number)
    return program, f"{number.name} after {delay:.3f} s", problem or left(program, out)


def fill(place: Place, kind: str, out: Path, rng: random.Random) -> Broken:
    """Let a change of a file fail, or all from one on, or files grow to a size and no more."""
    calls = [call for call in place.calls[kind] if call[0] in DISK]
    if not calls or rng.random() < 0.4:
        size = round(10 ** rng.uniform(0, 6))
        program = place.programs.run(place.again(kind, out), max_file_bytes=size)
        return program, f"files of {size} bytes", _end(program, 1) or left(program, out)
    name, number = pick(rng, calls)
    error = rng.choice(("ENOSPC", "EIO", "EDQUOT"))
    on = "" if name == "openat" else rng.choice(("", "+"))  # which opens files to read them, too
    fault = f"inject={name}:error={error}:when={number}{on}"
    program = place.programs.run(place.again(kind, out), trace=fault)
    return program, f"{error} at {name} {number}{on}", _end(program, 1)


def _end(program: Program, *codes: int) -> str:
    """Return what is wrong with a program's end, which is 0 if it was not hit."""
    errors = [line for line in program.stderr.splitlines() if line.startswith("exprocr: ")]
    words = ("this is a bug", "Traceback")
    if (
        program.hangs
        or program.code not in (0, *codes)
        or (program.code > 0 and any(word in program.stderr for word in words))
        or (program.code == 1 and len(errors) > 1)
    ):
        return f"exit code {program.code}: {program.stderr}"
    return ""


def _processes(program: Program) -> str:
    return f"processes are left: {found}" if (found := program.left()) else ""


def _kept(place: Place, kind: str, out: Path) -> str:
    """Return what is wrong with what a command leaves that was broken off, or nothing."""
    if kind in SYNTHS and (labels := out / "labels.txt").exists():
        lines, images = len(labels.read_text().splitlines()), len(list(out.glob("*.png")))
        return "" if lines == images else f"{lines} labels of {images} images"
    earlier = kind not in FILES or out.read_bytes() == EARLIER.encode()
    if not earlier and not is_whole(kind, out, place.result(kind)):
        return f"a part of {out.stat().st_size:,} bytes is at the place of the output"
    return _lines_kept(place, out) if kind == PREDICT else ""


def _lines_kept(place: Place, out: Path) -> str:
    """Return what is wrong with the lines of a `predict`, which the next one must keep."""
    kept = out.with_name(f"{out.name}.partial")
    read = kept.read_text() if kept.exists() else ""
    one = ["-q", "predict", place.data / "0.png", "--output", out]
    if (program := place.programs.run(one)).code:
        return program.stderr
    there = kept.read_text() if kept.exists() else ""
    lines = read[: read.rfind("\n") + 1]
    if there != read or not place.result(PREDICT).read_text().startswith(lines):
        return f"{len(read)} characters were read, {len(there)} are kept"
    return ""


BREAKERS: dict[str, Breaker] = {"kills": kill, "signals": interrupt, "disks": fill}
