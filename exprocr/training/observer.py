"""Observers of a training: what they are told, and how several are told."""

from __future__ import annotations

from typing import Any, Protocol

from exprocr.core.evaluation.calibration import Calibration
from exprocr.training.checkpoint import TrainingState


class Observer(Protocol):
    """Is told what happens in a training; a progress bar is one."""

    def on_step(self, state: TrainingState, record: dict[str, Any]) -> None:
        """Take note of an optimizer step; ``record`` is its line in metrics.jsonl."""

    def on_evaluation(self, record: dict[str, Any]) -> None:
        """Take note of an evaluation; ``record`` is its line in metrics.jsonl."""

    def on_calibration(self, calibration: Calibration) -> None:
        """Take note of the best network's calibration, after the training."""


class Observers:
    """Tells several observers what happens, in order."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def on_step(self, state: TrainingState, record: dict[str, Any]) -> None:
        """Tell all observers of a step."""
        for observer in self.observers:
            observer.on_step(state, record)

    def on_evaluation(self, record: dict[str, Any]) -> None:
        """Tell all observers of an evaluation."""
        for observer in self.observers:
            observer.on_evaluation(record)

    def on_calibration(self, calibration: Calibration) -> None:
        """Tell all observers of the calibration."""
        for observer in self.observers:
            observer.on_calibration(calibration)
