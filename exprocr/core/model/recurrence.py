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

aten = torch.ops.aten


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
    both = [torch.stack([parameters[n], parameters[n + "_reverse"]]) for n in names]
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
    H units. A 2 are the directions, each with its frames in its own order. In both orders padding
    comes last, so that no state of it reaches another frame.

    Products over all frames are in the precision of the inputs. The loops over frames are in that
    of the weights: their products are small, and in bfloat16 they and tanh take more time.
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
        w_in = w_in.to(frames.dtype)
        x = torch.bmm(inputs, w_in.mT).view(2, t, n, 3 * units).transpose(0, 1)
        gates = w_hidden.new_empty(t, 2, n, 3 * units)  # x_r + b_r, x_z + b_z, b_n
        torch.add(x[..., :split], (b_in + b_hidden)[:, None, :split], out=gates[..., :split])
        gates[..., split:] = b_hidden[:, None, split:]
        new = w_hidden.new_empty(t, 2, n, units)
        torch.add(x[..., split:], b_in[:, None, split:], out=new)
        states = w_hidden.new_zeros(t + 1, 2, n, units)
        w_hidden_t = w_hidden.mT.contiguous()
        reset, update, inner = gates.chunk(3, dim=3)  # inner will be W_n h + b_n
        parts = (gates, gates[..., :split], reset, inner, update, new, states[:-1], states[1:])
        for x_and_h, r_and_z, r, w_n, z, candidate, h, next_h in zip(*parts, strict=True):
            x_and_h.baddbmm_(h, w_hidden_t)
            r_and_z.sigmoid_()
            candidate.addcmul_(r, w_n).tanh_()
            torch.lerp(candidate, h, z, out=next_h)
        ctx.save_for_backward(inputs, w_in, w_hidden, gates, new, states)
        ctx.padded = padded
        output = torch.cat([states[1:, 0], reverse(states[1:, 1])], dim=2).to(frames.dtype)
        return output if padded is None else output.masked_fill_(padded.is_padding, 0)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        reverse, padded = ctx.padded or _flip, ctx.padded
        inputs, w_in, w_hidden, gates, new, states = ctx.saved_tensors
        reset, update, inner = gates.chunk(3, dim=3)  # (T, 2, N, H) each
        t, _, n, units = new.shape
        before = states[:-1]
        # The gates' gradients are the hidden state's times these factors, which need no loop.
        factors = new.new_empty(t, 2, n, 3, units)
        to_reset, to_update, to_inner = factors.unbind(3)
        to_new = aten.tanh_backward(1 - update, new)
        torch.mul(to_new, reset, out=to_inner)
        aten.sigmoid_backward(to_new * inner, reset, grad_input=to_reset)
        aten.sigmoid_backward(before - new, update, grad_input=to_update)
        grad = grads[0] if padded is None else grads[0].masked_fill(padded.is_padding, 0)
        grad_forward, grad_backward = grad.chunk(2, dim=2)
        grad_states = torch.stack([grad_forward, reverse(grad_backward)], dim=1).to(new.dtype)
        for i in reversed(range(t)):
            grad_state, grad_inner = grad_states[i], factors[i]
            grad_inner.mul_(grad_state[:, :, None])
            if i:
                grad_before = grad_states[i - 1].addcmul_(grad_state, update[i])
                grad_before.baddbmm_(grad_inner.flatten(2), w_hidden)
        grad_inner = _by_direction(factors.flatten(3), inputs)  # (2, T*N, 3*H)
        grad_w_hidden = grad_inner.mT @ _by_direction(before, inputs)
        grad_b_hidden = grad_inner.sum(1)
        grad_gates = grad_inner  # which differ from them in the last part alone
        last = grad_gates.view(2, t, n, 3 * units)[..., 2 * units :]
        torch.mul(grad_states.transpose(0, 1), to_new.transpose(0, 1), out=last)
        grad_inputs = torch.bmm(grad_gates, w_in).view(2, t, n, -1)
        grad_frames = grad_inputs[0] + reverse(grad_inputs[1])
        grad_w_in, grad_b_in = grad_gates.mT @ inputs, grad_gates.sum(1)
        of_weights = (grad_w_in, grad_w_hidden, grad_b_in, grad_b_hidden)
        return grad_frames, *(grad.to(w_hidden.dtype) for grad in of_weights), None


def _by_direction(values: Tensor, like: Tensor) -> Tensor:
    """Copy (T, 2, N, C) to (2, T*N, C), in the precision of ``like``."""
    t, _, n, c = values.shape
    return like.new_empty(2, t, n, c).copy_(values.transpose(0, 1)).view(2, t * n, c)


def _flip(frames: Tensor) -> Tensor:
    return frames.flip(0)
