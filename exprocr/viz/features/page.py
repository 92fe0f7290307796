"""Feature maps: what every channel of a layer makes of one picture.

Convolution layers become a grid of tiles, the later stages a heat map of units over frames. Both
are laid out on the picture's own axes: a cell is drawn where its receptive field is centered.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from exprocr.viz.canvas.geometry import Geometry
from exprocr.viz.features.channels import choose, feature_stats
from exprocr.viz.features.maps import draw_maps
from exprocr.viz.features.units import draw_units


def draw_grid(
    layer: str,
    maps: NDArray[np.float32],
    image: Image.Image,
    reading: str,
    *,
    geometry: Geometry,
    ink: NDArray[np.uint8] | None = None,
    row_labels: Sequence[str] | None = None,
    scale: str | None = None,
    top: int | None = None,
    channels: Sequence[int] | None = None,
) -> Image.Image:
    """Draw a layer's output below the picture it comes from.

    Args:
        layer: The layer's name, for the title.
        maps: float32 (C, H', W') for a grid of maps, or (units, T) for one heat map.
        image: The picture, of any mode.
        reading: What the model reads in it.
        geometry: Where the cells lie in the picture.
        ink: The network's input, uint8 (H, W), drawn beside the picture of a grid of maps.
        row_labels: Names of the units of a heat map instead of their numbers.
        scale: ``own``, colors by each channel's own range; ``shared``, by one for all that are
            drawn, which a color bar explains. None is own for maps, shared for a heat map.
        top: Draw this many of the strongest channels, strongest first; the strength of a channel
            is its mean absolute value over the picture.
        channels: Draw these channels, in this order.

    Returns:
        An RGB picture, neither side longer than 4000 px.
    """
    stats = feature_stats(layer, maps)
    shown = choose(stats, scale=scale, top=top, channels=channels)
    if maps.ndim == 3:
        return draw_maps(stats, shown, maps, image, reading, geometry, ink)
    return draw_units(stats, shown, maps, image, reading, geometry, row_labels)
