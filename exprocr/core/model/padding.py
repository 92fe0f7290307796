"""What is padding in a batch of pictures of several widths, and stages that leave it out.

A batch is as wide as its widest picture. The others have padding on their right. Padding is kept at
zero after every stage, so that a convolution sees there what it sees beyond the edge of a picture.
It is left out of the statistics of batch norm. So a picture comes to the same results with padding
as without it, and padding has no gradient.

Shapes: N pictures, C channels, H rows, W columns, T frames.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.modules.batchnorm import _BatchNorm

AddUp = Callable[[Tensor], Tensor]
"""Adds up a tensor over processes, in place, and returns it."""


class Extents:
    """The number of columns that each picture of a batch has; those to the right are padding.

    Args:
        columns: The number of columns of each of the N pictures. Neighbors of one width are
            processed together.
        widest: The number of columns of the batch.
        add_up: Adds up over all processes that have a share of the batch; None where the batch is
            whole.
    """

    def __init__(self, columns: Sequence[int], widest: int, add_up: AddUp | None = None) -> None:
        self.columns = columns
        self.widest = widest
        self.add_up = add_up

    @property
    def share(self) -> float:
        """Return the share of the batch that is no padding."""
        return sum(self.columns) / (self.widest * len(self.columns))

    def after(self, layer: Callable[[int], int]) -> Extents:
        """Return the extents of a layer's output; ``layer`` maps numbers of columns."""
        columns = [layer(columns) if columns else 0 for columns in self.columns]
        return Extents(columns, layer(self.widest), self.add_up)

    def clear_maps(self, maps: Tensor) -> None:
        """Set the padding of (N, C, H, W) to zero, in place."""
        for first, last, columns in self._runs():
            maps[first:last, :, :, columns:].zero_()

    def clear_frames(self, frames: Tensor) -> None:
        """Set the padding of (T * N, C) to zero, in place."""
        frames = frames.view(self.widest, len(self.columns), -1)
        for first, last, columns in self._runs():
            frames[columns:, first:last].zero_()

    def _runs(self) -> list[tuple[int, int, int]]:
        """Return runs of padded pictures of one width: the first, the last + 1, the columns."""
        runs, first = [], 0
        for columns, equal in groupby(self.columns):
            last = first + len(list(equal))
            if columns < self.widest:
                runs.append((first, last, columns))
            first = last
        return runs


def normalize(values: Tensor, norm: _BatchNorm, extents: Extents) -> Tensor:
    """Compute ``norm(values)`` over what is no padding; the padding of the result is undefined.

    With fixed statistics, these are those of the norm. Else they are computed, and the running ones
    updated, as PyTorch does over pictures without padding (Ioffe & Szegedy 2015, algorithm 1): the
    padding of ``values`` is set to zero, in place, and the mean m and the variance v of all M
    positions, one fast pass, give those of the V positions that are no padding, with a = M / V:

        mean = sum(x) / V = a m         variance = a (m^2 + v) - mean^2 = a (v - (a - 1) m^2)

    Args:
        values: (N, C, H, W), or frames (T * N, C).
        norm: Batch norm of C channels.
        extents: The columns, or the frames, of each picture.
    """
    if not norm.training:
        result: Tensor = norm(values)
        return result
    assert norm.running_mean is not None
    assert norm.running_var is not None
    assert norm.num_batches_tracked is not None
    assert norm.momentum is not None
    with torch.no_grad():
        _clear(values, extents)
        statistics = _own_statistics if extents.add_up is None else _shared_statistics
        mean, variance, num_valid = statistics(values, norm.running_mean, extents)
        unbiased = variance * (num_valid / (num_valid - 1))
        mean, variance, unbiased = (s.to(norm.running_mean) for s in (mean, variance, unbiased))
        norm.num_batches_tracked.add_(1)
        norm.running_mean.lerp_(mean, norm.momentum)
        norm.running_var.lerp_(unbiased, norm.momentum)
    result = _Normalize.apply(  # type: ignore[no-untyped-call]
        values, norm.weight, norm.bias, mean, variance, norm.eps, extents, num_valid
    )
    return result


def _own_statistics(
    values: Tensor, like: Tensor, extents: Extents
) -> tuple[Tensor, Tensor, Tensor | float]:
    """Return the mean and the variance of a whole batch, and the number of its positions, V."""
    num = values.numel() // values.shape[1]
    excess = 1 / extents.share
    mean, unbiased = _moments(values, like)
    variance = excess * (unbiased * ((num - 1) / num) - (excess - 1) * mean.square())
    return mean * excess, variance.clamp_(min=0), num / excess


def _shared_statistics(
    values: Tensor, like: Tensor, extents: Extents
) -> tuple[Tensor, Tensor, Tensor | float]:
    """Return the same of a batch of which this process has a share: float64.

    The sums of the values and of their squares are added up, in double precision, since the
    variance is a small difference of large sums.
    """
    assert extents.add_up is not None
    num = values.numel() // values.shape[1]
    mean, unbiased = (moment.double() for moment in _moments(values, like))
    squares = unbiased * (num - 1) + num * mean.square()
    num_valid = mean.new_full((1,), num * extents.share)
    sums = extents.add_up(torch.cat([num_valid, num * mean, squares]))
    total, of_values, of_squares = torch.split(sums, [1, len(mean), len(mean)])
    mean = of_values / total
    return mean, (of_squares / total - mean.square()).clamp_(min=0), total


def rectify(values: Tensor, extents: Extents) -> Tensor:
    """Apply ReLU and set the padding to zero, both in place; the padding has no gradient.

    Args:
        values: (N, C, H, W), or frames (T * N, C).
        extents: The columns, or the frames, of each picture.
    """
    result: Tensor = _Rectify.apply(values, extents)  # type: ignore[no-untyped-call]
    return result


def _clear(values: Tensor, extents: Extents) -> None:
    if values.dim() == 4:
        extents.clear_maps(values)
    else:
        extents.clear_frames(values)


def _moments(values: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the unbiased variance of each channel, in the precision of ``like``."""
    if values.device.type not in ("cpu", "cuda"):  # where PyTorch lacks the kernel below
        axes = [axis for axis in range(values.dim()) if axis != 1]
        variance, mean = torch.var_mean(values.to(like.dtype), axes)
        return mean, variance
    mean, variance = torch.zeros_like(like), torch.zeros_like(like)
    # With this momentum, the running statistics are those of the batch. The kernel's results would
    # have the precision of the values.
    torch.batch_norm_update_stats(values, mean, variance, 1.0)
    return mean, variance


class _Normalize(torch.autograd.Function):
    """Batch norm with given statistics of the batch; the gradient goes through them too.

    With the gradient g of the output, zero in the padding, x' the normalized values and s = gamma /
    sqrt(variance + epsilon), the gradient of the input is (Ioffe & Szegedy 2015, section 3)

        s (g - P g / V),    P g = sum(g) + x' sum(g x').
    """

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        variance: Tensor,
        eps: float,
        extents: Extents,
        num_valid: Tensor | float,
    ) -> Tensor:
        ctx.save_for_backward(values, weight, mean, variance)
        ctx.eps, ctx.extents, ctx.num_valid = eps, extents, num_valid
        # Not in training mode: with these statistics.
        return torch.native_batch_norm(values, weight, bias, mean, variance, False, 0.0, eps)[0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        gradients = _own_gradients if ctx.extents.add_up is None else _shared_gradients
        found = gradients(ctx, grads[0], *ctx.saved_tensors)
        _clear(found[0], ctx.extents)
        return *found, None, None, None, None, None


def _own_gradients(
    ctx: Any, grad: Tensor, values: Tensor, weight: Tensor, mean: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of the input, gamma and beta, for a whole batch.

    PyTorch's kernel divides by M, the number of all positions. With a = M / V, this is its result
    for a gamma of a times the size, minus (a - 1) s g.
    """
    excess, inverse = 1 / ctx.extents.share, (variance + ctx.eps).rsqrt()
    of_values, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
        grad, values, weight * excess, None, None, mean, inverse, True, ctx.eps, [True] * 3
    )
    scale = weight * inverse * (1 - excess)
    return of_values.addcmul_(grad, _as_channels(scale, grad)), of_weight, of_bias


def _shared_gradients(
    ctx: Any, grad: Tensor, values: Tensor, weight: Tensor, mean: Tensor, variance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the same for a share of a batch; the sums in P g are over all shares."""
    # With fixed statistics: s g, and the sums of g x' and of g over this share.
    of_values, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(
        grad, values, weight, mean, variance, None, None, False, ctx.eps, [True] * 3
    )
    sums = ctx.extents.add_up(torch.cat([of_weight, of_bias]))
    of_products, of_grads = (sums / ctx.num_valid.float()).chunk(2)
    inverse = (variance + ctx.eps).rsqrt()
    # x' is (x - mean) / deviation, so that P g is linear in x.
    slope = -weight * inverse * inverse * of_products
    offset = -weight * inverse * of_grads - slope * mean
    of_values.addcmul_(values, _as_channels(slope, grad)).add_(_as_channels(offset, grad))
    return of_values, of_weight, of_bias


def _as_channels(factors: Tensor, like: Tensor) -> Tensor:
    """Return (C,) so that it multiplies the channels of a tensor, in its precision."""
    return factors.to(like.dtype).view((1, -1) + (1,) * (like.dim() - 2))


class _Rectify(torch.autograd.Function):
    """ReLU that clears the padding, in place."""

    @staticmethod
    def forward(ctx: Any, values: Tensor, extents: Extents) -> Tensor:
        torch.relu_(values)
        _clear(values, extents)
        ctx.mark_dirty(values)
        ctx.save_for_backward(values)
        return values

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        # Where the result is zero, as in the padding, the gradient is zero.
        (values,) = ctx.saved_tensors
        return torch.ops.aten.threshold_backward(grads[0], values, 0), None
