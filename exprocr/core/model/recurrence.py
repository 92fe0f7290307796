"""A bidirectional GRU for training on a CPU, faster than PyTorch's.

On the CPU, PyTorch processes one direction after the other, and updates the gradients of the
weights at every frame. Here both directions share each matrix product, and one product over all
frames gives the gradients of the weights.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable


def bidirectional_gru(frames: Tensor, gru: nn.GRU, lengths: Tensor | None = None) -> Tensor:
    """Compute ``gru(frames)[0]``, with gradients.

    Args:
        frames: (T, N, in).
        gru: One layer, bidirectional, with biases.
        lengths: (N,) int64, how many frames of each sequence are no padding, as in
            `torch.nn.utils.rnn.pack_padded_sequence`; None if all are.

    Returns:
        (T, N, 2 * H), the forward direction first, zero in the padding; under autocast, in its
        dtype.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else frames.dtype
    parameters = dict(gru.named_parameters())
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    both = [torch.stack([parameters[n], parameters[n + "_reverse"]]).to(dtype) for n in names]
    with torch.autocast("cpu", enabled=False):
        output: Tensor = _BidirectionalGRU.apply(  # type: ignore[no-untyped-call]
            frames.to(dtype), *both, None if lengths is None else _Reversal(lengths, len(frames))
        )
    return output


class _Reversal:
    """Reverses each sequence of a batch, but leaves its padding at its end.

    Args:
        lengths: (N,) frames of each sequence that are no padding.
        num_frames: T.
    """

    def __init__(self, lengths: Tensor, num_frames: int) -> None:
        t, n = torch.arange(num_frames)[:, None], torch.arange(len(lengths))
        self.is_padding = (t >= lengths)[..., None]  # (T, N, 1)
        sources = torch.where(t < lengths, lengths - 1 - t, t)
        self._rows = (sources * len(lengths) + n).flatten()

    def __call__(self, frames: Tensor) -> Tensor:
        """Reverse (T, N, ...); done twice, it changes nothing."""
        return frames.flatten(0, 1).index_select(0, self._rows).view_as(frames)


class _BidirectionalGRU(torch.autograd.Function):
    """The equations of `torch.nn.GRU`, with backpropagation through time (Werbos 1990).

        r = sigmoid(x_r + W_r h + b_r)          n = tanh(x_n + r * (W_n h + b_n))
        z = sigmoid(x_z + W_z h + b_z)          h' = n + z * (h - n)

    where x_r, x_z and x_n are the contributions of the inputs. Shapes: T frames, N batch, I inputs,
    H units. A leading 2 are the directions, each with its frames in its own order. In both orders
    padding comes last, so that no state of it reaches another frame.
    """

    @staticmethod
    def forward(
        ctx: Any,
        frames: Tensor,
        w_in: Tensor,
        w_hidden: Tensor,
        b_in: Tensor,
        b_hidden: Tensor,
        padded: _Reversal | None,
    ) -> Tensor:
        reverse = padded or _flip
        (t, n, _), units = frames.shape, w_hidden.shape[2]
        split = 2 * units  # reset and update gates come before
        inputs = torch.stack([frames, reverse(frames)]).flatten(1, 2)  # (2, T*N, I)
        gates = torch.baddbmm(b_in[:, None], inputs, w_in.mT).view(2, t, n, 3 * units)
        inner = torch.empty_like(gates)  # W h + b
        states = gates.new_zeros(2, t + 1, n, units)
        w_hidden_t, b_hidden = w_hidden.mT.contiguous(), b_hidden[:, None]
        for i in range(t):
            inner[:, i] = torch.baddbmm(b_hidden, states[:, i], w_hidden_t)
            reset_update, new = gates[:, i, :, :split], gates[:, i, :, split:]
            reset, update = reset_update.add_(inner[:, i, :, :split]).sigmoid_().chunk(2, dim=2)
            new.addcmul_(reset, inner[:, i, :, split:]).tanh_()
            torch.lerp(new, states[:, i], update, out=states[:, i + 1])
        ctx.save_for_backward(inputs, w_in, w_hidden, gates, inner[..., split:], states)
        ctx.padded = padded
        output = torch.cat([states[0, 1:], reverse(states[1, 1:])], dim=2)
        return output if padded is None else output.masked_fill_(padded.is_padding, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        reverse, padded = ctx.padded or _flip, ctx.padded
        inputs, w_in, w_hidden, gates, inner_new, states = ctx.saved_tensors
        reset, update, new = gates.chunk(3, dim=3)  # (2, T, N, H) each
        _, t, n, units = new.shape
        before = states[:, :-1]
        # The gates' gradients are the hidden state's times these factors, which need no loop.
        to_new = (1 - update) * (1 - new * new)
        to_reset = to_new * inner_new * reset * (1 - reset)
        to_update = (before - new) * update * (1 - update)
        factors = torch.stack([to_reset, to_update, to_new * reset], dim=3)  # (2, T, N, 3, H)
        grad = grads[0] if padded is None else grads[0].masked_fill(padded.is_padding, 0)
        grad_forward, grad_backward = grad.chunk(2, dim=2)
        grad_states = torch.stack([grad_forward, reverse(grad_backward)])
        carried = torch.zeros_like(new[:, 0])
        for i in reversed(range(t)):
            grad_state = grad_states[:, i].add_(carried)
            grad_inner = factors[:, i].mul_(grad_state[:, :, None])
            carried = torch.bmm(grad_inner.flatten(2), w_hidden).addcmul_(grad_state, update[:, i])
        grad_inner = factors.view(2, t * n, 3 * units)
        grad_w_hidden = grad_inner.mT @ before.reshape(2, t * n, units)
        grad_b_hidden = grad_inner.sum(1)
        torch.mul(grad_states, to_new, out=factors[..., 2, :])  # now the gradients of the gates
        grad_inputs = torch.bmm(grad_inner, w_in).view(2, t, n, -1)
        grad_frames = grad_inputs[0] + reverse(grad_inputs[1])
        grad_w_in, grad_b_in = grad_inner.mT @ inputs, grad_inner.sum(1)
        return grad_frames, grad_w_in, grad_w_hidden, grad_b_in, grad_b_hidden, None


def _flip(frames: Tensor) -> Tensor:
    return frames.flip(0)
