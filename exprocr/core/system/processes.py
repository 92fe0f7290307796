"""Number of usable processors, and worker processes.

Ctrl-C, SIGTERM and SIGHUP, which a terminal or a supervisor sends to all processes of a group, are
for the parent alone. Workers end with their parent, however it ends.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

SIGNALS = [
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
]
"""The signals that end a program and that this system has."""

CAN_BLOCK = hasattr(signal, "pthread_sigmask")

FILTERS = "PYTHONWARNINGS"

PR_SET_PDEATHSIG = 1
"""The request of Linux's ``prctl`` for a signal at the end of the parent."""


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


class _Worker(SpawnProcess):
    def terminate(self) -> None:
        """End the process as a pool does where another of its processes died."""
        self.kill()  # it ignores SIGTERM


class _Context(SpawnContext):
    # Starting anew works on every system and, unlike forking, in a program with threads.
    Process = _Worker


def worker_pool(
    num: int, prepare: Callable[..., object] | None = None, *args: Any
) -> ProcessPoolExecutor:
    """Return a pool of processes; each calls ``prepare(*args)`` first.

    The processes start when the first tasks are submitted: submit them in `starting_workers`.

    Args:
        num: Number of processes.
        prepare: A module's function; None to prepare nothing.
        args: Its arguments.
    """
    with starting_workers():
        return ProcessPoolExecutor(
            num, mp_context=_Context(), initializer=_start, initargs=(prepare, args)
        )


@contextmanager
def starting_workers() -> Iterator[None]:
    """Start processes in the block: `SIGNALS` wait until its end, and never reach the processes.

    Python also starts a resource tracker, which removes what killed processes leave behind. It
    does so without a warning; it takes its filters of warnings from the environment.
    """
    filters = os.environ.get(FILTERS)
    os.environ[FILTERS] = ",".join(filter(None, [filters, "ignore:resource_tracker"]))
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS) if CAN_BLOCK else ()
    try:
        yield
    finally:
        if filters is None:
            del os.environ[FILTERS]
        else:
            os.environ[FILTERS] = filters
        if CAN_BLOCK:
            signal.pthread_sigmask(signal.SIG_SETMASK, blocked)


def begin_worker() -> None:
    """Make this process a worker: it ignores `SIGNALS`, and ends when its parent has ended."""
    for number in SIGNALS:  # on systems that cannot hold them back
        signal.signal(number, signal.SIG_IGN)
    if sys.platform == "linux":  # also if the thread below cannot run, because the worker hangs
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _start(prepare: Callable[..., object] | None, args: tuple[Any, ...]) -> None:
    begin_worker()
    if prepare is not None:
        prepare(*args)


def _end_with_parent() -> None:
    """End this process when its parent has ended, or already had when this was called."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
