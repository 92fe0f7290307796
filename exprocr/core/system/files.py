"""Writing files so that no half-written file is ever visible.

A file is written under a temporary name beside its place, ``.NAME.PID-RANDOM.exprocr-tmp``, and
moved into place. The process that writes it holds a lock on it, which ends with the process,
however that ends. So the next one that writes the same place knows which temporary files are
left over.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO

from exprocr.errors import OutputError

if sys.platform != "win32":
    import fcntl

ENDING = ".exprocr-tmp"
"""End of the name of a file that is being written."""


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the error of a ``path`` that cannot be written, with the reason."""
    return OutputError(f"{path}: cannot be written: {error.strerror or error}")


def place_of(path: Path) -> tuple[Path, bool]:
    """Return where a file is written, and whether it can be moved there.

    Missing parent folders are created.

    Returns:
        The path, or the target of a link, which stays a link; and False for a device or pipe
        (``/dev/stdout``), which is written directly.

    Raises:
        OutputError: It is a folder.
        OSError: A parent folder cannot be created.
    """
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    target.parent.mkdir(parents=True, exist_ok=True)
    if target.is_dir():
        raise OutputError(f"{path}: expected the name of a file, found a folder")
    return target, not target.exists() or stat.S_ISREG(target.stat().st_mode)


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move the file into place when the block succeeds.

    Missing parent folders are created. A device or pipe (``/dev/stdout``) is written directly.
    After an error, the temporary file is deleted and an existing ``path`` is unchanged. Temporary
    files of the same ``path`` whose processes were killed are deleted too.

    Raises:
        OutputError: The file cannot be written.
    """
    try:
        target, is_movable = place_of(path)
        if not is_movable:
            yield target
            return
        _clear(target)
        with _temporary(target) as temporary:
            try:
                yield temporary
                temporary.replace(target)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise output_error(path, error) from error


@contextmanager
def _temporary(target: Path) -> Iterator[Path]:
    """Create an empty file with a name of its own, and hold a lock on it during the block."""
    while True:
        unique = f"{os.getpid()}-{secrets.token_hex(4)}"
        temporary = target.with_name(f".{target.name}.{unique}{ENDING}")
        if sys.platform == "win32":  # there, no open file can be moved
            yield temporary
            return
        with temporary.open("xb") as held:
            # Until it is locked it looks like a leftover, and another process may remove it.
            if lock(held) is not False and os.fstat(held.fileno()).st_nlink:
                yield temporary
                return


def _clear(target: Path) -> None:
    """Remove the temporary files of a place that no process holds a lock on."""
    pattern = re.compile(rf"\.{re.escape(target.name)}\.[0-9]+-[0-9a-f]+{re.escape(ENDING)}")
    with suppress(OSError), os.scandir(target.parent) as entries:
        for entry in list(entries):
            if pattern.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                # It may be gone, or another user's.
                with suppress(OSError), open(entry.path, "r+b") as file:
                    if lock(file):
                        os.unlink(entry.path)


def lock(file: IO[bytes]) -> bool | None:
    """Lock a file until it is closed.

    Args:
        file: The file, opened for writing.

    Returns:
        True if it is locked now; False if another process holds the lock; None if the file system
        has no locks.
    """
    if sys.platform == "win32":
        return None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def make_folder(path: Path) -> Path:
    """Create a folder and its parents, and return it.

    Raises:
        OutputError: It cannot be created.
    """
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise output_error(path, error) from error
    return path
