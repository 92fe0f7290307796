"""What became of the images of ``exprocr predict``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from exprocr.cli.predict.formats import REJECTED, UNSURE, WRONG, Extras
from exprocr.core.reading.prediction import Prediction


@dataclass
class Counts:
    """What became of the images."""

    num_read: int = 0
    num_unread: int = 0
    num_unproven: int = 0
    num_rejected: int = 0
    num_wrong: int = 0
    num_unsure: int = 0

    num_kept: int = 0
    """How many of those read were read by an earlier run."""

    def add(self, prediction: Prediction, extras: Extras) -> None:
        """Count a reading."""
        self.num_read += 1
        self.num_unproven += not prediction.is_proven
        mark = extras.mark(prediction)
        self.num_rejected += mark == REJECTED
        self.num_wrong += mark == WRONG
        self.num_unsure += mark == UNSURE

    def add_kept(self, row: Mapping[str, Any]) -> None:
        """Count a reading of an earlier run, from its line of JSON."""
        self.num_read += 1
        self.num_kept += 1
        self.num_unproven += not row["proven"]
        self.num_rejected += row.get(REJECTED, False)
