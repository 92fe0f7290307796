"""Number of usable processors, and worker processes.

Ctrl-C interrupts the parent process alone. Workers end when their parent ends.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from multiprocessing.connection import wait
from typing import Any


def usable_processors() -> int:
    """Return the number of processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def worker_pool(
    num: int, prepare: Callable[..., object] | None = None, *args: Any
) -> ProcessPoolExecutor:
    """Return a pool of processes; each calls ``prepare(*args)`` first.

    The processes start when the first tasks are submitted: submit them in `interrupt_held_back`.

    Args:
        num: Number of processes.
        prepare: A module's function; None to prepare nothing.
        args: Its arguments.
    """
    return ProcessPoolExecutor(
        num,
        # Works on every system and, unlike forking, in a program with threads.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(prepare, args),
    )


@contextmanager
def interrupt_held_back() -> Iterator[None]:
    """Delay Ctrl-C during the block; processes and threads started in it never receive Ctrl-C."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _start(prepare: Callable[..., object] | None, args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on systems that cannot hold it back
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare is not None:
        prepare(*args)


def _end_with_parent() -> None:
    """End this process when its parent has ended, for whatever reason."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
