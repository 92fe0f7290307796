"""The kernels of a convolution: the pattern that each of its channels looks for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr.viz.canvas import drawing, page
from exprocr.viz.canvas.drawing import DARK, GRAY, Box
from exprocr.words import quantity

DEAD_SHARE = 1e-6
"""A kernel whose norm is below this share of the greatest is dead."""

ZERO_GRAY = 128
"""Gray of the weight 0; 1 is the most negative weight, 255 the most positive one."""

SIDE_PX = 200
"""Side that kernels are enlarged to, about, if there is room."""

PAGE_PX = 1500
"""Width of a row of kernels, about, if there is room."""

FIGURES_PX = 150
"""Width of a label with all its figures."""

NUMBER_PX = 34
"""Width of a number alone."""

MAX_HEAD_PX = 280
"""Most height of the heading and the color bar."""


@dataclass(frozen=True)
class KernelStats:
    """Figures of kernels; NaN where a kernel holds NaN."""

    norm: NDArray[np.float64]
    """Euclidean norm of each."""

    mean: NDArray[np.float64]
    minimum: NDArray[np.float64]
    maximum: NDArray[np.float64]

    @property
    def share(self) -> NDArray[np.float64]:
        """Each norm's share of the sum of all."""
        total = np.nansum(self.norm)
        return self.norm / (total if total > 0 else 1)

    @property
    def dead(self) -> list[int]:
        """Kernels with almost no weight compared to the strongest, or with NaN or infinity."""
        known = self.norm[np.isfinite(self.norm)]
        least = DEAD_SHARE * known.max() if known.size else 0.0
        alive = np.isfinite(self.norm) & (self.norm >= least) & (self.norm > 0)
        return np.flatnonzero(~alive).tolist()


def kernel_stats(kernels: NDArray[np.float32]) -> KernelStats:
    """Return the figures of kernels (N, rows, columns)."""
    flat = kernels.reshape(len(kernels), -1).astype(np.float64)
    norm = np.sqrt((flat**2).sum(axis=1))
    return KernelStats(norm, flat.mean(axis=1), flat.min(axis=1), flat.max(axis=1))


def kernel_grays(kernel: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Turn a kernel into grays, uint8 of its shape: 0 is `ZERO_GRAY`, light is positive.

    The scale reaches as far down as up, to the greatest absolute weight.
    """
    weights = kernel.astype(np.float64)
    greatest = float(np.abs(weights).max())
    if not 0 < greatest < np.inf:
        return np.full(kernel.shape, ZERO_GRAY, dtype=np.uint8)
    return np.rint(ZERO_GRAY + (255 - ZERO_GRAY) * (weights / greatest)).astype(np.uint8)


@dataclass(frozen=True)
class Layout:
    """Where the kernels are."""

    pixels: int
    """Side of a weight, px."""

    stride: int
    """Step between the rows and columns of weights that are drawn."""

    side: int
    """Side of a tile, px."""

    cell: tuple[int, int]
    """Distance of tiles, px, with labels and gaps."""

    num_columns: int
    """Tiles in a row."""

    num_lines: int
    """Lines of a label: 2 with number, norm and range; 1 with the number alone."""

    def box(self, index: int, top: int) -> Box:
        """Return where a tile is, if the first label is at ``top``."""
        row, column = divmod(index, self.num_columns)
        left = page.MARGIN_PX + column * self.cell[0]
        y = top + row * self.cell[1] + page.LABEL_PX
        return (left, y, left + self.side, y + self.side)


def lay_out(num: int, kernel_size: int) -> Layout:
    """Arrange kernels as large as they fit, a whole number of pixels to a weight.

    Args:
        num: Number of kernels.
        kernel_size: Weights along a side.
    """
    room = drawing.MAX_SIDE_PX - 2 * page.MARGIN_PX
    sizes = [(pixels, 1) for pixels in range(max(1, SIDE_PX // kernel_size), 0, -1)]
    sizes += [(1, stride) for stride in range(2, kernel_size + 1)]
    # Thousands of kernels leave no room for figures; a stride is the last resort.
    for label_px, num_lines in ((FIGURES_PX, 2), (NUMBER_PX, 1)):
        for pixels, stride in sizes:
            side = len(range(0, kernel_size, stride)) * pixels
            cell = max(side, label_px) + page.GAP_PX, side + num_lines * page.LABEL_PX + page.GAP_PX
            most_columns = (room + page.GAP_PX) // cell[0]
            most_rows = (room - MAX_HEAD_PX + page.GAP_PX) // cell[1]
            if most_columns * most_rows < num:
                continue
            if stride > 1 and num_lines == 2:
                break
            square = round((1.5 * num * cell[1] / cell[0]) ** 0.5)
            wanted = max(PAGE_PX // cell[0], square, -(-num // most_rows))
            num_rows = -(-num // min(wanted, most_columns))
            # The rows are filled evenly.
            return Layout(pixels, stride, side, cell, -(-num // num_rows), num_lines)
    raise ValueError(f"{num} kernels are more than a picture of {room} px has room for")


def draw_filters(kernels: NDArray[np.float32], title: str, subtitle: str) -> Image.Image:
    """Draw the kernels of a convolution of one input channel.

    Each is gray from its own greatest absolute weight, negative (black), over 0 (middle gray) to
    the same, positive (white): batch norm makes the size of a kernel's weights as good as any
    other, and their pattern is what is looked for.

    Args:
        kernels: float32 (N, rows, columns), rows equal columns.
        title: The convolution's name.
        subtitle: More sentences of explanation.

    Returns:
        An RGB picture, neither side longer than 4000 px.
    """
    stats = kernel_stats(kernels)
    layout = lay_out(len(kernels), kernels.shape[1])
    content = max(page.MIN_CONTENT_PX, layout.num_columns * layout.cell[0] - page.GAP_PX)
    explanation = [*_explain(stats, layout, kernels.shape[1]), subtitle]
    heading = page.Heading.of(title, explanation, content)
    bar_top = heading.bottom + page.LABEL_PX
    top = bar_top + page.BAR_HEIGHT_PX + page.GAP_PX
    last = layout.box(len(kernels) - 1, top)
    canvas = heading.new_page(last[3] + (layout.num_lines - 1) * page.LABEL_PX)
    draw = ImageDraw.Draw(canvas)
    grays = kernel_grays(np.linspace(-1, 1, 255, dtype=np.float32))[:, None].repeat(3, axis=1)
    ticks = ((0.0, "- greatest |weight|"), (0.5, "0"), (1.0, "+ greatest |weight|"))
    page.draw_color_bar(canvas, (page.MARGIN_PX, bar_top), grays, ticks, name="weight")
    dead = set(stats.dead)
    for index, kernel in enumerate(kernels):
        box = layout.box(index, top)
        if index in dead:
            drawing.cross_out(draw, box)
        else:
            grays = kernel_grays(kernel)[:: layout.stride, :: layout.stride]
            large = grays.repeat(layout.pixels, axis=0).repeat(layout.pixels, axis=1)
            canvas.paste(Image.fromarray(large).convert("RGB"), box[:2])
        drawing.frame(draw, box)
        draw_label(draw, stats, index, layout, box, is_dead=index in dead)
    return canvas


def _explain(stats: KernelStats, layout: Layout, kernel_size: int) -> Iterator[str]:
    """Yield sentences that explain the picture."""
    num = len(stats.norm)
    dead = stats.dead
    which = f": {', '.join(map(str, dead))}" if 0 < len(dead) <= 8 else ""
    yield f"{quantity(num, 'kernel')} of {kernel_size} x {kernel_size} weights;"
    yield f"{len(dead) or 'none'} dead{which}{' (no weight; crossed out)' if dead else ''}."
    yield "Each has a scale of its own, symmetric about 0: dark is negative, light is positive."
    if layout.num_lines == 2:
        yield "Above it: its number and Euclidean norm; below it: its least and greatest weight."
    if layout.stride > 1:
        yield f"There is room for one in {layout.stride} rows and columns of weights."


def draw_label(
    draw: ImageDraw.ImageDraw,
    stats: KernelStats,
    index: int,
    layout: Layout,
    box: Box,
    *,
    is_dead: bool,
) -> None:
    """Draw a kernel's number, its norm or ``dead``, and its range."""
    left, top = box[0], box[1] - page.LABEL_PX + 1
    draw.text((left, top), str(index), fill=DARK, font=drawing.font())
    if layout.num_lines < 2:
        return
    right = left + layout.cell[0] - page.GAP_PX
    norm = "dead" if is_dead else f"norm {stats.norm[index]:.3g}"
    place = (max(box[2], right if layout.side < FIGURES_PX else 0), top)
    color = DARK if is_dead else GRAY
    draw.text(place, norm, fill=color, font=drawing.font(), anchor="ra")
    extent = f"{stats.minimum[index]:.3g} to {stats.maximum[index]:.3g}"
    draw.text((left, box[3] + 4), extent, fill=GRAY, font=drawing.font())
