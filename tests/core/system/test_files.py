"""Writing a file completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from exprocr.core.model.artifact import ModelFile
from exprocr.core.system.files import atomic_write, read_regular
from exprocr.errors import OutputError


def test_a_failed_write_leaves_the_old_file(
    tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    shutil.copy(tiny_model, path)

    def full(temporary: Path, content: bytes) -> int:
        with temporary.open("wb") as file:
            file.write(content[: len(content) // 2])
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", full)
        with pytest.raises(OutputError, match=r"model.safetensors: cannot be written: No space l"):
            ModelFile.load(path).save(path)
    assert path.read_bytes() == tiny_model.read_bytes()
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_full_disk(tiny_model: Path, tmp_path: Path) -> None:
    # Through a link, so that a mistake replaces the link, not the device.
    path = tmp_path / "model.safetensors"
    path.symlink_to("/dev/full")
    with pytest.raises(OutputError, match=r"model.safetensors: cannot be written: No space left"):
        ModelFile.load(tiny_model).save(path)
    assert path.is_symlink()


def test_paths_that_cannot_be_written(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    places = ((tmp_path / "file" / "model.safetensors", "cannot be"), (tmp_path, "found a folder"))
    for place, message in places:
        with pytest.raises(OutputError, match=message):
            ModelFile.load(tiny_model).save(place)
    assert os.listdir(tmp_path) == ["file"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "target.txt").write_text("old")
    (tmp_path / "link.txt").symlink_to("target.txt")
    with atomic_write(tmp_path / "link.txt") as temporary:
        temporary.write_text("new")
    assert (tmp_path / "link.txt").is_symlink()
    assert (tmp_path / "target.txt").read_text() == "new"
    assert len(os.listdir(tmp_path)) == 2


def test_atomic_write_shows_all_or_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")

    def interrupted() -> None:
        with atomic_write(path) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert path.read_text() == "old"
    with atomic_write(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert os.listdir(tmp_path) == ["file.txt"]


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
from exprocr.core.system.files import open_regular, read_regular
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
