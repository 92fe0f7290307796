"""Near-duplicates: pictures that show the same, though their files and pixels differ.

A picture becomes a small map of its ink. The map's window is placed by the ink's mean place and
standard deviation, so that a shift of the picture or another size does not change it. Two pictures
are near-duplicates if their maps, slightly blurred, agree *everywhere*, up to one cell. The largest
difference counts, not the mean: two lines that differ in one digit differ little on the whole, but
much at one place.

Comparing the maps of all pairs would take days, so pairs are first looked for among hashes:
`HASH_SIZE` random projections of a map, whose distances are nearly those of the maps (Achlioptas,
"Database-friendly random projections", 2003). The distances of a whole block of hashes are one
matrix product. The maps are compared of the nearest pairs alone.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.image.preprocess import to_ink

HEIGHT = 24
"""Rows of a map."""

MAX_COLUMNS = 16 * HEIGHT
"""Most columns of a map; a line of text 16 times as wide as high has them."""

WORKING_PX = 60
"""Height to which larger pictures are scaled first."""

REACH = 2.2
"""Half the side of a map's window, in standard deviations of the ink; evenly spread ink has 1.7."""

COARSE = (12, 48)
"""Rows and columns of the map that is hashed, the same for all pictures."""

HASH_SIZE = 64
"""Numbers in a hash."""

MIN_COSINE = 0.92
"""Least cosine of two hashes whose maps are compared: a distance of 0.4 of their length."""

NOISE = 0.35
"""Ink that is left out, 0..1: the traces of compression around strokes would widen the window."""

MAX_DIFFERENCE = 0.25
"""Greatest difference of near-duplicates. Lines with a font of 18 px or more that differ in one
digit differ by 0.4 and more, and pictures that were shrunk to two thirds mostly by 0.2 at most."""

MAX_STRETCH = 1.15
"""Greatest ratio of the aspects of the ink of near-duplicates."""

NUM_PARTNERS = 4
"""Nearest pictures that each picture is compared with, which bounds the time."""

BLOCK = 2_000
"""Hashes whose distances to as many others are computed at a time."""

Map = NDArray[np.uint8]
"""Ink, uint8 (HEIGHT, W): 0 background .. 255 most ink."""

Values = NDArray[np.float32]


def working_ink(gray: Values) -> Values:
    """Return the ink of a picture, at most `WORKING_PX` high: float32 (H, W), 0..1.

    Args:
        gray: (H, W) float32, 0..1.
    """
    height, width = gray.shape
    if height > WORKING_PX:
        gray = _scaled(gray, (max(1, round(width * WORKING_PX / height)), WORKING_PX))
    return to_ink(gray)


def ink_map(ink: Values) -> Map:
    """Return the map of a picture's ink, which is all 0 for a blank picture.

    Args:
        ink: (H, W) float32, 0..1, from `working_ink`.
    """
    ink = np.maximum(ink - np.float32(NOISE), 0) / np.float32(1 - NOISE)
    if not ink.any():
        return np.zeros((HEIGHT, HEIGHT), dtype=np.uint8)
    middle_y, half_y = _extent(ink.sum(axis=1))
    middle_x, half_x = _extent(ink.sum(axis=0))
    columns = min(max(round(HEIGHT * half_x / half_y), HEIGHT), MAX_COLUMNS)
    # Background around the ink, so that the window stays inside.
    pad_y, pad_x = math.ceil(half_y), math.ceil(half_x)
    around = np.pad(ink, ((pad_y, pad_y), (pad_x, pad_x)))
    left, top = middle_x - half_x + pad_x, middle_y - half_y + pad_y
    window = (left, top, left + 2 * half_x, top + 2 * half_y)
    shares = _scaled(around, (columns, HEIGHT), window).clip(0, 1)
    return np.asarray(np.rint(shares * 255), dtype=np.uint8)


def _extent(ink: Values) -> tuple[float, float]:
    """Return the middle of the ink along an axis and half the length of a window around it, px."""
    places = np.arange(len(ink)) + 0.5
    total = float(ink.sum())
    middle = float(ink @ places) / total
    deviation = math.sqrt(float(ink @ (places - middle) ** 2) / total)
    return middle, max(REACH * deviation, 1.0)


def _scaled(
    values: Values, size: tuple[int, int], box: tuple[float, float, float, float] | None = None
) -> Values:
    image = Image.fromarray(values)
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR, box=box), dtype=np.float32)


def difference(one: Map, other: Map) -> float:
    """Return the largest difference of two maps anywhere: 0 for equal ones, 1 at most.

    A cell agrees with another map where its ink lies between the least and the most ink of the
    nine cells there.
    """
    narrow, wide = sorted((one.shape[1], other.shape[1]))
    if wide > MAX_STRETCH * narrow:
        return 1.0
    a, b = _blurred(one), _blurred(_scaled(other.astype(np.float32), one.shape[::-1]))
    most = max(float(a.max()), float(b.max()))
    return max(_most_beyond(a, b), _most_beyond(b, a)) / most if most else 0.0


def _blurred(ink: NDArray[np.generic]) -> Values:
    """Return the mean of each 3 x 3 cells."""
    return _of_neighbors(ink.astype(np.float32), np.add) / np.float32(9)


def _most_beyond(one: Values, other: Values) -> float:
    """Return by how much a cell of one map is outside the cells around its place in the other."""
    above = one - _of_neighbors(other, np.maximum)
    below = _of_neighbors(other, np.minimum) - one
    return max(float(above.max()), float(below.max()))


def _of_neighbors(values: Values, combine: Callable[[Values, Values], Values]) -> Values:
    """Return each cell combined with the eight around it; beyond the edges is background."""
    values = np.pad(values, 1)
    values = combine(combine(values[:-2], values[1:-1]), values[2:])
    return combine(combine(values[:, :-2], values[:, 1:-1]), values[:, 2:])


def hash_map(ink: Map) -> Values:
    """Return the hash of a map that is not blank: float32 (HASH_SIZE,), of length 1."""
    coarse = _scaled(ink.astype(np.float32), COARSE[::-1]).ravel()
    projected = _PROJECTION @ coarse
    return np.asarray(projected / np.linalg.norm(projected), dtype=np.float32)


_PROJECTION = np.random.default_rng(0).choice(
    np.array([-1, 1], dtype=np.float32), size=(HASH_SIZE, COARSE[0] * COARSE[1])
)


def near_duplicates(
    maps: Sequence[Map], progress: Callable[[int], object] | None = None
) -> list[list[int]]:
    """Return the groups of maps that are near-duplicates, directly or through others.

    Args:
        maps: n maps, none of them blank.
        progress: Called with the number of maps that are done, as often as there are blocks.

    Returns:
        Groups of two or more indices into ``maps``, in order.
    """
    group = list(range(len(maps)))

    def root(index: int) -> int:
        while group[index] != index:
            group[index] = index = group[group[index]]
        return index

    for done, pairs in _nearest_pairs(np.stack([hash_map(m) for m in maps]) if maps else _EMPTY):
        for i, j in pairs:
            first, second = sorted((root(i), root(j)))
            if first != second and difference(maps[i], maps[j]) <= MAX_DIFFERENCE:
                group[second] = first
        if progress is not None:
            progress(done)
    members: dict[int, list[int]] = {}
    for index in range(len(maps)):
        members.setdefault(root(index), []).append(index)
    return [indices for indices in members.values() if len(indices) > 1]


_EMPTY = np.zeros((0, HASH_SIZE), dtype=np.float32)


def _nearest_pairs(hashes: Values) -> Iterator[tuple[int, list[tuple[int, int]]]]:
    """Yield for each block how many hashes it has, and their pairs with the nearest later ones.

    Args:
        hashes: (n, HASH_SIZE), each of length 1.
    """
    number = len(hashes)
    for first in range(0, number, BLOCK):
        rows = hashes[first : first + BLOCK]
        found: list[tuple[NDArray[np.intp], NDArray[np.intp], Values]] = []
        for start in range(first, number, BLOCK):
            cosines = rows @ hashes[start : start + BLOCK].T
            if start == first:  # each pair once, and none with itself
                cosines[np.tril_indices_from(cosines)] = -1
            near = np.flatnonzero(cosines.max(axis=1) >= MIN_COSINE)
            kept = min(NUM_PARTNERS, cosines.shape[1])
            best = np.argpartition(-cosines[near], kept - 1, axis=1)[:, :kept]
            values = np.take_along_axis(cosines[near], best, axis=1)
            row, place = np.nonzero(values >= MIN_COSINE)
            found.append((near[row], best[row, place] + start, values[row, place]))
        i, j, values = (np.concatenate(parts) for parts in zip(*found, strict=True))
        order = np.lexsort((-values, i))
        i, j = i[order], j[order]
        rank = np.arange(len(i)) - np.searchsorted(i, i)
        nearest = rank < NUM_PARTNERS
        yield len(rows), list(zip((i[nearest] + first).tolist(), j[nearest].tolist(), strict=True))
