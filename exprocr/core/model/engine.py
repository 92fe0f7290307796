"""What computes log-probabilities. The recognizer knows nothing else of the network.

An engine is anything with `Engine`'s one method. `exprocr.core.model.onnx_engine` runs a graph in
ONNX Runtime, fast and without PyTorch. `exprocr.core.model.torch_engine` runs the network in
PyTorch, which training and the pictures of the inside need.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exprocr.core.system.processes import usable_processors


class Engine(Protocol):
    """Computes the classes' log-probabilities of a batch of pictures."""

    def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network.

        Args:
            pictures: uint8 (N, H, W), 0 background .. 255 ink.

        Returns:
            float32 (T, N, K), natural logarithms.
        """
        ...


def pick_threads(num_threads: int | None) -> int:
    """Return a number of threads to compute with.

    None takes the processors this process may use, at most four: beyond that networks this
    small gain little and burn processor time.
    """
    return min(4, usable_processors()) if num_threads is None else num_threads
