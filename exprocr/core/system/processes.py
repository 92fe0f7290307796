"""The processors to use, and worker processes.

Ctrl-C is for the parent process alone, and workers end when it does.
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
    """Return the number of processors this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def worker_pool(
    num: int, prepare: Callable[..., object] | None = None, *args: Any
) -> ProcessPoolExecutor:
    """Return a pool of processes, each of which calls ``prepare(*args)`` first.

    They start with the first tasks, which are therefore to be submitted in
    `interrupt_held_back`.

    Args:
        num: Processes.
        prepare: A function of a module; None is nothing to prepare.
        args: What it is called with.
    """
    return ProcessPoolExecutor(
        num,
        # The same on every system, and safe beside threads, which forking is not.
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_start,
        initargs=(prepare, args),
    )


@contextmanager
def interrupt_held_back() -> Iterator[None]:
    """Delay Ctrl-C; processes and threads started meanwhile never get it: it is the parent's."""
    if not hasattr(signal, "pthread_sigmask"):
        yield
        return
    previous = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, previous)


def _start(prepare: Callable[..., object] | None, args: tuple[Any, ...]) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # where it could not be held back
    threading.Thread(target=_end_with_parent, daemon=True).start()
    if prepare is not None:
        prepare(*args)


def _end_with_parent() -> None:
    """End this process when its parent is gone, however it ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
