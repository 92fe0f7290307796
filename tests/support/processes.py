"""The program in a process of its own, which a test stops when it is in a known state."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

DEADLINE_S = 60
"""When a test gives up waiting: no test waits this long unless it fails."""

Process = subprocess.Popen[str]


def start(*args: object, code: str | None = None, **options: Any) -> Process:
    """Start ``python -m exprocr`` with arguments, or other code, as a shell starts it."""
    line = ["-m", "exprocr"] if code is None else ["-c", code]
    return subprocess.Popen(
        [sys.executable, *line, *map(str, args)],
        text=True,
        start_new_session=True,  # a process group of its own
        **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options},
    )


def wait_until(process: Process, condition: Callable[[], object]) -> None:
    """Wait for a state of a running process."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        if time.monotonic() > end or process.poll() is not None:
            send(process, signal.SIGKILL)
            raise AssertionError(f"not reached: {process.communicate()}")
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.01)


def wait_for_line(process: Process, start: str) -> None:
    """Wait until the process writes such a line to stdout."""
    assert process.stdout is not None
    assert any(line.startswith(start) for line in process.stdout), process.communicate()


def finish(process: Process) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr, when the process and all that it started have ended."""
    try:
        stdout, stderr = process.communicate(timeout=DEADLINE_S)
    except subprocess.TimeoutExpired:
        send(process, signal.SIGKILL)
        raise
    return process.returncode, stdout, stderr


def send(process: Process, number: int) -> None:
    """Send a signal to the process and all that it started, as a terminal does."""
    with suppress(ProcessLookupError):  # all have ended
        os.killpg(process.pid, number)


def closing(*numbers: int) -> Callable[[], None]:
    """Return a function for ``preexec_fn`` that closes standard streams."""

    def close() -> None:
        for number in numbers:
            os.close(number)

    return close


def run(*args: object, code: str | None = None, **options: Any) -> tuple[int, str, str]:
    """Run the program to its end; return exit code, stdout and stderr."""
    return finish(start(*args, code=code, **options))
