"""The channels of a layer: their figures, which of them are drawn, and words about them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exprocr.words import quantity

CONSTANT_RANGE = 1e-6
"""A channel whose values differ by less than this is dead."""

_CHUNK_VALUES = 2**21
"""Values that are read together, so that a large layer is not copied as a whole."""


@dataclass(frozen=True)
class FeatureStats:
    """Figures of each channel of a layer's output, from its finite values; NaN if it has none."""

    layer: str
    """The layer's name."""

    shape: tuple[int, ...]
    """(C, H', W') or (units, T)."""

    minimum: NDArray[np.float32]
    """Smallest value of each channel."""

    maximum: NDArray[np.float32]
    """Largest value of each channel."""

    mean: NDArray[np.float32]
    """Mean of each channel."""

    strength: NDArray[np.float32]
    """Mean absolute value of each channel, which ranks them."""

    zeros: NDArray[np.float32]
    """Share of each channel's values that are exactly 0, as ReLU leaves them."""

    finite: NDArray[np.float32]
    """Share of each channel's values that are neither NaN nor infinite."""

    @property
    def num_channels(self) -> int:
        """Channels, or units."""
        return self.shape[0]

    @property
    def dead(self) -> list[int]:
        """Channels that are constant in this picture."""
        return np.flatnonzero(~(self.maximum - self.minimum >= CONSTANT_RANGE)).tolist()

    def strongest(self, number: int) -> list[int]:
        """Return at most ``number`` channels, the strongest first, the lower number if equal."""
        # NaN comes last: a channel without a finite value has no strength.
        order: list[int] = np.argsort(-self.strength, kind="stable").tolist()
        return order[:number]


def feature_stats(layer: str, maps: NDArray[np.float32]) -> FeatureStats:
    """Return the figures of a layer's output, as `exprocr.core.model.capture.capture` keeps it."""
    flat = maps.reshape(len(maps), -1)
    step = max(1, _CHUNK_VALUES // max(1, flat.shape[1]))
    parts = [_figures(flat[start : start + step]) for start in range(0, len(flat), step)]
    return FeatureStats(layer, maps.shape, *np.concatenate(parts, axis=1))


def _figures(flat: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the figures of some channels, (6, channels)."""
    finite = np.isfinite(flat)
    values = flat if finite.all() else np.ma.array(flat, mask=~finite)
    figures = (
        values.min(axis=1),
        values.max(axis=1),
        values.mean(axis=1, dtype=np.float64),
        abs(values).mean(axis=1, dtype=np.float64),
        (values == 0).mean(axis=1, dtype=np.float64),
        finite.mean(axis=1, dtype=np.float64),
    )
    return np.stack([np.ma.filled(figure, np.nan) for figure in figures]).astype(np.float32)


@dataclass(frozen=True)
class Shown:
    """Which channels of a layer are drawn, and in which colors."""

    channels: list[int]
    """Their numbers, in the order in which they are drawn."""

    why: str
    """Why these, for the explanation; empty if they are all."""

    is_shared: bool
    """Whether one color scale serves them all, or each has its own."""

    low: float
    """Least value of the drawn channels that are not dead; 0 if all are."""

    high: float
    """Their greatest value."""

    @property
    def has_scale(self) -> bool:
        """Whether a color bar is drawn."""
        return self.is_shared and self.high > self.low


def choose(
    stats: FeatureStats,
    *,
    scale: str | None = None,
    top: int | None = None,
    channels: Sequence[int] | None = None,
) -> Shown:
    """Choose which channels are drawn and how they are colored; `draw_grid` explains how."""
    chosen, why = list(range(stats.num_channels)), ""
    if channels is not None:
        chosen, why = list(channels), "as asked for"
    elif top is not None:
        chosen = stats.strongest(top)
        why = "the strongest first (strength: mean absolute value over the picture)"
    alive = sorted(set(chosen) - set(stats.dead))
    low, high = 0.0, 0.0
    if alive:
        low, high = float(stats.minimum[alive].min()), float(stats.maximum[alive].max())
    is_shared = len(stats.shape) == 2 if scale is None else scale == "shared"
    return Shown(chosen, why, is_shared, low, high)


def describe_dead(stats: FeatureStats, noun: str, mark: str) -> str:
    """Write how many channels are dead, which ones where they are few, and their mark."""
    dead = stats.dead
    if not dead:
        return "none dead"
    which = f": {', '.join(map(str, dead))}" if len(dead) <= 8 else ""
    return f"{quantity(len(dead), noun)} dead{which} (constant in this picture; {mark})"


def describe_choice(stats: FeatureStats, shown: Shown, noun: str) -> str:
    """Write how many channels are drawn: ``16 channels``, ``3 of 16 channels, as asked for,``."""
    if not shown.why:
        return quantity(stats.num_channels, noun)
    return f"{len(shown.channels)} of {quantity(stats.num_channels, noun)}, {shown.why},"


def describe_broken(stats: FeatureStats, noun: str) -> str:
    """Write how many channels hold NaN or infinity; empty if none does."""
    number = int((stats.finite < 1).sum())
    if not number:
        return ""
    holds = "holds" if number == 1 else "hold"
    return f"{quantity(number, noun)} {holds} NaN or infinity, drawn light gray."
