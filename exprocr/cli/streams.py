"""The standard streams of the program, whatever they are when it starts.

Each of the three can be closed, a full device, or a pipe that nobody reads. Standard output is for
results alone. What cannot be written to standard error is dropped: the command does its work, and
its exit code says what came out.
"""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from io import TextIOWrapper
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class _Dropping(io.FileIO):
    """A file that takes everything: what cannot be written is dropped."""

    def write(self, data: ReadableBuffer) -> int:
        with suppress(OSError):
            written: int | None = super().write(data)  # None if it would block
            if written is not None:
                return written
        return memoryview(data).nbytes


def prepare() -> None:
    """Open the streams that are closed, and let no message and no file name end the program."""
    _open_closed()
    if isinstance(sys.stdout, TextIOWrapper):
        # File names need not be text: pass their bytes through, or show what cannot be written.
        utf8 = sys.stdout.encoding.lower().replace("-", "") == "utf8"
        sys.stdout.reconfigure(errors="surrogateescape" if utf8 else "backslashreplace")
    if isinstance(sys.stderr, TextIOWrapper) and not _is_windows_console():
        sys.stderr = TextIOWrapper(
            io.BufferedWriter(_Dropping(sys.stderr.fileno(), "w", closefd=False)),
            encoding=sys.stderr.encoding,
            errors=sys.stderr.errors,
            line_buffering=True,
        )


def flush_stdout() -> None:
    """Write what is buffered, or throw it away; else the interpreter exits with its own code."""
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        drop_stdout()


def drop_stdout() -> None:
    """Throw away what is still buffered; the interpreter would fail to write it at its exit."""
    with suppress(OSError, ValueError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def _open_closed() -> None:
    """Open the null device in place of each closed stream.

    The next file to be opened would get a closed stream's number, and then hold what libraries and
    worker processes write to that stream.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            null = os.open(os.devnull, os.O_RDWR)  # the lowest free number, which is this one
            os.set_inheritable(null, True)
    for name, number in (("stdout", 1), ("stderr", 2)):
        if getattr(sys, name) is None:
            setattr(sys, name, open(number, "w", closefd=False))  # noqa: SIM115


def _is_windows_console() -> bool:
    """Return whether standard error is a console that is not written byte by byte."""
    return sys.platform == "win32" and sys.stderr.isatty()
