"""Mutated files of every kind: each is read, or refused in one line."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

from tests.endurance import kinds
from tests.endurance.case import Case
from tests.endurance.program import DEADLINE_S, Helper, Programs

KINDS = tuple(kinds.KINDS)
COMMAND = "command "

EVERY = 100
"""One of so many files is also given to the command line."""

SAID = ("exprocr: ", "warning: ", "stopped; go on with")
"""Beginnings of lines that the program writes beside those of wrong usage."""


def cases(number: int, seed: int, folder: Path, chosen: tuple[str, ...] = KINDS) -> Iterator[Case]:
    """Read mutated files.

    Args:
        number: How many.
        seed: Seed of the first one; the others follow.
        folder: An empty folder, which is removed.
        chosen: Kinds of files, in turn.
    """
    reader = Helper("tests.endurance.kinds")
    place, programs = folder / "work", None
    place.mkdir()
    try:
        for case in range(seed, seed + number):
            kind = chosen[case % len(chosen)]
            reader.send(json.dumps([kind, case]))
            if answer := reader.receive():
                yield Case(kind, case, **json.loads(answer))
            else:
                what = "hangs" if answer is None else f"ends with {reader.process.wait()}"
                yield Case(kind, case, what, f"the process {what}")
                reader.close()
                reader = Helper("tests.endurance.kinds")
            if case // len(chosen) % EVERY == 0:
                programs = programs or Programs(place)
                yield on_command_line(programs, kind, case)
    finally:
        reader.close()
        if programs:
            programs.close()
        shutil.rmtree(folder)


def on_command_line(programs: Programs, kind: str, seed: int) -> Case:
    """Give a mutated file to the command that reads it."""
    folder = programs.folder / "case"
    path = kinds.mutated(kind, seed, folder)
    program = programs.run(["-q", *kinds.KINDS[kind].command(path, kinds.sound())])
    shutil.rmtree(folder)
    lines = program.stderr.splitlines()
    errors = [line for line in lines if line.startswith("exprocr: ")]
    others = [line for line in lines if not line.startswith(SAID)]
    problem = ""
    if program.hangs:
        problem = f"no end within {DEADLINE_S} s"
    elif (
        program.code not in (0, 1, 2)
        or "this is a bug" in program.stderr
        or any(len(line) > kinds.MAX_MESSAGE for line in lines)
        or (program.code == 1 and len(errors) != 1)
        or (program.code != 2 and others)
    ):
        problem = f"exit code {program.code}: {program.stderr[:2000]}"
    return Case(COMMAND + kind, seed, f"{program.code}: {' '.join(errors)[:300]}", problem)
