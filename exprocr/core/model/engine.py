"""The interface of engines, which compute log-probabilities.

The recognizer knows the network only as an `Engine`. `exprocr.core.model.onnx_engine` runs a graph
in ONNX Runtime, fast and without PyTorch. `exprocr.core.model.torch_engine` runs the network in
PyTorch; training and most visualizations need it.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from exprocr.core.system.processes import usable_processors
from exprocr.core.system.ranks import local_processes


class Engine(Protocol):
    """Computes the log-probabilities of the classes for a batch of pictures."""

    def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Run the network.

        Args:
            pictures: uint8 (N, H, W), 0 background .. 255 strongest ink.

        Returns:
            float32 (T, N, K), natural logarithms.
        """
        ...


def pick_threads(num_threads: int | None) -> int:
    """Return the number of threads to compute with.

    For None, this is the number of usable processors, but at most four: with more threads, such
    small networks gain little and waste processor time. Processes that train together divide the
    processors.
    """
    if num_threads is not None:
        return num_threads
    return min(4, max(1, usable_processors() // local_processes()))
