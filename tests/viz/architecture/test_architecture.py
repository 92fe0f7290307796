"""The picture of a network, drawn from crafted figures."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from exprocr.viz.architecture import page as layout
from exprocr.viz.architecture.blocks import Scale, draw_block
from exprocr.viz.architecture.page import draw_architecture
from exprocr.viz.architecture.stages import Profile, Stage
from exprocr.viz.canvas import drawing

VIRIDIS_ENDS = {"low": (68, 1, 84), "high": (253, 231, 36)}
FIGURES = ((1, 2000, 0.01), (300, 5000, 0.02), (0, 0, 0.0), (699, 3000, 0.97))
"""Parameters, multiply-adds and seconds of four stages; of 1000, 10,000 and 1."""


def profile(*shapes: tuple[int, ...], input_shape: tuple[int, int, int] = (1, 60, 180)) -> Profile:
    """Return a profile of four stages with these output shapes."""
    shapes = shapes or ((16, 30, 90), (64, 8, 45), (45, 192), (45, 16))
    generator = np.random.default_rng(0)
    stages = []
    for number, (shape, figures) in enumerate(zip(shapes, FIGURES, strict=True)):
        drawn = (min(shape[0], 16), *shape[1:]) if len(shape) == 3 else shape[::-1]
        stages.append(
            Stage(
                name=f"stage{number}",
                made_of="3x3 conv, ReLU",
                shape=shape,
                sees=(5, 7),
                num_parameters=figures[0],
                multiply_adds=figures[1],
                seconds=figures[2],
                values=generator.random(drawn, dtype=np.float32),
            )
        )
    return Profile(stages=tuple(stages), input_shape=input_shape, num_runs=7, place="CPU")


def drawn(
    measured: Profile, reading: str = "1+2 = 3   0.9", size: tuple[int, int] = (180, 60)
) -> NDArray[np.uint8]:
    """Return the picture's pixels."""
    ink = np.zeros(measured.input_shape[1:], dtype=np.uint8)
    canvas = draw_architecture(measured, Image.new("RGB", size, "white"), ink, reading)
    assert canvas.mode == "RGB"
    assert max(canvas.size) <= 4000
    return np.asarray(canvas)


def changed(measured: Profile, number: int, **other: Any) -> Profile:
    stages = list(measured.stages)
    stages[number] = replace(stages[number], **other)
    return replace(measured, stages=tuple(stages))


def body(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Return what is below the line under the columns' names."""
    lines = np.flatnonzero((pixels[:, 24:-24] == drawing.LINE).all(axis=(1, 2)))
    return pixels[int(lines[0]) + 1 :]


def test_totals_and_shares() -> None:
    measured = profile()
    assert (measured.num_parameters, measured.multiply_adds, measured.seconds) == (1000, 10_000, 1)
    assert measured.shares(lambda stage: stage.num_parameters) == [0.001, 0.3, 0, 0.699]
    assert measured.shares(lambda stage: 0) == [0, 0, 0, 0]
    assert measured.timing == "fastest of 7 runs, one picture at a time, CPU"
    assert replace(measured, num_runs=1).timing == "one run, one picture at a time, CPU"


def test_bars_are_as_long_as_the_shares() -> None:
    pixels = drawn(profile())
    lefts = []
    for column, color in enumerate(layout.COLORS):
        mask = (pixels == color).all(axis=2)
        starts = np.flatnonzero(np.diff(mask.any(axis=1).astype(int), prepend=0) == 1)
        lengths = [int(mask[y].sum()) for y in starts]
        figures = [figures[column] for figures in FIGURES if figures[column]]
        total = sum(figures)
        assert lengths == [max(round(132 * figure / total), 1) for figure in figures]
        lefts.append({int(mask[y].argmax()) for y in starts})
    assert all(len(left) == 1 for left in lefts)
    assert lefts == sorted(lefts, key=min)


def test_each_stage_has_its_row() -> None:
    measured = profile()
    before = drawn(measured)
    spans = []
    for number in range(4):
        changes: list[dict[str, Any]] = [{"name": "other"}, {"made_of": "b"}, {"sees": (60, 180)}]
        for other in changes:
            after = drawn(changed(measured, number, **other))
            rows, columns = np.nonzero((before != after).any(axis=2))
            assert columns.min() >= 24 + 416 + 26
            assert columns.max() <= 24 + 416 + 26 + 350
            spans.append((number, rows.min(), rows.max()))
    bars = (before == layout.COLORS[1]).all(axis=2).any(axis=1)
    bar_tops = np.flatnonzero(np.diff(bars.astype(int), prepend=0) == 1)
    for number, top in zip((0, 1, 3), bar_tops, strict=True):  # stage 2 multiplies nothing
        assert min(first for n, first, _ in spans if n == number) < top
        assert top < max(last for n, _, last in spans if n == number)
    for number in range(4):
        assert max(last for n, _, last in spans if n == number) < min(
            [first for n, first, _ in spans if n > number], default=before.shape[0]
        )


def test_the_title_has_the_totals() -> None:
    """Another figure of one stage changes the head too."""
    measured = profile()
    before = drawn(measured)
    for other in ({"num_parameters": 2}, {"multiply_adds": 2001}, {"seconds": 0.02}):
        after = drawn(changed(measured, 0, **other))
        rows = np.flatnonzero((before != after).any(axis=(1, 2)))
        assert rows.min() < 50


@pytest.mark.parametrize("reading", ["1+2 = 3   0.9", "(nothing)   0.9", "1+" * 300, ""])
def test_nothing_reaches_into_the_next_column(reading: str) -> None:
    made_of = "3x3 conv, 512 channels, batch norm, ReLU; " * 16
    measured = profile((512, 60, 180), (512, 1, 4), (180, 8192), (45, 16))
    for number in range(4):
        measured = changed(measured, number, made_of=made_of + "x" * 200, name="conv1")
    measured = replace(measured, place="an accelerator with a very long name " * 4)
    pixels = drawn(measured, reading)
    assert (pixels[:, :22] == 255).all()
    assert (pixels[:, -22:] == 255).all()
    rest = body(pixels)
    for left in (24 + 416 + 3, 24 + 416 + 26 + 350 + 2):
        assert (rest[:, left : left + 20] == 255).all()


def test_long_descriptions_are_cut() -> None:
    short, long, longer = (changed(profile(), 1, made_of="3x3 conv, " * n) for n in (1, 90, 900))
    assert drawn(short).shape[0] < drawn(long).shape[0] == drawn(longer).shape[0] <= 1300


@pytest.mark.parametrize(
    ("input_shape", "shapes"),
    [
        ((1, 60, 4000), ((16, 30, 2000), (64, 8, 1000), (1000, 192), (1000, 16))),
        ((1, 60, 1), ((1, 30, 1), (512, 1, 1), (1, 1), (1, 2))),
        ((1, 6000, 20), ((4096, 3000, 10), (2, 1500, 5), (5, 8192), (5, 16))),
        ((1, 1, 1), ((1, 1, 1), (1, 1, 1), (1, 1), (1, 1))),
    ],
)
def test_any_shape_is_drawn(
    input_shape: tuple[int, int, int], shapes: tuple[tuple[int, ...], ...]
) -> None:
    measured = profile(*shapes, input_shape=input_shape)
    scale = Scale.of(measured)
    for stage in measured.stages:
        block = draw_block(stage.shape, stage.values[..., :50, :50], scale)
        assert min(block.size) >= 4
        assert block.width <= layout.BLOCKS_PX
        assert block.height <= 200
    small = [replace(s, values=s.values[..., :50, :50]) for s in measured.stages]
    pixels = drawn(replace(measured, stages=tuple(small)), size=input_shape[:0:-1])
    assert pixels.shape[1] == layout.WIDTH_PX


def test_blocks_are_in_proportion() -> None:
    measured = profile()
    scale = Scale.of(measured)
    sizes = [draw_block(s.shape, s.values, scale).size for s in measured.stages]
    # 60 x 180 cells are 120 x 360 px; 64 channels are 64 px deep, four fifths to the right.
    assert sizes[0] == (180 + round(0.8 * 16) + 2, 60 + round(0.6 * 16) + 2)
    assert sizes[1] == (90 + round(0.8 * 64) + 2, 16 + round(0.6 * 64) + 2)
    assert sizes[2] == (90 + 2, 96 + 2)  # 192 units, at most 96 px
    assert sizes[3] == (90 + 2, 16 + 2)  # at least 16 px


def test_a_block_shows_the_values() -> None:
    measured = profile()
    scale = Scale.of(measured)
    values = np.zeros((16, 30, 90), dtype=np.float32)
    values[0, 20, 70] = 1
    block = np.asarray(draw_block((16, 30, 90), values, scale))
    (rows, columns) = np.nonzero((block[..., :3] == VIRIDIS_ENDS["high"]).all(axis=2))
    below_top = block.shape[0] - 2 - 60  # the front sheet is lowest, and leftmost
    assert (rows.min() - 1 - below_top, rows.max() - 1 - below_top) == (40, 41)
    assert (columns.min() - 1, columns.max() - 1) == (140, 141)
    sequence = np.zeros((192, 45), dtype=np.float32)
    sequence[96:, 30:] = 1
    block = np.asarray(draw_block((45, 192), sequence, scale))[1:-1, 1:-1, :3]
    bright = (block == VIRIDIS_ENDS["high"]).all(axis=2)
    dark = (block == VIRIDIS_ENDS["low"]).all(axis=2)
    assert bright[48:, 60:].all()
    assert dark[:48].all()
    assert dark[:, :60].all()


def test_more_channels_are_more_sheets() -> None:
    scale = Scale.of(profile())
    values = np.zeros((16, 30, 90), dtype=np.float32)
    heights = []
    for num in (1, 2, 16, 32, 64):
        block = np.asarray(draw_block((num, 30, 90), values[:num], scale))
        middle = block[:, 90]
        sheets = (middle[:, :3] == VIRIDIS_ENDS["low"]).all(axis=1)
        heights.append(int((np.diff(sheets.astype(int), prepend=0) == 1).sum()))
    assert heights[0] == 1
    assert heights == sorted(heights)
    assert heights[-1] > heights[2] > 1


def test_what_is_no_number_is_drawn_gray() -> None:
    measured = profile()
    for value in (np.nan, np.inf, -np.inf):
        values = np.full((192, 45), value, dtype=np.float32)
        drawn(changed(measured, 2, values=values))
        block = np.asarray(draw_block((45, 192), values, Scale.of(measured)))
        assert (block[1:-1, 1:-1, :3] == drawing.LIGHT).all()


def test_drawing_needs_no_torch() -> None:
    code = "import sys, exprocr.viz.architecture.page; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout == "False\n"
