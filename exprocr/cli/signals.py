"""The signals that end a command: Ctrl-C (SIGINT), SIGTERM and SIGHUP.

All three do the same. The first one raises `Interrupted` in the main thread, so that the command
keeps what it has, and the exit code is 128 + the signal's number. Another Ctrl-C ends the process
at once. Another SIGTERM or SIGHUP changes nothing: closing a terminal, or ``timeout``, sends the
same signal twice, and the first needs time to save.

A signal that is ignored when the program starts stays ignored, as ``nohup`` wants it. Only the
program catches signals, in `exprocr.cli.main`: the functions of the package leave them alone.
"""

from __future__ import annotations

import atexit
import os
import signal
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import FrameType

INTERRUPTED = 130
"""Exit code after Ctrl-C."""


class Interrupted(KeyboardInterrupt):
    """A signal asks the command to end."""


class _State:
    received: list[int] = []  # noqa: RUF012 - there is one program
    is_collecting = False
    is_over = False


def catch() -> None:
    """Catch the signals from now on, in the program's main thread."""
    for number in _caught():
        signal.signal(number, _on_signal)
    # Python resets the handlers when it ends, and a signal then would give another exit code.
    # What is registered first is called last.
    atexit.register(_ignore)


def exit_code() -> int:
    """Return 128 + the number of the first signal, as shells do; `INTERRUPTED` without one."""
    return 128 + _State.received[0] if _State.received else INTERRUPTED


def was_received() -> bool:
    """Return whether a signal has asked the command to end."""
    return bool(_State.received)


@contextmanager
def collected() -> Iterator[Sequence[int]]:
    """Yield the signals received so far; those that come during the block do not interrupt it."""
    _State.is_collecting = True
    try:
        yield _State.received
    finally:
        _State.is_collecting = False


def end_at_once() -> None:
    """Let the next signal end the process: the command is over, and everything is written."""
    _State.is_over = True


def _caught() -> Iterator[signal.Signals]:
    """Yield the signals that this system has and that are not ignored."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)
        if number is not None and signal.getsignal(number) is not signal.SIG_IGN:
            yield number


def _on_signal(number: int, frame: FrameType | None) -> None:
    is_first = not _State.received
    if not (is_first or _State.is_over or number == signal.SIGINT):
        return
    _State.received.append(number)
    if _State.is_over or not is_first:
        os._exit(exit_code())
    if not _State.is_collecting:
        raise Interrupted


def _ignore() -> None:
    for number in _caught():
        signal.signal(number, signal.SIG_IGN)
