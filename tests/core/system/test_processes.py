"""Worker processes: they end with their parent, and signals to the group do not reach them."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

import pytest

from tests.support.processes import finish, send, start, wait_for_line

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="no signals there")

POOL = """
import signal
from exprocr.core.system.processes import starting_workers, worker_pool

if __name__ == "__main__":
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda *_: None)
    pool = worker_pool(2)
    with starting_workers():
        futures = [pool.submit(exec, {task!r}) for _ in range(2)]
    print("started", *(future.result() for future in futures), flush=True)
    signal.pause()
"""

WAIT = "import os, time; os.write(1, b'ready\\n'); time.sleep(1000)"
HANG = "import os, ctypes; os.write(1, b'ready\\n'); ctypes.PyDLL(None).sleep(1000)"
"""Hangs without letting any other thread run."""


@pytest.mark.parametrize("task", [WAIT, HANG], ids=["waiting", "hanging"])
def test_workers_end_with_their_parent(task: str) -> None:
    if task == HANG and sys.platform != "linux":
        pytest.skip("only Linux ends a process that hangs")
    process = start(code=POOL.format(task=task))
    for _ in range(2):
        wait_for_line(process, "ready")
    process.send_signal(signal.SIGKILL)
    # Until nobody holds the pipes; and the tracker of semaphores warns of none.
    assert finish(process) == (-signal.SIGKILL, "", "")


def test_a_signal_to_the_group_is_for_the_parent_alone(tmp_path: Path) -> None:
    lock = tmp_path / "lock"
    lock.touch()
    task = (
        "import os, time; os.write(1, b'ready\\n')\n"
        f"while os.path.exists({str(lock)!r}): time.sleep(0.01)"
    )
    process = start(code=POOL.format(task=task))
    for _ in range(2):
        wait_for_line(process, "ready")
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        send(process, number)
    lock.unlink()
    wait_for_line(process, "started")
    process.send_signal(signal.SIGKILL)
    assert finish(process) == (-signal.SIGKILL, "", "")
