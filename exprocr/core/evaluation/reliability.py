"""Whether confidences agree with the share of right readings, and errors by confidence."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

NUM_BINS = 15
"""Bins of the reliability table and of the calibration error."""

COVERAGES = (1.0, 0.99, 0.95, 0.9)
"""Shares of the most confident readings that the risk-coverage table looks at."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Readings of neighboring confidences."""

    count: int
    """Readings."""

    low: float
    """Lowest confidence."""

    high: float
    """Highest confidence."""

    confidence: float
    """Mean confidence."""

    accuracy: float
    """Share of right readings."""


@dataclass(frozen=True, slots=True)
class Risk:
    """The errors among the most confident readings."""

    coverage: float
    """Share of the readings that was asked for."""

    count: int
    """Readings, rounded down."""

    threshold: float
    """Confidence of the least confident of them."""

    num_wrong: int
    """Wrong ones."""

    error_rate: float
    """Wrong ones among them, 0..1."""


@dataclass
class Reliability:
    """The confidence of each reading, and whether it is right; add two to merge them."""

    confidences: list[float] = field(default_factory=list)
    correct: list[bool] = field(default_factory=list)

    def add(self, confidence: float, correct: bool) -> None:
        """Add one reading."""
        self.confidences.append(confidence)
        self.correct.append(correct)

    def __add__(self, other: Reliability) -> Reliability:
        """Return the readings of both."""
        if not isinstance(other, Reliability):
            return NotImplemented
        return Reliability(self.confidences + other.confidences, self.correct + other.correct)

    @property
    def _arrays(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        return np.array(self.confidences, dtype=float), np.array(self.correct, dtype=float)

    def bins(self, num_bins: int = NUM_BINS) -> list[Bin]:
        """Return the reliability table: bins of equally many readings, the least confident first.

        Bins of equal mass rather than of equal width, because nearly all readings are nearly
        certain (Nixon et al., "Measuring Calibration in Deep Learning", CVPR workshops 2019).
        """
        confidences, correct = self._arrays
        order = np.argsort(confidences, kind="stable")
        return [
            Bin(
                count=len(part),
                low=float(confidences[part[0]]),
                high=float(confidences[part[-1]]),
                confidence=float(confidences[part].mean()),
                accuracy=float(correct[part].mean()),
            )
            for part in np.array_split(order, num_bins)
            if part.size
        ]

    def ece(self, num_bins: int = NUM_BINS) -> float:
        """Return the expected calibration error.

        The mean over the readings of their bin's distance between confidence and accuracy (Guo
        et al., "On Calibration of Modern Neural Networks", ICML 2017, eq. 3); 0 without readings.
        """
        gaps = [b.count * abs(b.confidence - b.accuracy) for b in self.bins(num_bins)]
        return sum(gaps) / max(len(self.correct), 1)

    @property
    def brier(self) -> float:
        """Mean squared difference of confidence and truth (Brier 1950); 0 without readings."""
        confidences, correct = self._arrays
        return float(((confidences - correct) ** 2).mean()) if correct.size else 0.0

    def risks(self, coverages: tuple[float, ...] = COVERAGES) -> list[Risk]:
        """Return the risk-coverage table (El-Yaniv and Wiener, JMLR 11, 2010).

        Of equally confident readings the wrong ones are counted first.
        """
        confidences, correct = self._arrays
        order = np.lexsort((correct, -confidences))
        risks = []
        for coverage in coverages:
            # 0.99 is not exact in binary; it must not give one reading too few.
            count = int(coverage * len(order) + 1e-9)
            kept = order[:count]
            wrong = int(count - correct[kept].sum())
            threshold = float(confidences[kept[-1]]) if count else 1.0
            risks.append(Risk(coverage, count, threshold, wrong, wrong / max(count, 1)))
        return risks
