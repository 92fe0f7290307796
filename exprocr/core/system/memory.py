"""Memory: keeping freed memory between training steps, and creating very many objects."""

from __future__ import annotations

import ctypes
import gc
import sys
from collections.abc import Iterator
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
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    # M_TRIM_THRESHOLD alone would be worse: it stops glibc from raising M_MMAP_THRESHOLD by itself.
    if mallopt is not None and any(mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST_KEPT):
        mallopt(M_TRIM_THRESHOLD, MOST_KEPT)


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
