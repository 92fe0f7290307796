"""How the C library keeps memory between training steps."""

from __future__ import annotations

import ctypes
import sys

M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
"""Parameters of glibc's ``mallopt``."""

LARGEST_KEPT, MOST_KEPT = (2**30, 2**25), 2**31 - 1
"""Bytes of an allocation, and of all freed memory, that stay with the process; older versions of
glibc take no more than the second of the former."""


def keep_freed_memory() -> None:
    """Let freed memory stay with this process, where the C library is glibc.

    It would return the maps of a step to the system and ask for them again in the next one, and
    the system zeroes every page it gives: a good part of the time of a step.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    # The second parameter alone would make matters worse: it stops glibc from raising the first.
    if mallopt is not None and any(mallopt(M_MMAP_THRESHOLD, size) for size in LARGEST_KEPT):
        mallopt(M_TRIM_THRESHOLD, MOST_KEPT)
