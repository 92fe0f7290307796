"""An output file that is written line by line, and whose complete lines survive a failure."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from exprocr.cli.options import Session
from exprocr.core.system.files import atomic_write, output_error
from exprocr.errors import OutputError
from exprocr.words import quantity

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

SUFFIX = ".partial"


class _NamedFile(io.FileIO):
    """A file whose write errors name the path that the user gave."""

    def __init__(self, file: Path, place: Path) -> None:
        super().__init__(file, "w")
        self.place = place

    def write(self, data: ReadableBuffer) -> int:
        try:
            return super().write(data)
        except OSError as error:
            raise output_error(self.place, error) from error


@contextmanager
def open_lines(path: Path, session: Session) -> Iterator[TextIO]:
    """Open a text file that is moved into place at the end.

    After an error or an interrupt, the complete lines so far are kept in a file with `SUFFIX`
    added to the name of ``path``, and the user is told. ``path`` itself is left as it was.

    Raises:
        OutputError: The place cannot be written. Errors of the block pass as they are.
    """
    failure: BaseException | None = None
    try:
        with atomic_write(path) as temporary:
            try:
                raw = _NamedFile(temporary, path)
                options: dict[str, Any] = {"encoding": "utf-8", "errors": "surrogateescape"}
                with io.TextIOWrapper(io.BufferedWriter(raw), newline="\n", **options) as stream:
                    try:
                        yield stream
                    except BaseException as error:
                        failure = error
                        raise
            except BaseException:
                if temporary != path:  # not a device
                    _keep(temporary, path.with_name(path.name + SUFFIX), session)
                raise
    except OutputError:
        # `atomic_write` takes every OSError in its block for an error of its own file.
        if isinstance(failure, OSError):
            raise failure from None
        raise


def _keep(temporary: Path, partial: Path, session: Session) -> None:
    """Move the complete lines of a file to another name, if there are any."""
    with suppress(OSError):  # what failed first is reported
        content = temporary.read_bytes()
        length = content.rfind(b"\n") + 1
        if not length:
            return
        os.truncate(temporary, length)
        temporary.replace(partial)
        lines = quantity(content.count(b"\n"), "line")
        session.report(f"What was written so far, {lines}, is in {partial}")
