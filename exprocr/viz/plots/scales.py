"""Scales of the axes of training curves: shares of errors down to 0, and the time trained."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FixedFormatter, FixedLocator, MaxNLocator, NullLocator
from numpy.typing import NDArray

Floats = NDArray[np.float64]

TICKS_APART = 0.075
"""Least distance of ticks, as a share of the axis."""

LEAST_SPAN = 0.15
"""Least length of an axis, decades: values that are all alike need room around them."""

SMALLEST = 1e-7
"""Smaller errors count as 0."""

MAX_OFFSET = 0.05

UNITS = ((4 * 86_400, 86_400, "days"), (7200, 3600, "hours"), (180, 60, "minutes"))
"""From how many seconds on a unit is used, its seconds, and its name."""


def time_unit(longest_s: float) -> tuple[int, str]:
    """Return the seconds and the name of the unit for an axis up to ``longest_s``."""
    for least, seconds, name in UNITS:
        if longest_s >= least:
            return seconds, name
    return 1, "seconds"


def set_error_scale(axes: Axes, values: Floats, *, share_right: bool) -> None:
    """Set a y scale on which even the smallest shares of errors can be told apart.

    Args:
        axes: The axes; their x axis is left alone.
        values: All values drawn, one or more: in [0, 1] or, of errors, above.
        share_right: Values are shares of what is right, one less the error, and are written in
            per cent; else they are the errors themselves.
    """
    errors = np.maximum(1 - values if share_right else values, 0)
    above = errors[errors > SMALLEST]
    scale = ErrorScale(min(MAX_OFFSET, float(above.min()) / 2) if above.size else MAX_OFFSET)
    low, high = scale.limits(errors)
    ticks = scale.ticks(low, high)

    def to_place(value: Floats) -> Floats:
        return -scale.place(1 - value) if share_right else scale.place(value)

    def to_value(place: Floats) -> Floats:
        return 1 - scale.error(-place) if share_right else scale.error(place)

    axes.set_yscale("function", functions=(to_place, to_value))
    axes.yaxis.set_major_locator(FixedLocator([1 - t if share_right else t for t in ticks]))
    texts = [f"{100 * (1 - t):.7g}%" if share_right else f"{t:g}" for t in ticks]
    axes.yaxis.set_major_formatter(FixedFormatter(texts))
    axes.yaxis.set_minor_locator(NullLocator())
    bottom, top = to_value(np.array((-high, -low) if share_right else (low, high)))
    axes.set_ylim(float(bottom), float(top))


@dataclass(frozen=True)
class ErrorScale:
    """A scale that is logarithmic in the error, but for an offset.

    So 0 is on it, and large errors lie as on a linear scale where no small ones are shown.
    """

    offset: float
    """What is added to an error; half of the smallest above 0, say."""

    def place(self, error: Floats) -> Floats:
        """Return the places of errors, decades."""
        return np.log10(np.maximum(error + self.offset, self.offset * 1e-3))

    def error(self, place: Floats) -> Floats:
        """Return the errors at places."""
        return 10.0**place - self.offset

    def limits(self, errors: Floats) -> tuple[float, float]:
        """Return the places of an axis' ends, small errors first."""
        zero, half, one, low, high = self.place(np.array((0, 0.5, 1, errors.min(), errors.max())))
        if high > half:  # from 0% right on, unless a run is good throughout
            high = max(high, one)
        if low - zero < LEAST_SPAN:  # near 0 there is only room above
            high = max(high, low + LEAST_SPAN)
        low = min(low, high - LEAST_SPAN)
        margin = 0.05 * (high - low)
        return float(low - margin), float(high + margin)

    def ticks(self, low: float, high: float) -> list[float]:
        """Return round errors between two places, the roundest first where room is short."""
        powers = [10.0**-n for n in range(8)]
        taken: dict[float, float] = {}
        for error in (0.0, *(factor * p for factor in (1, 5, 2) for p in powers), 0.3, 0.7):
            place = float(self.place(np.array(error)))
            near = any(abs(place - other) < TICKS_APART * (high - low) for other in taken)
            if low <= place <= high and not near:
                taken[place] = error
        if len(taken) > 3:
            return sorted(taken.values())
        ends = np.maximum(self.error(np.array((low, high))), 0)
        between = MaxNLocator(6, steps=[1, 2, 5, 10]).tick_values(*ends.tolist())
        return [float(t) for t in between if ends[0] <= t <= ends[1]]
