"""Average the models of some rounds, and store the matrices as float16.

    python docs/weights/finish.py MODEL... OUTPUT

The mean of the weights before and after a round can read better than either (Wortsman et al. 2022,
"Model soups"). A model that is named twice counts twice. Everything else is the last one's, but for
the results of its validation, which are not those of a mean. What is stored as float16 is read as
float32: export the graph from the result.
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
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    *others, last = map(ModelFile.load, args.models)
    weights = {}
    for name, values in last.weights.items():
        every = [model.weights[name] for model in (*others, last)]
        dtype = np.float16 if values.ndim > 1 else values.dtype
        mean = np.mean(every, axis=0, dtype=np.float64)
        weights[name] = np.asarray(mean, dtype=dtype)  # a count has no axes
    facts = dict(last.training)
    if others:
        facts = {k: v for k, v in facts.items() if not k.startswith("val_")}
        facts["averaged_with"] = [model.weights_digest() for model in others]
    replace(last, weights=weights, training=facts).save(args.output)


if __name__ == "__main__":
    main()
