"""Which of the processes that ``torchrun`` has started this one is, from the environment."""

from __future__ import annotations

import os


def num_processes() -> int:
    """Return how many processes ``torchrun`` has started for this program; 1 without it."""
    size = os.environ.get("WORLD_SIZE", "")
    return int(size) if "RANK" in os.environ and size.isdecimal() else 1


def rank() -> int:
    """Return the number of this process among them, counted from 0."""
    return int(os.environ["RANK"]) if num_processes() > 1 else 0


def local_processes() -> int:
    """Return how many of them are on this machine."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1")) if num_processes() > 1 else 1


def local_rank() -> int:
    """Return the number of this process among those on this machine."""
    return int(os.environ.get("LOCAL_RANK", "0")) if num_processes() > 1 else 0
