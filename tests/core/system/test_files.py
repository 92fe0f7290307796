"""Writing a file completely or not at all."""

from __future__ import annotations

import errno
import os
import shutil
import sys
from pathlib import Path
from typing import IO

import pytest

from exprocr.core.model.artifact import ModelFile
from exprocr.core.system.files import atomic_write
from exprocr.errors import OutputError
from tests.support.processes import finish, start, wait_for_line


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


WRITER = """
import signal, sys
from pathlib import Path
from exprocr.core.system.files import atomic_write
with atomic_write(Path(sys.argv[1])) as temporary:
    temporary.write_text("half")
    print("written", flush=True)
    signal.pause()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there, leftovers stay")
def test_leftovers_of_killed_writers_are_removed_and_no_others(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    killed, alive, other = (
        start(path if name == "file.txt" else tmp_path / name, code=WRITER)
        for name in ("file.txt", "file.txt", "file.txt.5")
    )
    for process in (killed, alive, other):
        wait_for_line(process, "written")
    other.kill()
    killed.kill()
    finish(other), finish(killed)
    assert len(os.listdir(tmp_path)) == 3
    own = tmp_path / ".file.txt.5.tmp"
    own.write_text("the user's")
    with atomic_write(path) as temporary:
        temporary.write_text("new")
    left = set(os.listdir(tmp_path)) - {"file.txt", own.name}
    rest = [name for name in left if f".{alive.pid}-" not in name]
    assert (len(left), len(rest)) == (2, 1), "the living one's, and the leftover of another file"
    assert f".{other.pid}-" in rest[0]
    alive.kill()
    finish(alive)
    with atomic_write(path) as temporary:
        temporary.write_text("newer")
    assert set(os.listdir(tmp_path)) == {"file.txt", own.name, *rest}
    assert path.read_text() == "newer"


@pytest.mark.skipif(sys.platform == "win32", reason="there, leftovers stay")
def test_without_locks_nothing_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def no_locks(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    process = start(tmp_path / "file.txt", code=WRITER)
    wait_for_line(process, "written")
    process.kill()
    finish(process)
    (leftover,) = os.listdir(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(fcntl, "flock", no_locks)
        with atomic_write(tmp_path / "file.txt") as temporary:
            temporary.write_text("new")
    assert sorted(os.listdir(tmp_path)) == [leftover, "file.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="there, leftovers stay")
def test_a_file_that_another_process_removes_before_it_is_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    flock, num_locked = fcntl.flock, 0

    def too_late(file: IO[bytes], operation: int) -> None:
        nonlocal num_locked
        num_locked += 1
        if num_locked == 1:
            os.unlink(file.name)
        if num_locked == 2:
            raise BlockingIOError
        flock(file, operation)

    monkeypatch.setattr(fcntl, "flock", too_late)
    with atomic_write(tmp_path / "file.txt") as temporary:
        with temporary.open("ab") as file, pytest.raises(BlockingIOError):
            flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)  # it is locked
        temporary.write_text("new")
    assert (tmp_path / "file.txt").read_text() == "new"
