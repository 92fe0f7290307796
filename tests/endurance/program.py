"""Running the program, and breaking it: signals, and errors and kills at its system calls."""

from __future__ import annotations

import json
import os
import random
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

CHANGES = (
    *("openat", "mkdir", "rename", "renameat", "renameat2", "write", "pwrite64", "writev"),
    *("ftruncate", "truncate", "unlink", "unlinkat", "rmdir", "fsync", "fdatasync"),
)
"""System calls that change files and folders."""

DEADLINE_S = 300
"""When a process is said to hang: none takes a tenth of it, also on a busy machine."""


class Helper:
    """A process of Python that answers lines with lines.

    Args:
        module: What it runs.
    """

    def __init__(self, module: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            # Without the coverage of CI, which could not be written to a full disk.
            env={k: v for k, v in os.environ.items() if not k.startswith("COVERAGE_PROCESS")}
            | {"OMP_NUM_THREADS": "1"},
        )

    def send(self, line: str) -> None:
        """Write a line to it."""
        assert self.process.stdin is not None
        self.process.stdin.write(line.encode() + b"\n")

    def receive(self, timeout_s: float = DEADLINE_S) -> str | None:
        """Return its next line; empty if it has ended, None if there is none in time."""
        assert self.process.stdout is not None
        if not select.select([self.process.stdout], [], [], timeout_s)[0]:
            return None
        return self.process.stdout.readline().decode().rstrip("\n")

    def close(self) -> None:
        """End it."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(30)  # it removes its files
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


class Programs:
    """Starts ``exprocr`` quickly, see `tests.endurance.server`; one program runs at a time.

    Args:
        folder: Where they run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.helper = Helper("tests.endurance.server")

    def start(
        self, arguments: Sequence[object], trace: str | None = None, max_file_bytes: int = 0
    ) -> Program:
        """Start the program.

        Args:
            arguments: Those of the command line.
            trace: What strace does: its ``-e`` for faults; empty records `CHANGES` alone.
            max_file_bytes: The largest file it may write; 0 is no limit.
        """
        streams = {name: str(self.folder.with_name(name)) for name in ("stdout", "stderr")}
        request = {"arguments": [str(a) for a in arguments], "folder": str(self.folder)}
        self.helper.send(json.dumps({**request, **streams, "max_file_bytes": max_file_bytes}))
        pid = int(self.helper.receive() or 0)
        strace = None if trace is None else _attach(pid, trace, self.folder.with_name("calls"))
        self.helper.send("go")
        return Program(self, pid, strace)

    def run(self, arguments: Sequence[object], **options: object) -> Program:
        """Run the program to its end."""
        program = self.start(arguments, **options)  # type: ignore[arg-type]
        program.wait()
        return program

    def close(self) -> None:
        """End the process that starts them."""
        self.helper.close()


class Program:
    """A program, running or ended.

    Args:
        programs: What started it.
        pid: Its process id, and that of its session.
        strace: What observes it.
    """

    def __init__(self, programs: Programs, pid: int, strace: subprocess.Popen[str] | None) -> None:
        self.pid = pid
        self.code: int | None = None
        """Exit code; minus the number of the signal that killed it."""
        self.hangs = False
        """Whether it was killed because it did not end."""
        self._programs = programs
        self._strace = strace

    def send(self, number: int) -> None:
        """Send a signal to it and all its processes, as a terminal does."""
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def wait(self, timeout_s: float = DEADLINE_S) -> bool:
        """Wait for its end; return whether it came. A program that hangs is killed in the end."""
        if self.code is not None:
            return True
        line = self._programs.helper.receive(timeout_s)
        if line is None and timeout_s < DEADLINE_S:
            return False
        if not line:
            self.send(signal.SIGKILL)
            line = self._programs.helper.receive() or "-9"
            self.hangs = True
        self.code = int(line)
        if self._strace:
            self._strace.communicate()
        return True

    @property
    def stderr(self) -> str:
        """What it wrote."""
        return self._programs.folder.with_name("stderr").read_text(errors="replace")

    @property
    def calls(self) -> str:
        """What strace recorded."""
        return self._programs.folder.with_name("calls").read_text(errors="replace")

    def workers(self) -> list[int]:
        """Return the processes that it has started and that work for it."""
        tracker = b"resource_tracker"
        with suppress(OSError):
            return [
                pid
                for pid in _in_session(self.pid)
                if pid != self.pid and tracker not in Path(f"/proc/{pid}/cmdline").read_bytes()
            ]
        return []

    def left(self) -> list[int]:
        """Return its processes that are still there some time after its end."""
        end = time.monotonic() + 20
        while (found := list(_in_session(self.pid))) and time.monotonic() < end:
            time.sleep(0.01)
        return found


def _in_session(session: int) -> Iterator[int]:
    for file in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, _, _, found = file.read_text().rpartition(")")[2].split()[:4]
            if int(found) == session and state != "Z":
                yield int(file.parent.name)


def can_trace() -> bool:
    """Return whether strace works here."""
    if not sys.platform.startswith("linux") or shutil.which("strace") is None:
        return False
    command = ["strace", "-qq", "-e", "inject=uname:error=EIO", "-o", os.devnull, "true"]
    return subprocess.run(command, capture_output=True).returncode == 0


def _attach(pid: int, fault: str, log: Path) -> subprocess.Popen[str]:
    """Attach strace to a process that waits."""
    options = ["-y", "-s", "0", "-e", "signal=none", "-e", f"trace={','.join(CHANGES)}"]
    options += ["-e", fault] if fault else []
    strace = subprocess.Popen(
        ["strace", *options, "-o", str(log), "-p", str(pid)], stderr=subprocess.PIPE, text=True
    )
    assert strace.stderr is not None
    assert "attached" in (line := strace.stderr.readline()), line
    return strace


def changes(calls: str, folder: Path) -> list[tuple[str, int]]:
    """Return the calls in a record of strace that change something in a folder.

    Returns:
        Name and number of each, from 1; calls of that name elsewhere count too.
    """
    found, numbers = [], dict.fromkeys(CHANGES, 0)
    for line in calls.splitlines():
        if match := re.match(r"(\w+)\(", line):
            name = match[1]
            numbers[name] += 1
            reads = name == "openat" and not re.search("O_WRONLY|O_RDWR|O_CREAT", line)
            if not reads and str(folder) in line:
                found.append((name, numbers[name]))
    return found


def pick(rng: random.Random, found: Sequence[tuple[str, int]]) -> tuple[str, int]:
    """Pick one of the calls; each name is equally probable, however often it is called."""
    name = rng.choice(sorted({name for name, _ in found}))
    return rng.choice([call for call in found if call[0] == name])
