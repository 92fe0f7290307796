"""Who is told how a training goes."""

from __future__ import annotations

from typing import Any, Protocol

from exprocr.core.evaluation.calibration import Calibration
from exprocr.training.checkpoint import TrainingState


class Observer(Protocol):
    """Is told what happens; a progress bar, say."""

    def on_step(self, state: TrainingState, record: dict[str, Any]) -> None:
        """One optimizer step is done; ``record`` is its line in metrics.jsonl."""

    def on_evaluation(self, record: dict[str, Any]) -> None:
        """One evaluation is done; ``record`` is its line in metrics.jsonl."""

    def on_calibration(self, calibration: Calibration) -> None:
        """The best network is calibrated; training is over."""


class Observers:
    """Tells several what happens, in order."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def on_step(self, state: TrainingState, record: dict[str, Any]) -> None:
        """Tell all of a step."""
        for observer in self.observers:
            observer.on_step(state, record)

    def on_evaluation(self, record: dict[str, Any]) -> None:
        """Tell all of an evaluation."""
        for observer in self.observers:
            observer.on_evaluation(record)

    def on_calibration(self, calibration: Calibration) -> None:
        """Tell all of the calibration."""
        for observer in self.observers:
            observer.on_calibration(calibration)
