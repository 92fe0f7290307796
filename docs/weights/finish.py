"""Average the models of two rounds, and store the matrices as float16.

    python docs/weights/finish.py FIRST SECOND OUTPUT

The mean of the weights before and after a round reads better than either (Wortsman et al. 2022,
"Model soups"). Everything else is the second's, but for the results of its validation, which are
not those of the mean. What is stored as float16 is read as float32: export the graph from the
result.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from exprocr.core.model.artifact import ModelFile


def main() -> None:
    """Write the averaged model."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("first", type=Path)
    parser.add_argument("second", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    first, second = ModelFile.load(args.first), ModelFile.load(args.second)
    weights = {}
    for name, values in second.weights.items():
        mean = np.mean([first.weights[name], values], axis=0, dtype=np.float64)
        dtype = np.float16 if values.ndim > 1 else values.dtype
        weights[name] = np.asarray(mean, dtype=dtype)  # a count has no axes
    facts = {k: v for k, v in second.training.items() if not k.startswith("val_")}
    facts["averaged_with"] = [first.weights_digest()]
    replace(second, weights=weights, training=facts).save(args.output)


if __name__ == "__main__":
    main()
