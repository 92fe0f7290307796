"""Kills at random moments and at random changes of files: a run goes on as if there were none."""

from __future__ import annotations

import os
import random
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from tests.endurance.case import Case
from tests.endurance.place import PREDICT, SYNTHS, TRAININGS, Place, discard
from tests.endurance.program import Program, can_trace, pick

KINDS = (*TRAININGS, PREDICT, *SYNTHS)

EARLIER = "what was here before\n"


def cases(number: int, seed: int, folder: Path, kinds: tuple[str, ...] = KINDS) -> Iterator[Case]:
    """Kill commands and go on.

    Args:
        number: How many times.
        seed: Seed of the first one; the others follow.
        folder: An empty folder, which is removed.
        kinds: The commands, in turn.
    """
    place = Place(folder)
    try:
        for case in range(seed, seed + number):
            yield kill(place, kinds[case % len(kinds)], case)
    finally:
        place.close()


def kill(place: Place, kind: str, seed: int) -> Case:
    """Kill a command once or twice, go on, and check the result."""
    rng = random.Random(f"{kind} {seed}")
    expected, out = place.result(kind), place.folder / "out"
    discard(out)
    if kind == PREDICT:
        out.write_text(EARLIER)
    moments, problem = [], ""
    for _ in range(1 if kind == PREDICT else rng.choice((1, 1, 2))):
        program, moment = break_off(place, kind, out, rng)
        moments.append(f"{moment}: {program.code}")
        problem = problem or _ended_badly(program)
    if not problem:
        problem = _kept(place, out, expected) if kind == PREDICT else _labels(kind, out)
    return Case(kind, seed, ", ".join(moments), problem or place.finish(kind, out))


def break_off(place: Place, kind: str, out: Path, rng: random.Random) -> tuple[Program, str]:
    """Start a command, or go on with it, and kill it; return it and the moment."""
    command = place.again(kind, out)
    if can_trace() and rng.random() < 0.6:
        name, number = pick(rng, place.calls[kind])
        fault = f"inject={name}:signal=SIGKILL:when={number}"
        return place.programs.run(command, trace=fault), f"{name} {number}"
    program = place.programs.start(command)
    delay, moment = rng.uniform(0, 2), "after"
    if not program.wait(delay):
        victim = program.pid  # alone: its processes must end by themselves
        if rng.random() < 0.3 and (workers := program.workers()):
            victim, moment = rng.choice(workers), "a process after"
        with suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)
        program.wait()
    return program, f"{moment} {delay:.3f} s"


def _ended_badly(program: Program) -> str:
    """Return what is wrong with the end of a program that was killed, or whose process was."""
    if program.left():
        return f"processes are left: {program.left()}"
    errors = [line for line in program.stderr.splitlines() if line.startswith("exprocr: ")]
    if program.code in (0, -signal.SIGKILL) or (
        program.code == 1 and len(errors) == 1 and "process" in errors[0] and "bug" not in errors[0]
    ):
        return ""
    return f"exit code {program.code}: {program.stderr}"


def _labels(kind: str, out: Path) -> str:
    """Return what is wrong with the labels of a killed `synth`: they are whole, or not there."""
    labels = out / "labels.txt"
    if kind not in SYNTHS or not labels.exists():
        return ""
    images = len(list(out.glob("*.png")))
    lines = len(labels.read_text().splitlines())
    return "" if lines == images else f"{lines} labels of {images} images"


def _kept(place: Place, out: Path, expected: Path) -> str:
    """Return what is wrong with what a killed `predict` leaves; move it out of the way."""
    whole = expected.read_text()
    if (found := out.read_text()) not in (EARLIER, whole):
        return f"a file of {len(found)} characters is at the place of the output"
    hidden = [path.read_text() for path in out.parent.glob(f".{out.name}.*")]
    read = "".join(hidden)
    complete = read[: read.rfind("\n") + 1]
    one = [*place.command(PREDICT, out)[:2], place.data / "0.png", "--output", out]
    if (program := place.programs.run(one)).code:
        return program.stderr
    partial = out.with_name(f"{out.name}.partial")
    kept = partial.read_text() if partial.exists() else ""
    if kept != complete or not whole.startswith(complete):
        return f"{len(complete)} characters were read, {len(kept)} are kept"
    return ""
