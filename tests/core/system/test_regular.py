"""Only regular files of a limited size are read."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from exprocr.core.system.regular import read_regular


def run_python(code: str) -> str:
    """Run code in another process, which is killed if it waits for a pipe."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    return done.stdout.strip()


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "link").symlink_to("pipe")
    code = f"""
from exprocr.core.system.regular import open_regular, read_regular
for path in ({str(tmp_path / "pipe")!r}, {str(tmp_path / "link")!r}, "/dev/zero", "/"):
    try:
        open_regular(path, 10)
    except OSError as error:
        assert error.filename == path
        print(error.strerror)
"""
    assert run_python(code).splitlines() == [
        "a named pipe, not a regular file",
        "a named pipe, not a regular file",
        "a device, not a regular file",
        "Is a directory",
    ]


def test_large_files_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(b"12345")
    assert read_regular(path, 5) == b"12345"
    with pytest.raises(OSError, match=r"a file of more than 4e-06 MB, the limit"):
        read_regular(path, 4)
    with pytest.raises(OSError, match="a file of more than"):  # says that it is empty
        read_regular("/proc/self/environ", 10)
    with pytest.raises(FileNotFoundError):
        read_regular(tmp_path / "b", 4)
