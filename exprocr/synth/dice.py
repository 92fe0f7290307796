"""Drawing random numbers fast: a picture needs dozens of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")

Range = tuple[float, float]
"""Lowest and highest value."""


class Dice:
    """Draws numbers one by one, several times as fast as the generator's own methods.

    Args:
        rng: The generator.
    """

    def __init__(self, rng: np.random.Generator) -> None:
        self._random = rng.random

    def happens(self, share: float) -> bool:
        """Return whether something of this share happens."""
        return self._random() < share

    def between(self, values: Range) -> float:
        """Return a number of a range, all equally likely."""
        low, high = values
        return low + (high - low) * self._random()

    def around(self, extent: float) -> float:
        """Return a number from ``-extent`` to ``extent``."""
        return extent * (2 * self._random() - 1)

    def many(self, shape: tuple[int, ...]) -> NDArray[np.float64]:
        """Return numbers from -1 to 1."""
        return 2 * self._random(shape) - 1

    def number(self, end: int) -> int:
        """Return a whole number from 0 to ``end - 1``."""
        return int(end * self._random())

    def pick(self, choices: Sequence[T]) -> T:
        """Return one of several, all equally likely."""
        return choices[int(len(choices) * self._random())]
