"""Give a model's fc1 and GRUs more units, without a change of what it reads.

    python docs/weights/widen_network.py MODEL WIDER --fc1-units 192 --gru-units 128 \
        --dropout 0.1

Run it from the checkout's root. The new units' incoming weights are random, and their outgoing
weights to the old units are zero. So the wider model reads the same, and training goes on from
there (Chen, Goodfellow and Shlens 2016, "Net2Net", who copy units instead).
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from exprocr.core.config.schema import ModelConfig
from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.network import Network

SEED = 5


def widen(model: ModelFile, fc1_units: int, gru_units: int, dropout: float) -> ModelFile:
    """Return the model with more units and a new dropout.

    Raises:
        ValueError: The directions of its first GRU are added up, or it has more units.
    """
    if model.model.gru1_merge != "concat":
        raise ValueError(f"expected GRUs that concatenate, found {model.model.gru1_merge!r}")
    at_least = model.model.fc1_units, model.model.gru_units
    if fc1_units < at_least[0] or gru_units < at_least[1]:
        raise ValueError(f"expected {at_least} units or more, found {(fc1_units, gru_units)}")
    config = replace(model.model, fc1_units=fc1_units, gru_units=gru_units, dropout=dropout)
    torch.manual_seed(SEED)
    network = Network(config, model.preprocess.height, model.charset.num_classes)
    weights = {name: tensor.numpy() for name, tensor in network.state_dict().items()}
    for name, narrow in model.weights.items():
        if narrow.shape == weights[name].shape:
            weights[name] = narrow
        else:
            places = _places(name, narrow.shape, model.model, config)
            weights[name][places[0]] = 0.0
            weights[name][np.ix_(*places)] = narrow
    return replace(model, model=config, weights=weights)


def _places(
    name: str, shape: tuple[int, ...], old: ModelConfig, new: ModelConfig
) -> list[NDArray[np.int64]]:
    """Return where a tensor's old rows and columns are among the new ones."""
    gru = np.arange(old.gru_units)
    places = [np.arange(size) for size in shape]
    if name.startswith("gru"):
        places[0] = np.concatenate([gate * new.gru_units + gru for gate in range(3)])
    if name == "fc2.weight" or name.startswith("gru2.gru.weight_ih"):
        places[1] = np.concatenate([gru, new.gru_units + gru])
    return places


def main() -> None:
    """Write the wider model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", help="model file, run, or bundled")
    parser.add_argument("wider", type=Path)
    parser.add_argument("--fc1-units", type=int, required=True)
    parser.add_argument("--gru-units", type=int, required=True)
    parser.add_argument("--dropout", type=float, required=True)
    args = parser.parse_args()
    model = ModelFile.load(args.model)
    widen(model, args.fc1_units, args.gru_units, args.dropout).save(args.wider)


if __name__ == "__main__":
    main()
