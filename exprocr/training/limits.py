"""When a run stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Outcome = Literal["finished", "interrupted", "time_limit", "target_accuracy", "patience"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to stop. These alone may differ when a run is resumed."""

    epochs: int | None = None
    """Passes over the data; None is the length of the schedule."""

    max_time_s: float | None = None
    """Seconds of this session."""

    target_accuracy: float | None = None
    """Validation exact match, 0..1."""

    patience: int | None = None
    """Evaluations in a row without a better one."""
