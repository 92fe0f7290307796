"""Memory: what a training frees and needs again, and creating very many objects."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``."""

LARGEST_KEPT, MOST_KEPT = (2**30, 2**25), 2**31 - 1
"""Largest allocation and largest total that stay with the process when freed, in bytes. Older
versions of glibc accept only the second size of an allocation."""


def keep_freed_memory() -> None:
    """Keep freed memory in this process, if the C library is glibc.

    By default, glibc returns the memory of the feature maps to the system after each step, and asks
    for it again in the next step. The system then zeroes every page, which takes a large part of
    the step's time.
    """
    mallopt = _libc_function("mallopt")
    # M_TRIM_THRESHOLD alone would be worse: it stops glibc from raising M_MMAP_THRESHOLD by itself.
    if mallopt is not None and any(mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST_KEPT):
        mallopt(M_TRIM_THRESHOLD, MOST_KEPT)


def return_freed_memory() -> None:
    """Give the system what `keep_freed_memory` has kept, if the C library is glibc.

    Feature maps of many sizes leave gaps between them, which later ones do not fit into. Without
    this, a process that trains on pictures of many widths grows from one hour to the next.
    """
    malloc_trim = _libc_function("malloc_trim")
    if malloc_trim is not None:
        malloc_trim(0)


def _libc_function(name: str) -> Callable[..., int] | None:
    return getattr(ctypes.CDLL(None), name, None) if sys.platform == "linux" else None


@contextmanager
def garbage_kept() -> Iterator[None]:
    """Do not search for garbage during the block, which creates very many objects that stay."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()
