"""When a run stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from exprocr.training.checkpoint import TrainingState

Outcome = Literal["finished", "interrupted", "time_limit", "target_accuracy", "patience"]


@dataclass(frozen=True, kw_only=True)
class Limits:
    """When to stop. Of a run's settings, only these may change when it is resumed."""

    epochs: int | None = None
    """Passes over the data; None takes the length of the schedule."""

    max_time_s: float | None = None
    """Seconds since the run was started or resumed."""

    target_accuracy: float | None = None
    """Validation exact match, 0..1."""

    patience: int | None = None
    """Evaluations in a row without a gain: none reads better than all before, or has a lower
    validation loss. The loss falls long before the first images are read right."""

    def reached(self, state: TrainingState) -> Outcome | None:
        """Return which limit on the evaluations is reached; None if none is."""
        if self.target_accuracy is not None and state.best_exact_match >= self.target_accuracy:
            return "target_accuracy"
        if self.patience is not None and state.evaluations_since_best >= self.patience:
            return "patience"
        return None
