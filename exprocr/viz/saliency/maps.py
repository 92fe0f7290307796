"""Maps of how much each pixel of the network's input counts, and figures of the maps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from exprocr.core.model.geometry import CellAxis
from exprocr.viz.canvas.geometry import Geometry

INK = 64
"""A pixel of the network's input holds ink from here on: a quarter of the strongest."""

BEYOND_PERCENTILE = 99.0
"""Of the values of a signed map, those above this percentile have the strongest color."""


@dataclass(frozen=True)
class SaliencyMap:
    """A map over the network's input."""

    name: str
    """Its name."""

    about: str
    """How to read it, in a sentence or two."""

    values: NDArray[np.float32]
    """(H, W); of a signed map, evidence against is below 0."""

    is_signed: bool = False
    """Whether there is evidence against."""

    unit: str = ""
    """Of the values."""

    @property
    def limit(self) -> float:
        """Value of the strongest color, over 0."""
        strength = np.abs(np.nan_to_num(self.values))
        if not self.is_signed or not strength.any():
            return float(strength.max())
        return float(np.percentile(strength[strength > 0], BEYOND_PERCENTILE))

    def share(self, where: NDArray[np.bool_]) -> float:
        """Return the share of all absolute values at some pixels (H, W); NaN of an empty map."""
        strength = np.abs(np.nan_to_num(self.values.astype(np.float64)))
        return float(strength[where].sum() / strength.sum()) if strength.any() else float("nan")

    def peak(self) -> tuple[int, int]:
        """Return column and row of the greatest value, px."""
        row, column = divmod(int(np.nan_to_num(self.values).argmax()), self.values.shape[1])
        return column, row


def spread(cells: NDArray[np.float32], geometry: Geometry) -> NDArray[np.float32]:
    """Enlarge a layer's map to the network's input, linearly between the cells' centers.

    Args:
        cells: (H', W').
        geometry: Where the cells are centered.

    Returns:
        (H, W); beyond the outermost centers their values last for a step, then there is nothing.
    """
    rows = _weights(geometry.rows, geometry.height, cells.shape[0])
    columns = _weights(geometry.columns, geometry.width, cells.shape[1])
    return (rows @ np.nan_to_num(cells) @ columns.T).astype(np.float32)


def _weights(axis: CellAxis, length: int, num: int) -> NDArray[np.float64]:
    """Return the weight of each of ``num`` cells at each of ``length`` pixels, (length, num)."""
    position = (np.arange(length) + 0.5 - axis.first) / axis.step
    inside = np.clip(position, 0, num - 1)
    weights = np.maximum(0.0, 1.0 - np.abs(inside[:, None] - np.arange(num)))
    weights[np.abs(position - inside) >= 1.0] = 0.0
    return np.asarray(weights)
