"""The run directory of a training: one process at a time writes it, and it stays where it is."""

from __future__ import annotations

import errno
import os
import shlex
import sys
import weakref
from pathlib import Path

from exprocr.core.runs.layout import CHECKPOINT_NAME
from exprocr.core.system.files import make_folder, output_error
from exprocr.errors import OutputError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

LOCK_NAME = str(Path(CHECKPOINT_NAME).with_name("lock"))
"""The file that a training holds locked; it contains the number of its process."""

LOCKED_BYTE = 1_000
"""On Windows, a locked byte cannot be read: one that is behind the process's number."""

HELD = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
"""Errors of a lock that another process has."""

NO_LOCKS = (errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP)
"""Errors of a file system that has no locks; there, trainings are not kept apart."""


class RunFolder:
    """A run directory that this process writes; it is created where there is none.

    The lock belongs to the process: the system releases it when the process ends, however it ends,
    and a process that is forked does not inherit it.

    Args:
        path: The directory.
        is_written: Whether this process writes it; one that only reads it holds no lock.

    Raises:
        OutputError: Another process trains in it, it cannot be written, or a pipe or device is in
            it.
    """

    def __init__(self, path: Path, *, is_written: bool = True) -> None:
        self.path = path
        self._identity: tuple[int, int] | None = None
        if not is_written:
            return
        make_folder(path)
        lock = path / LOCK_NAME
        make_folder(lock.parent)
        try:
            # O_NONBLOCK, because opening a named pipe would wait.
            flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NONBLOCK", 0)
            descriptor = os.open(lock, flags, 0o666)
            self._release = weakref.finalize(self, os.close, descriptor)
            self._lock(descriptor)
        except OSError as error:
            raise output_error(lock, error) from error
        self._identity = self._identify()
        for file in path.iterdir():
            # A file is written through a pipe or into a device where there is one, which is right
            # for an output that the user names, and may wait for ever here.
            if file.exists() and not (file.is_file() or file.is_dir()):
                raise OutputError(
                    f"{file}: expected a regular file or a folder, found a pipe or device"
                )

    def check(self) -> None:
        """Check that the directory is still the one that the run began in.

        Raises:
            OutputError: It was removed, renamed or replaced. Writing would create another one,
                without the run's settings.
        """
        if self._identify() != self._identity:
            raise OutputError(
                f"{self.path}: expected the run's folder, found that it was removed or renamed "
                "while the run went on"
            )

    def release(self) -> None:
        """Let other processes train in the directory."""
        self._release()

    def _identify(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino

    def _lock(self, descriptor: int) -> None:
        try:
            if sys.platform == "win32":
                os.lseek(descriptor, LOCKED_BYTE, os.SEEK_SET)
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            else:
                fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if error.errno in HELD:
                os.lseek(descriptor, 0, os.SEEK_SET)
                holder = os.read(descriptor, 20).decode(errors="replace").strip()
                raise OutputError(
                    f"{self.path}: expected a folder that no training writes, found one that "
                    f"process {holder or 'unknown'} trains in; wait for its end, or name another "
                    "folder with --output"
                ) from None
            if error.errno not in NO_LOCKS:
                raise
        os.lseek(descriptor, 0, os.SEEK_SET)
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"{os.getpid()}\n".encode())


def check_new(run_dir: Path) -> None:
    """Check that a new run may begin in a directory: there is none, or nothing is in it.

    What a training leaves that was killed before its first checkpoint does not count.

    Args:
        run_dir: The directory.

    Raises:
        OutputError: A file or something else is there.
    """
    checkpoint = run_dir / CHECKPOINT_NAME
    if not run_dir.exists():
        return
    if run_dir.is_dir():
        inside = [path for path in run_dir.iterdir() if path != checkpoint.parent]
        if checkpoint.parent.is_dir():
            half_written = f".{checkpoint.stem}."
            inside += [
                path
                for path in checkpoint.parent.iterdir()
                if path != run_dir / LOCK_NAME and not path.name.startswith(half_written)
            ]
        if not inside:
            return
    advice = "name another with --output"
    if checkpoint.exists():
        advice += f", or go on with --resume {shlex.quote(str(run_dir))}"
    raise OutputError(
        f"{run_dir}: expected a new or empty folder for the run, found one that is not; {advice}"
    )
