"""Saliency of the model in the package shows what it reads by, not where the ink is."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from exprocr.core.model.geometry import LAYERS
from tests.support.saliency_checks import (
    CHANCE,
    INK_MAP,
    INTEGRATED,
    Maps,
    Pictures,
    by_chance,
    by_map,
    cams_of,
    chance_drops,
    correlation,
    drops_of,
    integrated_of,
    lead,
    passes,
    randomized,
    read_pictures,
    spearman,
)

NUM_IMAGES = 200
TOLERANCE = 0.5
"""Coarser integrated gradients than the command's, for the time they take: the finer ones find the
same."""

PUBLISHED = "Grad-CAM of conv3"
BY_COLUMN = "Grad-CAM of conv3, by column"

MOST_ALIKE = 0.3
"""Below this rank correlation, maps share less than a tenth of the variance of their ranks. Maps
of the same weights have 1."""


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return read_pictures(NUM_IMAGES)


@pytest.fixture(scope="module")
def maps(pictures: Pictures) -> dict[str, Maps]:
    found = cams_of(pictures, "conv3") | integrated_of(pictures, TOLERANCE)
    return found | {INK_MAP: pictures.inks.astype(np.float32)}


@pytest.fixture(scope="module")
def drops(pictures: Pictures, maps: dict[str, Maps]) -> dict[str, NDArray[np.float64]]:
    """Return how far each text's log-probability falls, by what was hidden."""
    rng = np.random.default_rng(0)
    found = {CHANCE: chance_drops(pictures, rng)}
    return found | {name: drops_of(pictures, by_map(one, rng)) for name, one in maps.items()}


def test_pictures_are_read(pictures: Pictures) -> None:
    assert pictures.inks.shape == (NUM_IMAGES, 60, 180)
    assert len(set(pictures.targets)) > 150


@pytest.mark.parametrize("name", [BY_COLUMN, INTEGRATED])
def test_hiding_the_most_salient_pixels_costs_more_than_random_ink(
    drops: dict[str, NDArray[np.float64]], name: str
) -> None:
    assert drops[CHANCE].mean() > 0.5  # random ink pixels do matter
    assert drops[name].mean() > drops[CHANCE].mean()
    assert passes(drops[name], drops[CHANCE])


def test_a_weight_for_each_column_finds_more_than_one_for_the_whole_picture(
    drops: dict[str, NDArray[np.float64]],
) -> None:
    # With one weight a channel for all characters together, hardly more is found than by chance.
    assert lead(drops[BY_COLUMN], drops[PUBLISHED][None]) > 3


def test_a_map_of_the_ink_does_not_pass(
    pictures: Pictures, drops: dict[str, NDArray[np.float64]]
) -> None:
    assert not passes(drops[INK_MAP], drops[CHANCE])
    for name in (PUBLISHED, BY_COLUMN, INTEGRATED):  # and is worse than all of them
        assert lead(drops[name], drops[INK_MAP][None]) > 3
    # Nor do other random ink pixels, or pixels anywhere.
    rng = np.random.default_rng(1)
    noise = rng.random(pictures.inks.shape)
    for order in (by_chance(pictures.inks, rng), by_map(noise, rng)):
        assert not passes(drops_of(pictures, order), drops[CHANCE])


def test_maps_turned_round_do_not_pass(
    pictures: Pictures, maps: dict[str, Maps], drops: dict[str, NDArray[np.float64]]
) -> None:
    rng = np.random.default_rng(2)
    for name in (PUBLISHED, BY_COLUMN, INTEGRATED):
        turned = drops_of(pictures, by_map(maps[name][:, ::-1, ::-1], rng))
        assert not passes(turned, drops[CHANCE])


@pytest.mark.parametrize("down_to", LAYERS)
def test_grad_cam_changes_with_the_weights(
    pictures: Pictures, maps: dict[str, Maps], down_to: str
) -> None:
    few = pictures.first(40)
    random = cams_of(few, "conv3", randomized(few, down_to))
    same = cams_of(few, "conv3")
    for name in (PUBLISHED, BY_COLUMN):
        assert correlation(few, same[name], maps[name][:40], on_ink=False) > 0.999
        for on_ink in (False, True):
            alike = correlation(few, random[name], maps[name][:40], on_ink=on_ink)
            assert alike < MOST_ALIKE


@pytest.mark.parametrize("down_to", ["fc2", "fc1", "conv1"])
def test_integrated_gradients_change_with_the_weights(
    pictures: Pictures, maps: dict[str, Maps], down_to: str
) -> None:
    few = pictures.first(8)
    random = integrated_of(few, TOLERANCE, randomized(few, down_to))[INTEGRATED]
    assert correlation(few, random, maps[INTEGRATED][:8], on_ink=True) < MOST_ALIKE
    if down_to == "fc2":
        same = integrated_of(few, TOLERANCE)[INTEGRATED]
        assert correlation(few, same, maps[INTEGRATED][:8], on_ink=True) > 0.999


def test_weights_are_random_from_the_top_down(pictures: Pictures) -> None:
    own, random = pictures.network.state_dict(), randomized(pictures, "gru2").state_dict()
    changed = {name.split(".")[0] for name in own if not torch.equal(own[name], random[name])}
    assert changed == {"gru2", "fc2"}


def test_rank_correlation() -> None:
    one = np.array([3.0, 1.0, 2.0, 5.0])
    assert spearman(one, np.exp(one)) == pytest.approx(1)
    assert spearman(one, -one) == pytest.approx(-1)
    assert spearman(one, np.zeros(4)) == 0
    # Ranks 1.5, 1.5, 3, 4 against 1, 2, 3, 4: 9 / sqrt(4.5 * 5) / 2.
    assert spearman(np.array([0.0, 0, 1, 2]), np.arange(4.0)) == pytest.approx(4.5 / 22.5**0.5)
