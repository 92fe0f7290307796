"""What a measured command is said to cost, against what it takes by its own account."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.benchmarks import processes
from tests.benchmarks.processes import CommandError, Usage, run

MB = 1_000_000


def python(code: str) -> list[object]:
    return [sys.executable, "-I", "-S", "-c", code]


def test_memory_is_that_of_the_command_and_not_of_this_process() -> None:
    ballast = bytearray(300 * MB)
    nothing = run(python("pass")).peak_mb
    held = run(python(f"held = bytearray({200 * MB})")).peak_mb
    assert len(ballast) == 300 * MB
    assert nothing < 50
    assert held - nothing == pytest.approx(200, abs=5)


def test_memory_given_back_counts() -> None:
    code = f"held = bytearray({100 * MB}); del held"
    assert run(python(code)).peak_mb - run(python("pass")).peak_mb == pytest.approx(100, abs=5)


def test_processor_time_is_what_the_command_counts_itself(tmp_path: Path) -> None:
    code = (  # half of it in the system, half in Python
        "import os, time\n"
        "while time.process_time() < 0.2: pass\n"
        "while time.process_time() < 0.4: os.urandom(10**5)\n"
        "print(time.process_time())"
    )
    usage = run(python(code), tmp_path / "out")
    counted = float((tmp_path / "out").read_text())
    assert counted <= usage.cpu_s + 0.01 <= counted + 0.2
    assert usage.seconds >= usage.cpu_s - 0.05  # a single thread


def test_processor_time_of_all_threads_counts() -> None:
    # Hashing large buffers lets go of the lock, so that both threads work.
    code = (
        "import hashlib, threading, time\n"
        "def work():\n"
        "    while time.thread_time() < 0.3: hashlib.sha256(bytes(10**6))\n"
        "threads = [threading.Thread(target=work) for _ in range(2)]\n"
        "[t.start() for t in threads]; [t.join() for t in threads]"
    )
    assert run(python(code)).cpu_s >= 0.59


def test_a_command_that_fails_says_why() -> None:
    with pytest.raises(CommandError, match=r"^the end$"):
        run(python("import sys; print('before', file=sys.stderr); sys.exit('the end')"))
    with pytest.raises(CommandError, match="no-such-program"):
        run(["no-such-program"])


def test_an_interrupt_ends_what_the_command_started(monkeypatch: pytest.MonkeyPatch) -> None:
    left: list[int] = []

    def interrupted(process: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
        assert process.stderr is not None
        assert process.stderr.readline() == b"started\n"
        left.append(os.dup(process.stderr.fileno()))
        raise KeyboardInterrupt

    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    code = (
        "import sys, time; print('started', file=sys.stderr, flush=True)\n"
        "while time.process_time() < 1: pass\n"
        "print('survived', file=sys.stderr)"
    )
    with pytest.raises(KeyboardInterrupt):
        run(python(code))
    with open(left[0], "rb") as stderr:
        assert stderr.read() == b""  # at its end: all that could write to it is gone


def test_medians_are_of_each_figure() -> None:
    usages = [Usage(1, 50, 900), Usage(2, 40, 700), Usage(9, 60, 800)]
    assert processes.median(usages) == Usage(2, 50, 800)
