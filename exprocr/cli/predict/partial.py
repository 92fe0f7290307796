"""An output file that is written line by line, and whose complete lines survive a failure.

Lines are written to ``FILE.partial``, which is moved to ``FILE`` at the end. After a failure it
stays, however the process ended. The process that writes it holds a lock on it, which ends with the
process. So another one leaves it alone, and writes ``FILE.partial-2``.

A run whose results another run can complete says in ``FILE.partial.run`` with what it reads: the
model and the options. This file is there before the first line, and goes when ``FILE`` is complete.
"""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import IO

from exprocr.cli.options import Session
from exprocr.cli.output import write_json
from exprocr.core.system.files import lock, output_error, place_of
from exprocr.core.system.limits import MB
from exprocr.core.system.regular import read_regular
from exprocr.errors import OutputError
from exprocr.words import first_few, quantity, quoted

SUFFIX = ".partial"
RUN_SUFFIX = ".run"

Run = Mapping[str, str | int | float | bool | None]
"""With what readings are made, by name: everything that changes them but the images."""


class Lines(io.TextIOWrapper):
    """A text file that writes each line at once, and whose errors name the user's path.

    The layers below are Python's own: a signal's exception in one of ours could come when the line
    is written and not yet counted as written, and the line would be written twice.
    """

    def __init__(self, file: Path, mode: str, place: Path, earlier: Path | None = None) -> None:
        super().__init__(
            file.open(mode),
            encoding="utf-8",
            errors="surrogateescape",
            newline="\n",
            line_buffering=True,
        )
        self.place = place
        self.earlier = earlier
        """The same file, if it begins with the lines of a run that is taken up."""

    def write(self, text: str) -> int:
        """Write a text; an error names the user's path."""
        try:
            return super().write(text)
        except OSError as error:
            raise output_error(self.place, error) from error


@contextmanager
def open_lines(
    path: Path, session: Session, run: Run | None = None, *, resume: bool = False
) -> Iterator[Lines]:
    """Open a text file that is moved into place at the end.

    After an error or an interrupt, the complete lines so far are kept in a file with `SUFFIX`
    added to the name of ``path``, and the user is told. ``path`` itself is left as it was. If the
    process is killed, that file stays as it is.

    Args:
        path: The file.
        session: Where to tell.
        run: What makes the lines, if another run can complete them.
        resume: Write after the lines of an earlier ``run``, if there is one that did not end.

    Raises:
        OutputError: The place cannot be written, another process writes the file that ``resume``
            takes up, or its lines were made otherwise. Errors of the block pass as they are.
    """
    with ExitStack() as stack:
        with _reported(path):
            target, is_movable = place_of(path)
            if not is_movable:
                stream = stack.enter_context(Lines(target, "wb", path))
        if not is_movable:
            yield stream
            return
        with _reported(path):
            earlier = _take_up(target, run, stack) if resume and run is not None else None
            partial = earlier or _begin(target, session, stack)
        try:
            with _reported(path):
                if run is None:
                    _run_file(partial).unlink(missing_ok=True)  # of lines in another format
                elif earlier is None:
                    write_json(_run_file(partial), run)
                stream = Lines(partial, "ab", path, earlier)
            try:
                yield stream
            except BaseException:
                with suppress(OSError):  # what failed first is reported
                    stream.close()
                raise
            with _reported(path):
                stream.close()
                if sys.platform == "win32":
                    stack.close()  # there, no open file can be moved
                partial.replace(target)
                _run_file(partial).unlink(missing_ok=True)
        except BaseException:
            _keep(partial, session)
            raise


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    """Raise an `OSError` of the block as the error of a path that cannot be written."""
    try:
        yield
    except OSError as error:
        raise output_error(path, error) from error


def _begin(target: Path, session: Session, stack: ExitStack) -> Path:
    """Create the first partial file of a place that is not there, or take an empty one.

    Args:
        target: The place.
        session: Where to name what runs left that did not end.
        stack: It gets what holds the lock.
    """
    unfinished = []
    for number in count(1):
        partial = target.with_name(f"{target.name}{SUFFIX}" + (f"-{number}" if number > 1 else ""))
        held: IO[bytes]
        try:
            held, is_new = partial.open("xb"), True
        except FileExistsError:
            try:
                held, is_new = partial.open("r+b"), False
            except OSError:  # another user's, or a folder
                continue
        has_lock, is_empty = lock(held), not os.fstat(held.fileno()).st_size
        # Without locks, an empty file may be that of a process that has just begun.
        if is_empty and (has_lock or (is_new and has_lock is None)) and _is_at(held, partial):
            stack.enter_context(held)
            break
        if has_lock is not False and not is_empty:
            unfinished.append(str(partial))
        held.close()
    if unfinished:
        session.note(f"What an earlier run wrote that did not end is in {first_few(unfinished)}")
    return partial


def _take_up(target: Path, run: Run, stack: ExitStack) -> Path | None:
    """Find the first partial file of a place whose lines are of the same run.

    Args:
        target: The place.
        run: What makes the lines.
        stack: It gets what holds the lock.

    Raises:
        OutputError: Another process writes it, or all of them are of other runs.
    """
    refusal = ""
    for partial in _partials(target):
        try:
            began = json.loads(read_regular(_run_file(partial), MB))
        except (OSError, ValueError, RecursionError):
            began = None
        if not isinstance(began, dict):
            continue  # nobody knows with what it was made
        other = [name for name in run if began.get(name) != run[name]]
        if other:
            name = other[0]
            refusal = refusal or (
                f"{partial}: expected to go on with {name} {quoted(began.get(name))}, found "
                f"{quoted(run[name])}; without --resume all images are read anew"
            )
            continue
        held = stack.enter_context(partial.open("r+b"))
        if lock(held) is False:
            raise OutputError(f"{partial}: another process is writing it")
        if _is_at(held, partial):
            return partial
    if refusal:
        raise OutputError(refusal)
    return None


def _partials(target: Path) -> list[Path]:
    """Return the partial files of a place, in the order of their numbers."""
    pattern = re.compile(rf"{re.escape(target.name + SUFFIX)}(?:-([0-9]+))?")
    matches = filter(None, map(pattern.fullmatch, os.listdir(target.parent)))
    return [target.with_name(m[0]) for m in sorted(matches, key=lambda m: int(m[1] or 1))]


def _run_file(partial: Path) -> Path:
    return partial.with_name(partial.name + RUN_SUFFIX)


def _is_at(held: IO[bytes], path: Path) -> bool:
    """Return whether an open file is still at its path: it may have been moved into place."""
    try:
        return os.path.samestat(os.fstat(held.fileno()), path.stat())
    except FileNotFoundError:
        return False


def _keep(partial: Path, session: Session) -> None:
    """Cut what follows the last complete line, and remove a file without one."""
    with suppress(OSError):  # what failed first is reported
        position = length = num_lines = 0
        with partial.open("rb") as file:
            while block := file.read(MB):
                if end := block.rfind(b"\n") + 1:
                    length = position + end
                num_lines += block.count(b"\n")
                position += len(block)
        if not length:
            partial.unlink()
            _run_file(partial).unlink(missing_ok=True)
            return
        os.truncate(partial, length)
        session.report(f"What was written so far, {quantity(num_lines, 'line')}, is in {partial}")
