"""What a command costs, start to end: seconds, processor time, memory. Not for Windows."""

from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")


class CommandError(Exception):
    """A measured command failed; the message is the last line of its stderr."""


@dataclass(frozen=True)
class Usage:
    """What a command took."""

    seconds: float
    """By the clock, from start to exit."""

    cpu_s: float
    """Processor time of all its threads, and of the processes it started and waited for."""

    peak_mb: float
    """Most memory held at once, 1e6 bytes; if it started others, that of the largest process."""


def run(
    command: Sequence[object],
    output: Path | None = None,
    variables: Mapping[str, str] | None = None,
) -> Usage:
    """Run a command.

    Args:
        command: The program and its arguments.
        output: File that takes what it prints; None drops it.
        variables: Environment variables, beside those of this process.

    Raises:
        CommandError: It failed.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        open(output or os.devnull, "wb") as stdout,
    ):
        report = Path(folder) / "usage.json"
        # In a session of its own, so that an interrupt can end it with all it has started.
        with subprocess.Popen(
            [sys.executable, "-I", "-S", LAUNCHER, report, *map(str, command)],
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=subprocess.PIPE,
            start_new_session=True,
            env={**os.environ, **(variables or {})},
        ) as process:
            try:
                _, errors = process.communicate()
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        if process.returncode:
            raise CommandError(errors.decode(errors="replace").strip().rpartition("\n")[2])
        return Usage(**json.loads(report.read_text()))


def exprocr(
    *arguments: object, output: Path | None = None, variables: Mapping[str, str] | None = None
) -> Usage:
    """Run ``exprocr`` with some arguments and environment variables."""
    return run([sys.executable, "-m", "exprocr", *arguments], output, variables)


def median(usages: Sequence[Usage]) -> Usage:
    """Return the median of each figure."""
    names = [field.name for field in fields(Usage)]
    return Usage(*(statistics.median(getattr(u, name) for u in usages) for name in names))
