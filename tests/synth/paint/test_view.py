"""Placing a page in a picture: nothing of the text is lost, and the geometry is what it says."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from exprocr.synth.dice import Dice
from exprocr.synth.looks import Placement
from exprocr.synth.paint.view import View, place

TILTED = Placement(tilt_deg=12.0, perspective=0.3)


def view_of(
    index: int, box: tuple[int, int] = (300, 60), width: int | None = None, height: int = 60
) -> View:
    dice = Dice(np.random.default_rng(index))
    target = dice.between((0.3, 1.0)) * height
    return place(box, target, TILTED, "12+34", width, height, dice)


def seen(view: View, x: float, y: float) -> tuple[float, float]:
    """Return where in the picture a point of the page is, by solving Pillow's equations."""
    a, b, c, d, e, f, g, h = view.coefficients
    matrix = [[a - x * g, b - x * h], [d - y * g, e - y * h]]
    return tuple(np.linalg.solve(matrix, [x - c, y - f]).tolist())


@pytest.mark.parametrize("box", [(300, 60), (40, 60), (900, 50)])
@pytest.mark.parametrize("width", [None, 100, 700])
def test_the_whole_text_is_in_the_picture(box: tuple[int, int], width: int | None) -> None:
    for index in range(100):
        view = view_of(index, box, width)
        assert view.size[1] == 60
        assert width is None or view.size[0] == width
        for dx, dy in ((0, 0), (1, 0), (1, 1), (0, 1)):
            x, y = seen(view, view.origin[0] + dx * box[0], view.origin[1] + dy * box[1])
            assert -0.01 <= x <= view.size[0] + 0.01
            assert 0.9 <= y <= 59.1


def test_what_is_drawn_on_the_page_is_where_the_view_says() -> None:
    for index in range(30):
        view = view_of(index, height=240)
        page = view.new_page()
        x, y = round(view.origin[0]) + 150, round(view.origin[1]) + 30
        page.paste(255, (x - 1, y - 1, x + 2, y + 2))
        levels = np.asarray(view.project(page), dtype=float)
        rows, columns = np.indices(levels.shape) + 0.5
        center = ((columns * levels).sum() / levels.sum(), (rows * levels).sum() / levels.sum())
        assert center == pytest.approx(seen(view, x + 0.5, y + 0.5), abs=0.6)


def test_the_page_reaches_to_the_corners_of_the_picture() -> None:
    for index in range(30):
        view = view_of(index)
        full = Image.new("L", view.page_size, 255)
        assert np.asarray(view.project(full)).min() == 255


def test_a_part_is_the_same_as_in_the_whole() -> None:
    rng = np.random.default_rng(0)
    for index in range(30):
        view = view_of(index)
        page = view.new_page()
        at = (round(view.origin[0]), round(view.origin[1]))
        noise = rng.integers(256, size=(50, 80), dtype=np.uint8)
        page.paste(Image.fromarray(noise), (at[0] + 200, at[1] + 5))
        whole = np.asarray(view.project(page), dtype=int)
        part, left = view.project_part(page, (200, 5, 280, 55), at)
        assert part.width < whole.shape[1]
        again = np.zeros_like(whole)
        again[:, left : left + part.width] = np.asarray(part)
        assert np.abs(again - whole).max() <= 2
