"""The contrast is stretched by quantiles, which NumPy computes too, one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from exprocr.core.image.preprocess import FAINTEST_INK, GRAY_LEVEL, stretch_contrast, to_gray
from exprocr.synth.renderer import Renderer
from tests.support.tiny_runs import BUILT_IN


def by_quantiles(gray: NDArray[np.float32]) -> NDArray[np.float32]:
    """Do what `stretch_contrast` says, with NumPy's quantiles."""
    deviation = np.median(gray) - gray
    low, high = np.quantile(deviation, (0.005, 0.995), method="nearest")
    if -low > high:
        deviation, high = -deviation, -low
    if high < FAINTEST_INK:
        return np.zeros_like(gray)
    noise = np.median(np.abs(deviation))
    ink = np.quantile(deviation, [0.95], method="nearest")[0]
    softening = max(4 * GRAY_LEVEL, 3 * noise, 0.25 * ink)
    stretched = np.arcsinh(np.clip(deviation, 0, high) / softening)
    return np.asarray(stretched / np.arcsinh(high / softening), dtype=np.float32)


def check(gray: NDArray[np.float32]) -> None:
    before = gray.copy()
    found = stretch_contrast(gray)
    np.testing.assert_array_equal(found, by_quantiles(gray))
    assert found.dtype == np.float32
    np.testing.assert_array_equal(gray, before)  # which it has only looked at


@settings(max_examples=300)
@given(
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    levels=st.sampled_from([1, 2, 3, 10, 256, 2**20]),
    ink_share=st.sampled_from([0.0, 0.004, 0.006, 0.05, 0.3, 0.6]),
    light=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
@example(height=1, width=1, levels=2, ink_share=0.6, light=False, seed=0)
@example(height=1, width=2, levels=256, ink_share=0.6, light=True, seed=0)
@example(height=40, width=40, levels=256, ink_share=0.004, light=True, seed=1)
def test_any_gray(
    height: int, width: int, levels: int, ink_share: float, light: bool, seed: int
) -> None:
    """Few levels make many ties; ink on more than half of a picture is its background."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, levels, (height, width)) / levels
    ink = rng.random((height, width)) < ink_share
    gray = np.where(ink, 0.1, 0.8 + 0.2 * noise).astype(np.float32)
    check(1 - gray if light else gray)


@pytest.mark.parametrize("light", [False, True])
def test_rendered_pictures(light: bool) -> None:
    renderer = Renderer([BUILT_IN])
    for i in range(40):
        gray = to_gray(renderer.sample(0, 0, i)[1])
        check(1 - gray if light else gray)
        assert stretch_contrast(gray).max() == pytest.approx(1)


@pytest.mark.parametrize("level", [0.0, 0.3, 1.0])
def test_flat_pictures(level: float) -> None:
    for shape in ((1, 1), (3, 5), (60, 180)):
        gray = np.full(shape, level, np.float32)
        check(gray)
        assert not stretch_contrast(gray).any()
