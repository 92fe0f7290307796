"""What a network makes of each frame of a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exprocr.core.decode.decoder import temper
from exprocr.core.decode.forward import check_log_probs
from exprocr.core.model.geometry import CellAxis
from exprocr.viz.canvas.geometry import Geometry, geometry_of
from exprocr.viz.subject import Subject


@dataclass(frozen=True)
class Frames:
    """What the network makes of each frame."""

    probabilities: NDArray[np.float64]
    """(T, K), each frame sums to 1."""

    classes: Sequence[str]
    """K names: the blank's, then the characters."""

    geometry: Geometry
    """Where the frames lie in the picture."""

    temperature: float = 1.0
    """What the network's logits were divided by; 1 where it is not calibrated."""

    @property
    def number(self) -> int:
        """T."""
        return len(self.probabilities)

    def pooled(self, num: int) -> tuple[NDArray[np.float64], CellAxis, int]:
        """Return at most ``num`` frames, each the maximum over neighbors.

        Returns:
            Probabilities (frames, K), where these frames lie, and the neighbors in each.
        """
        count = -(-self.number // max(num, 1))
        starts = np.arange(0, self.number, count)
        first, step = self.geometry.columns
        axis = CellAxis(first + (count - 1) / 2 * step, step * count)
        return np.maximum.reduceat(self.probabilities, starts, axis=0), axis, count


def frames_of(subject: Subject) -> Frames:
    """Return each frame's probabilities, at the temperature of the characters' probabilities."""
    recognizer = subject.recognizer
    ((_, log_probs),) = recognizer.log_probs([subject.ink])
    temperature = recognizer.decoder.temperature
    tempered = temper(check_log_probs(log_probs), temperature)
    geometry = geometry_of(
        "conv3", subject.picture.size, subject.engine.network.config, recognizer.preprocess
    )
    classes = ["blank", *recognizer.charset.characters]
    return Frames(np.exp(tempered[:, 0]), classes, geometry, temperature)
