"""Store the matrices of a model as float16, which are read as float32.

    python docs/weights/halve.py MODEL OUTPUT

Export the graph from the result: its weights are the rounded ones.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np

from exprocr.core.model.artifact import ModelFile


def main() -> None:
    """Write the smaller file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("output", type=Path)
    args = parser.parse_args()
    model = ModelFile.load(args.model)
    weights = {
        name: values.astype(np.float16) if values.ndim > 1 else values
        for name, values in model.weights.items()
    }
    replace(model, weights=weights).save(args.output)


if __name__ == "__main__":
    main()
