"""The random split into training and validation."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from exprocr.core.data.dataset import split
from exprocr.errors import DataError
from tests.support.data_sets import numbered


@given(st.integers(2, 60), st.floats(0.001, 1.0), st.integers(0, 2**63 - 1))
def test_split_is_a_partition_in_order(num_samples: int, fraction: float, seed: int) -> None:
    samples = numbered(num_samples)
    train, val = split(samples, fraction, seed)
    assert sorted(train + val, key=samples.index) == samples
    assert train == sorted(train, key=samples.index)
    assert val == sorted(val, key=samples.index)
    assert train
    assert val
    assert abs(len(val) - num_samples * fraction) <= 0.5 or 1 in (len(val), len(train))
    assert (train, val) == split(samples, fraction, seed)


def test_split_is_random_and_follows_the_seed() -> None:
    samples = numbered(20)
    held_out = [frozenset(split(samples, 0.25, seed)[1]) for seed in range(200)]
    assert all(len(val) == 5 for val in held_out)
    assert len(set(held_out)) > 190
    counts = np.array([sum(sample in val for val in held_out) for sample in samples])
    assert counts.min() > 20  # 50 expected, standard deviation 6
    assert counts.max() < 80


def test_split_without_validation() -> None:
    assert split(numbered(3), 0.0, 1) == (numbered(3), [])
    assert split([], 0.0, 1) == ([], [])


@pytest.mark.parametrize(("num_samples", "place"), [(0, "^"), (1, "^labels.txt, line 1: ")])
def test_split_of_too_few(num_samples: int, place: str) -> None:
    with pytest.raises(DataError, match=f"{place}expected at least 2 images.*found {num_samples}"):
        split(numbered(num_samples), 0.5, 1)
