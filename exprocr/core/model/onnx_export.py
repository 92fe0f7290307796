"""Writing a model's graph, after checking that it gives the same results as PyTorch.

write_graph(ModelFile.load("runs/a"), Path("runs/a/model.onnx"))
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from exprocr.core.config.schema import MAX_WIDTH_PX
from exprocr.core.image.preprocess import padded_width
from exprocr.core.model.artifact import METADATA_KEY, ModelFile
from exprocr.core.model.geometry import num_frames
from exprocr.core.model.onnx_engine import DIGEST_KEY, OnnxEngine
from exprocr.core.model.onnx_graph import build_graph
from exprocr.core.model.torch_engine import TorchEngine, build_network, pick_device
from exprocr.core.system.files import atomic_write
from exprocr.errors import ModelFileError

TOLERANCE = 1e-4
"""Largest allowed difference between the log-probabilities and PyTorch's, in nats."""

BATCH_SIZES = (1, 5, 2, 3, 1)


def write_graph(model: ModelFile, path: Path) -> float:
    """Build the graph of a model, check it, and write it with the model's metadata.

    Returns:
        The largest difference between the log-probabilities and PyTorch's, in nats.

    Raises:
        ModelFileError: The weights do not fit the configuration, or the graph's results differ from
            PyTorch's. Nothing is written then.
        OutputError: The file cannot be written.
    """
    device = pick_device("cpu")
    engine = TorchEngine(build_network(model, device), device)
    metadata = {**model.metadata(), DIGEST_KEY: model.weights_digest()}
    graph = build_graph(model, {METADATA_KEY: json.dumps(metadata)}).SerializeToString()
    difference = 0.0
    onnx_engine = OnnxEngine(graph, str(path))
    for pictures in check_pictures(model):
        expected, found = engine.log_probs(pictures), onnx_engine.log_probs(pictures)
        if expected.shape != found.shape:
            raise ModelFileError(
                f"{model.name}: expected a graph that gives {expected.shape} for pictures of "
                f"{pictures.shape}, found {found.shape}; it is not written"
            )
        with np.errstate(invalid="ignore"):  # inf - inf
            apart = float(np.abs(expected - found).max())
        if not apart <= TOLERANCE:  # also true for NaN
            raise ModelFileError(
                f"{model.name}: expected a graph whose log-probabilities differ by at most "
                f"{TOLERANCE:g} from PyTorch's, found {apart:g} for pictures of "
                f"{pictures.shape}; it is not written"
            )
        difference = max(difference, apart)
    with atomic_write(path) as temporary:
        temporary.write_bytes(graph)
    return difference


def check_pictures(model: ModelFile) -> Iterator[NDArray[np.uint8]]:
    """Yield batches of several widths to check a graph with: strokes of noise, and blank pictures.

    They detect a graph with a fixed batch size or a fixed number of frames.
    """
    rng = np.random.default_rng(0)
    for num, width in zip(BATCH_SIZES, _widths(model), strict=True):
        pictures = rng.integers(0, 256, (num, model.preprocess.height, width)).astype(np.uint8)
        pictures *= rng.random((num, 1, width)) < 0.3  # vertical strokes
        pictures[-1] *= num == 1
        yield pictures


def _widths(model: ModelFile) -> list[int]:
    """Return widths of preprocessed pictures, px; the first is the smallest that has a frame."""
    config = model.preprocess
    step = config.width_multiple
    multiples = range(step, MAX_WIDTH_PX + step, step)
    least = next((width for width in multiples if num_frames(model.model, width)), MAX_WIDTH_PX)
    usual = padded_width(config.width or 3 * config.height, config)
    return [least, *(least + n * step for n in (1, 2, 5)), max(least, usual)]
