"""An output file that is written line by line, and whose complete lines survive a failure."""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import TextIO

from exprocr.cli.options import Session
from exprocr.core.system.files import atomic_write, output_error
from exprocr.errors import OutputError
from exprocr.words import quantity

SUFFIX = ".partial"


class _Lines(io.TextIOWrapper):
    """A text file that writes each line at once, and whose errors name the user's path.

    The layers below are Python's own: a signal's exception in one of ours could come when the line
    is written and not yet counted as written, and the line would be written twice.
    """

    def __init__(self, file: Path, place: Path) -> None:
        super().__init__(
            file.open("wb"),
            encoding="utf-8",
            errors="surrogateescape",
            newline="\n",
            line_buffering=True,
        )
        self.place = place

    def write(self, text: str) -> int:
        try:
            return super().write(text)
        except OSError as error:
            raise output_error(self.place, error) from error


@contextmanager
def open_lines(path: Path, session: Session) -> Iterator[TextIO]:
    """Open a text file that is moved into place at the end.

    After an error or an interrupt, the complete lines so far are kept in a file with `SUFFIX`
    added to the name of ``path``, and the user is told. ``path`` itself is left as it was. If the
    process is killed, the next call for this ``path`` does the same with the lines it finds.

    Raises:
        OutputError: The place cannot be written. Errors of the block pass as they are.
    """
    failure: BaseException | None = None

    def rescue(unfinished: Path) -> None:
        by_whom = "so far" if unfinished == temporary else "by a run that was killed"
        _keep(unfinished, path, by_whom, session)

    temporary: Path | None = None
    try:
        with atomic_write(path, rescue=rescue) as temporary, _Lines(temporary, path) as stream:
            try:
                yield stream
            except BaseException as error:
                failure = error
                raise
    except OutputError:
        # `atomic_write` takes every OSError in its block for an error of its own file.
        if isinstance(failure, OSError):
            raise failure from None
        raise


def _keep(unfinished: Path, path: Path, by_whom: str, session: Session) -> None:
    """Move the complete lines of a file, if there are any, to a new name beside ``path``."""
    with suppress(OSError):  # what failed first is reported
        content = unfinished.read_bytes()
        length = content.rfind(b"\n") + 1
        if not length:
            unfinished.unlink()
            return
        os.truncate(unfinished, length)
        partial = next(name for name in _names(path) if not name.exists())
        shutil.move(unfinished, partial)  # the name may be a link to another file system
        lines = quantity(content.count(b"\n"), "line")
        session.report(f"What was written {by_whom}, {lines}, is in {partial}")


def _names(path: Path) -> Iterator[Path]:
    """Yield names for incomplete results: an earlier one is never overwritten."""
    yield path.with_name(path.name + SUFFIX)
    for number in count(2):
        yield path.with_name(f"{path.name}{SUFFIX}-{number}")
