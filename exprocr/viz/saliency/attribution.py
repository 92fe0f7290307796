"""The pixels that a reading rests on, by Grad-CAM and by integrated gradients.

Both take the gradient of a *score*: the log-probability of the text (`Text`), or of one of its
characters (`Spot`). The gradient is taken in evaluation mode and leaves nothing on the parameters.

Shapes: N pictures of one width, C channels, H rows, W columns, H' x W' cells of a layer, T
frames, K classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.functional import ctc_loss

from exprocr.core.model.geometry import CONV_LAYERS, check_layer
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import to_input
from exprocr.core.text.charset import BLANK
from exprocr.errors import ModelFileError
from exprocr.viz.saliency.cost import MAX_GRADIENTS
from exprocr.viz.saliency.path_integral import FloatArray, IntArray, integrate

TOLERANCE = 0.02
"""Largest error of integrated gradients, as a share of the score's change."""

BATCH_SIZE = 32


@dataclass(frozen=True)
class Text:
    """A whole reading; its score is log p(text | picture), all alignments of it together."""

    ids: tuple[int, ...]
    """Class ids; none for the empty text, which frames that are all blank give."""

    def score(self, log_probs: Tensor) -> Tensor:
        """Return the CTC loss (Graves et al. 2006, eq. 8 and 14), negated, of (T, K), nats."""
        ids = torch.tensor(self.ids, dtype=torch.long)
        lengths = torch.tensor(len(log_probs)), torch.tensor(len(ids))
        return -ctc_loss(log_probs, ids, *lengths, blank=BLANK, reduction="none")


@dataclass(frozen=True)
class Spot:
    """One character of a reading; its score is the log-probability of its own frames.

    The best alignment's probability is a product over frames (Graves et al. 2006, eq. 2); this is
    the character's factor in it. Unlike the score of the `Text`, it depends on no other character.
    It is a sum, not a mean, so that it is in nats like the text's score.
    """

    label: int
    """Class id."""

    first: int
    """First frame of the character on the best alignment."""

    last: int
    """Last frame, included."""

    def score(self, log_probs: Tensor) -> Tensor:
        """Return the score, from log-probabilities (T, K), nats."""
        return log_probs[self.first : self.last + 1, self.label].sum()


Target = Text | Spot


def score(log_probs: Tensor, targets: Sequence[Target]) -> Tensor:
    """Return the log-probability of each picture's target.

    Args:
        log_probs: (T, N, K) natural logarithms.
        targets: N of them.

    Returns:
        (N,) nats.

    Raises:
        ModelFileError: A score is infinite or NaN: weights are, or a text has too few frames.
    """
    if log_probs.device.type not in ("cpu", "cuda"):
        log_probs = log_probs.cpu()  # PyTorch has no CTC kernel elsewhere
    scores = torch.stack(
        [target.score(one) for target, one in zip(targets, log_probs.unbind(1), strict=True)]
    )
    if not torch.isfinite(scores).all():
        found = next(value for value in scores.tolist() if not math.isfinite(value))
        raise ModelFileError(
            "model: expected a network that gives its reading a probability, found a "
            f"log-probability of {found}"
        )
    return scores


@contextmanager
def _differentiable(network: nn.Module) -> Iterator[None]:
    """Run a network in evaluation mode, so that it can be differentiated by what it is given."""
    training = network.training
    trained = [parameter for parameter in network.parameters() if parameter.requires_grad]
    network.eval()
    for parameter in trained:  # nothing is kept to differentiate by them
        parameter.requires_grad_(False)
    try:
        # cuDNN differentiates recurrent layers in training mode only; PyTorch's own kernels do so
        # in any. It makes no difference elsewhere than on CUDA.
        with torch.enable_grad(), torch.backends.cudnn.flags(enabled=False):
            yield
    finally:
        network.train(training)
        for parameter in trained:
            parameter.requires_grad_(True)


def _batches(num: int, size: int) -> Iterator[slice]:
    """Yield slices of ``size`` out of ``num``."""
    yield from (slice(start, start + size) for start in range(0, num, size))


class GradCam(NamedTuple):
    """What `grad_cam` found."""

    maps: NDArray[np.float32]
    """(N, H', W'), 0 or more: Grad-CAM as it was published."""

    maps_by_column: NDArray[np.float32]
    """(N, H', W'), 0 or more: the same, with weights for each column."""

    scores: NDArray[np.float64]
    """(N,) nats."""


def grad_cam(
    network: Network,
    pictures: NDArray[np.uint8],
    targets: Sequence[Target],
    layer: str,
    device: torch.device,
    *,
    batch_size: int = BATCH_SIZE,
) -> GradCam:
    """Compute Grad-CAM (Selvaraju et al. 2017, eq. 1 and 2) on a convolution module's output.

    Equation 1 averages a channel's gradients over all of its cells. This suits a network that
    pools the picture to one answer. A network that reads has an answer for each column, and a
    channel that speaks for one character speaks against another: the average says little, and
    the map lights up wherever the channel is active. So there is a second map, whose gradients are
    averaged over the rows of a column alone. It is not the paper's.

    Args:
        network: The network; it is left as it was.
        pictures: uint8 (N, H, W), as `exprocr.core.image.preprocess.preprocess` returns them.
        targets: N, what to explain.
        layer: ``conv1``, ``conv2`` or ``conv3``.
        device: Where the network is.
        batch_size: Pictures differentiated at once; see `exprocr.viz.saliency.cost`.

    Raises:
        ConfigError: The layer is no convolution module.
        ModelFileError: See `score`.
    """
    check_layer(layer, CONV_LAYERS)
    kept: list[Tensor] = []

    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> Tensor:
        # A leaf: gradients end here, and what would change it in place fails.
        kept[:] = [output.detach().requires_grad_()]
        return kept[0]

    parts = []
    handle = getattr(network, layer).register_forward_hook(keep)
    try:
        with _differentiable(network):
            for batch in _batches(len(pictures), batch_size):
                scores = score(network(to_input(pictures[batch], device)), targets[batch])
                (gradients,) = torch.autograd.grad(scores.sum(), kept)  # (N, C, H', W')
                values = kept[0].detach()
                parts.append(
                    GradCam(
                        _to_numpy(_weigh(values, gradients, (2, 3))),
                        _to_numpy(_weigh(values, gradients, (2,))),
                        _to_numpy(scores.detach()).astype(np.float64),
                    )
                )
    finally:
        handle.remove()
    return GradCam(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def _weigh(values: Tensor, gradients: Tensor, over: tuple[int, ...]) -> Tensor:
    """Add up channels (N, C, H', W') by their gradients' averages; leave out what is below 0."""
    weights = gradients.mean(dim=over, keepdim=True)  # eq. 1
    return torch.relu((weights * values).sum(dim=1))  # eq. 2


def _to_numpy(values: Tensor) -> NDArray[np.float32]:
    return np.asarray(values.float().cpu().numpy())


@dataclass(frozen=True)
class IntegratedGradients:
    """What `integrated_gradients` found."""

    maps: NDArray[np.float32]
    """(N, H, W) nats: what each pixel adds to the score; below 0 it takes away."""

    scores: NDArray[np.float64]
    """Scores of the pictures, (N,) nats."""

    baselines: NDArray[np.float64]
    """Scores of the blank picture, (N,) nats."""

    num_gradients: NDArray[np.intp]
    """Gradients taken along each path, (N,)."""

    @property
    def gaps(self) -> NDArray[np.float64]:
        """What the maps miss of scores - baselines, (N,) nats; 0 if they are complete."""
        sums = self.maps.sum(axis=(1, 2), dtype=np.float64)
        return np.asarray(np.abs(sums - (self.scores - self.baselines)))


def integrated_gradients(
    network: nn.Module,
    pictures: NDArray[np.uint8],
    targets: Sequence[Target],
    device: torch.device,
    *,
    tolerance: float = TOLERANCE,
    max_gradients: int = MAX_GRADIENTS,
    batch_size: int = BATCH_SIZE,
) -> IntegratedGradients:
    """Compute integrated gradients (Sundararajan et al. 2017, eq. 1) from the blank picture.

    The path is the straight one, from background everywhere (ink 0) to the picture; see
    `exprocr.viz.saliency.path_integral` for how it is divided.

    Args:
        network: The network; it is left as it was.
        pictures: uint8 (N, H, W), as `exprocr.core.image.preprocess.preprocess` returns them.
        targets: N, what to explain.
        device: Where the network is.
        tolerance: Largest gap, as a share of the score's change.
        max_gradients: Most gradients along a path; with fewer than needed, the gap is larger.
        batch_size: Pictures differentiated at once; for both see `exprocr.viz.saliency.cost`.

    Raises:
        ModelFileError: See `score`.
    """
    parts = []
    with _differentiable(network):
        for batch in _batches(len(pictures), batch_size):
            along = _Paths(network, to_input(pictures[batch], device), targets[batch], batch_size)
            num = len(targets[batch])
            parts.append(integrate(num, along.scores, along.densities, tolerance, max_gradients))
    totals, start, end, number = (np.concatenate(values) for values in zip(*parts, strict=True))
    return IntegratedGradients(totals.astype(np.float32), end, start, number)


@dataclass(frozen=True)
class _Paths:
    """The straight paths from the blank picture to pictures (N, 1, H, W)."""

    network: nn.Module
    pictures: Tensor
    targets: Sequence[Target]
    batch_size: int

    def scores(self, path: IntArray, position: FloatArray) -> FloatArray:
        """Return the scores at positions of paths; see `ScoreAt`."""
        found = []
        for batch in _batches(len(path), self.batch_size):
            with torch.no_grad():
                _, scores = self._at(path[batch], position[batch])
            found.append(_to_numpy(scores).astype(np.float64))
        return np.concatenate(found)

    def densities(self, path: IntArray, position: FloatArray) -> NDArray[np.float32]:
        """Return picture times gradient at positions of paths; see `DensityAt`."""
        found = []
        for batch in _batches(len(path), self.batch_size):
            faded, scores = self._at(path[batch], position[batch])
            (gradients,) = torch.autograd.grad(scores.sum(), faded)
            found.append(_to_numpy((gradients * self.pictures[path[batch]])[:, 0]))
        return np.concatenate(found)

    def _at(self, path: IntArray, position: FloatArray) -> tuple[Tensor, Tensor]:
        """Return pictures (M, 1, H, W) with a part of their ink, and their scores (M,)."""
        ink = torch.from_numpy(position.astype(np.float32)).to(self.pictures)
        faded = (self.pictures[path] * ink[:, None, None, None]).requires_grad_()
        return faded, score(self.network(faded), [self.targets[index] for index in path])
