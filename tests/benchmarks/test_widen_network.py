"""A widened network reads what it read before, and its new units can learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from docs.weights.widen_network import widen
from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.torch_engine import build_network

CPU = torch.device("cpu")


def test_a_widened_network_gives_the_same() -> None:
    model = ModelFile.load("bundled")
    fc1_units, gru_units = model.model.fc1_units + 7, model.model.gru_units + 5
    wider = widen(model, fc1_units, gru_units, 0.3)
    assert (wider.model.fc1_units, wider.model.gru_units) == (fc1_units, gru_units)
    assert wider.model.dropout == 0.3
    pictures = torch.rand(3, 1, model.preprocess.height, 120, generator=torch.manual_seed(0))
    narrow_output: Tensor = build_network(model, CPU).eval()(pictures)
    network = build_network(wider, CPU).eval()
    output: Tensor = network(pictures)
    assert torch.allclose(output, narrow_output, atol=1e-4)
    # The way out of the new units has gradients, so that they are in use after a step.
    output[..., 1].sum().backward()  # type: ignore[no-untyped-call]
    gradient = network.fc2.weight.grad
    assert gradient is not None
    new = np.r_[
        model.model.gru_units : gru_units, model.model.gru_units + gru_units : 2 * gru_units
    ]
    assert torch.all(gradient[1, new] != 0)


@pytest.mark.parametrize("units", [(4, 500), (500, 4)])
def test_a_network_is_not_made_narrower(units: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match=r"expected \(\d+, \d+\) units or more, found"):
        widen(ModelFile.load("bundled"), *units, 0.0)
