"""Reading regular files alone, and writing files so that no half-written file is ever visible."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from exprocr.core.system.limits import MB
from exprocr.errors import OutputError

_KINDS = (
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)


def open_regular(path: Path | str, max_bytes: int) -> BinaryIO:
    """Open a regular file for reading; never wait for a pipe, and never read a device.

    Args:
        path: The file, or a link to it.
        max_bytes: Its largest size.

    Raises:
        OSError: It cannot be opened, is no regular file, or is larger. ``strerror`` is the reason.
    """
    # The opened file is checked, not the path, which can change meanwhile. O_NONBLOCK, because
    # opening a pipe would wait for its other end.
    flags = os.O_RDONLY
    for name in ("O_NONBLOCK", "O_NOCTTY", "O_CLOEXEC", "O_BINARY"):
        flags |= getattr(os, name, 0)
    descriptor = os.open(path, flags)
    try:
        status = os.fstat(descriptor)
        if stat.S_ISDIR(status.st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if not stat.S_ISREG(status.st_mode):
            kind = next((kind for test, kind in _KINDS if test(status.st_mode)), "something else")
            raise OSError(errno.EINVAL, f"{kind}, not a regular file", str(path))
        if status.st_size > max_bytes:
            raise too_large(path, max_bytes)
        return os.fdopen(descriptor, "rb")
    except BaseException:
        os.close(descriptor)
        raise


def without_waiting(path: str, flags: int) -> int:
    """Open a file as ``open(..., opener=without_waiting)``: an error for a pipe nobody reads."""
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)


def read_regular(path: Path | str, max_bytes: int) -> bytes:
    """Return the content of a regular file; see `open_regular`.

    Raises:
        OSError: It cannot be read, is no regular file, or is larger. ``strerror`` is the reason.
    """
    with open_regular(path, max_bytes) as file:
        size = os.fstat(file.fileno()).st_size
        content = file.read(size + 1)
        while size < len(content) <= max_bytes:  # it has grown, or is a system file of no size
            size = len(content)
            content += file.read(2**20)
    if len(content) > max_bytes:
        raise too_large(path, max_bytes)
    return content


def too_large(path: Path | str, max_bytes: int) -> OSError:
    """Return the error of a file that is larger than allowed."""
    limit = f"{max_bytes / MB:,.10g} MB"
    return OSError(errno.EFBIG, f"a file of more than {limit}, the limit", str(path))


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
