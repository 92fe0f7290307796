"""The shapes of seven-segment digits."""

from __future__ import annotations

from dataclasses import dataclass

from PIL import ImageDraw

Polygon = list[tuple[float, float]]
"""Corners: x and y."""

SEGMENTS: dict[str, tuple[str, ...]] = {
    "0": ("abcdef",),
    "1": ("bc",),
    "2": ("abdeg",),
    "3": ("abcdg",),
    "4": ("bcfg",),
    "5": ("acdfg",),
    "6": ("acdefg", "acdefg", "cdefg"),
    "7": ("abc", "abc", "abcf"),
    "8": ("abcdefg",),
    "9": ("abcdfg", "abcdfg", "abcfg"),
    "-": ("g",),
}
"""Segments of each character that has some; where several are in use, all of them.

::

     a
    f b
     g
    e c
     d
"""

_ENDS = {
    # Left or upper end, and right or lower end, in half-widths of a digit and halves of its height.
    "a": ((0, 0), (1, 0)),
    "b": ((1, 0), (1, 1)),
    "c": ((1, 1), (1, 2)),
    "d": ((0, 2), (1, 2)),
    "e": ((0, 1), (0, 2)),
    "f": ((0, 0), (0, 1)),
    "g": ((0, 1), (1, 1)),
}


@dataclass(frozen=True)
class Shape:
    """The form of a display's digits, by their height."""

    width: float
    thickness: float
    gap: float
    """Between the ends of neighboring segments."""

    slant: float
    """How far the upper end is to the right."""

    is_square: bool
    """Whether the segments' ends are square; otherwise they are points."""

    def polygons(self, height_px: float) -> dict[str, Polygon]:
        """Return the corners of each segment, px from the upper left corner."""
        half = self.thickness / 2
        # Square ends stay clear of the segments across.
        short = self.gap / 2 + half * self.is_square
        point = 0.0 if self.is_square else half
        result = {}
        for name, ends in _ENDS.items():
            (x0, y0), (x1, y1) = (
                (half + x * (self.width - 2 * half), half + y * (0.5 - half)) for x, y in ends
            )
            is_level = y0 == y1
            end = (x1 - x0 if is_level else y1 - y0) - short
            outline = [(short + point, -half), (end - point, -half)]
            outline += [(end - point, half), (short + point, half)]
            if not self.is_square:
                outline = [(short, 0.0), *outline[:2], (end, 0.0), *outline[2:]]
            polygon = []
            for along, across in outline:
                x, y = (along, across) if is_level else (across, along)
                x, y = x + x0, y + y0
                polygon.append(((x + self.slant * (1 - y)) * height_px, y * height_px))
            result[name] = polygon
        return result


def draw_segments(
    draw: ImageDraw.ImageDraw,
    polygons: dict[str, Polygon],
    lit: str,
    place: tuple[float, float],
    unlit: int,
) -> None:
    """Draw the segments of a digit.

    Args:
        draw: Where to.
        polygons: The segments' corners.
        lit: Names of the segments that are on.
        place: Where the digit's upper left corner is, px.
        unlit: Ink of the other segments, 0..255; 0 draws none.
    """
    for name, points in polygons.items():
        ink = 255 if name in lit else unlit
        if ink:
            draw.polygon([(x + place[0], y + place[1]) for x, y in points], fill=ink)
