"""Saliency of the model in the package shows what it reads by, not where the ink is."""

from __future__ import annotations

from dataclasses import dataclass

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

PUBLISHED = "Grad-CAM of conv3"
BY_COLUMN = "Grad-CAM of conv3, by column"

MOST_ALIKE = 0.3
"""Below this rank correlation, maps share less than a tenth of the variance of their ranks. Maps
of the same weights have 1."""

NUM = 200
"""Pictures of the study."""

NUM_INTEGRATED, TOLERANCE = 60, 2.0
"""Those with integrated gradients, which take long and show a clear effect; and their tolerance,
coarser than the command's: the finer ones find the same."""


@dataclass(frozen=True)
class Study:
    """Pictures, their maps by name, and how far each text's log-probability falls, (N,) nats."""

    pictures: Pictures
    maps: dict[str, Maps]
    drops: dict[str, NDArray[np.float64]]
    """By what was hidden: the first pixels of a map, or random ink pixels, (4, N)."""

    def by_others(self, name: str, other: str) -> NDArray[np.float64]:
        """Return what hiding by another map costs, in the pictures that have a map, (M, N)."""
        return np.atleast_2d(self.drops[other])[:, : len(self.maps[name])]


@pytest.fixture(scope="module")
def study() -> Study:
    pictures = read_pictures(NUM)
    maps = cams_of(pictures, "conv3")
    maps |= integrated_of(pictures.first(NUM_INTEGRATED), TOLERANCE)
    maps[INK_MAP] = pictures.inks.astype(np.float32)
    rng = np.random.default_rng(0)
    drops = {CHANCE: chance_drops(pictures, rng)}
    for name, one in maps.items():
        drops[name] = drops_of(pictures.first(len(one)), by_map(one, rng))
    return Study(pictures, maps, drops)


@pytest.fixture(scope="module")
def pictures() -> Pictures:
    return read_pictures(40)


@pytest.fixture(scope="module")
def cams(pictures: Pictures) -> dict[str, Maps]:
    return cams_of(pictures, "conv3")


@pytest.fixture(scope="module")
def integrated(pictures: Pictures) -> Maps:
    return integrated_of(pictures.first(8), 0.5)[INTEGRATED]


@pytest.mark.slow
def test_pictures_are_read(study: Study) -> None:
    assert study.pictures.inks.shape == (NUM, 60, 180)
    assert len(set(study.pictures.targets)) > 0.75 * NUM


@pytest.mark.parametrize("name", [BY_COLUMN, INTEGRATED])
@pytest.mark.slow
def test_hiding_the_most_salient_pixels_costs_more_than_random_ink(study: Study, name: str) -> None:
    assert study.drops[CHANCE].mean() > 0.5  # random ink pixels do matter
    assert passes(study.drops[name], study.by_others(name, CHANCE))
    assert lead(study.drops[name], study.by_others(name, INK_MAP)) > 3


@pytest.mark.slow
def test_a_weight_for_each_column_finds_more_than_one_for_the_whole_picture(study: Study) -> None:
    # With one weight per channel for all characters, hardly more is found than by the ink itself.
    assert lead(study.drops[BY_COLUMN], study.by_others(BY_COLUMN, PUBLISHED)) > 3


@pytest.mark.slow
def test_random_pixels_do_not_pass(study: Study) -> None:
    """Neither other pixels of the ink, nor pixels anywhere."""
    rng = np.random.default_rng(1)
    inks = study.pictures.inks
    for order in (by_chance(inks, rng), by_map(rng.random(inks.shape), rng)):
        assert not passes(drops_of(study.pictures, order), study.drops[CHANCE])


@pytest.mark.parametrize("name", [BY_COLUMN, INTEGRATED])
@pytest.mark.slow
def test_maps_turned_round_find_less(study: Study, name: str) -> None:
    """It is the places that count, not that a piece is hidden in one."""
    turned = study.maps[name][:, ::-1, ::-1]
    order = by_map(turned, np.random.default_rng(2))
    drops = drops_of(study.pictures.first(len(turned)), order)
    assert passes(study.drops[name], drops[None])


@pytest.mark.slow
def test_maps_of_the_same_weights_are_the_same(
    pictures: Pictures, cams: dict[str, Maps], integrated: Maps
) -> None:
    few = pictures.first(8)
    maps = cams_of(few, "conv3") | integrated_of(few, 0.5)
    for name, before in (cams | {INTEGRATED: integrated}).items():
        assert correlation(few, maps[name], before[:8], on_ink=name == INTEGRATED) > 0.999


@pytest.mark.parametrize("down_to", LAYERS)
def test_grad_cam_changes_with_the_weights(
    pictures: Pictures, cams: dict[str, Maps], down_to: str
) -> None:
    random = cams_of(pictures, "conv3", randomized(pictures, down_to))
    for name in (PUBLISHED, BY_COLUMN):
        for on_ink in (False, True):
            assert correlation(pictures, random[name], cams[name], on_ink=on_ink) < MOST_ALIKE


@pytest.mark.parametrize("down_to", [pytest.param("fc2", marks=pytest.mark.slow), "fc1", "conv1"])
def test_integrated_gradients_change_with_the_weights(
    pictures: Pictures, integrated: Maps, down_to: str
) -> None:
    few = pictures.first(8)
    random = integrated_of(few, 0.5, randomized(few, down_to))[INTEGRATED]
    assert correlation(few, random, integrated, on_ink=True) < MOST_ALIKE


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
