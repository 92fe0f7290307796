"""Writing files so that no half-written file is ever visible."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from exprocr.errors import OutputError


def output_error(path: Path, error: OSError) -> OutputError:
    """Return the error of a ``path`` that cannot be written, with the reason."""
    return OutputError(f"{path}: cannot be written: {error.strerror or error}")


@contextmanager
def atomic_write(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside ``path``; move the file into place when the block succeeds.

    Missing parent folders are created. A device or pipe (``/dev/stdout``) is written directly.
    After an error, the temporary file is deleted and an existing ``path`` is unchanged.

    Raises:
        OutputError: The file cannot be written.
    """
    # The target of a link is written, and the link stays.
    target = Path(os.path.realpath(path)) if path.is_symlink() else path
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir():
            raise OutputError(f"{path}: expected the name of a file, found a folder")
        if target.exists() and not stat.S_ISREG(target.stat().st_mode):
            yield target
            return
        temporary = target.with_name(f".{target.stem}.{os.getpid()}{target.suffix}")
        try:
            yield temporary
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise output_error(path, error) from error


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
