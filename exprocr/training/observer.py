"""Who is told how a training goes."""

from __future__ import annotations

from typing import Any, Protocol

from exprocr.core.calibration import Calibration
from exprocr.training.checkpoint import TrainingState


class Observer(Protocol):
    """Is told what happens; a progress bar, say."""

    def on_step(self, state: TrainingState, loss: float) -> None:
        """One optimizer step is done; ``loss`` is its mean CTC loss, nats."""

    def on_evaluation(self, record: dict[str, Any]) -> None:
        """One evaluation is done; ``record`` is its line in metrics.jsonl."""

    def on_calibration(self, calibration: Calibration) -> None:
        """The best network is calibrated; training is over."""
