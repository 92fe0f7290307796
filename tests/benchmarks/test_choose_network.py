"""The mean of networks: each weight is the mean of theirs, and nothing else changes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from docs.weights.choose_network import mean
from exprocr.core.model.artifact import ModelFile
from exprocr.core.text.charset import Charset


def test_each_weight_is_the_mean_of_all() -> None:
    model = ModelFile.load("bundled")
    rng = np.random.default_rng(0)
    others = [
        replace(
            model,
            temperature=5.0,
            weights={
                name: rng.normal(size=values.shape).astype(values.dtype)
                for name, values in model.weights.items()
            },
        )
        for _ in range(2)
    ]
    found = mean([model, *others])
    assert found.temperature == model.temperature
    assert list(found.weights) == list(model.weights)
    for name, values in found.weights.items():
        first, second, third = (m.weights[name].astype(np.float64) for m in (model, *others))
        assert isinstance(values, np.ndarray)
        assert values.dtype == model.weights[name].dtype
        counts = not np.issubdtype(values.dtype, np.floating)  # of batches, which are whole
        expected = (first + second + third) / 3
        np.testing.assert_allclose(values, expected, rtol=1e-6, atol=counts)


def test_only_networks_of_a_kind_are_averaged() -> None:
    model = ModelFile.load("bundled")
    reversed_charset = Charset(model.charset.characters[::-1])
    with pytest.raises(ValueError, match="expected the charset of "):
        mean([model, replace(model, charset=reversed_charset)])
