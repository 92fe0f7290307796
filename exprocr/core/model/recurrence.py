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


def bidirectional_gru(frames: Tensor, gru: nn.GRU) -> Tensor:
    """Compute ``gru(frames)[0]``, with gradients.

    Args:
        frames: (T, N, in).
        gru: One layer, bidirectional, with biases.

    Returns:
        (T, N, 2 * H), the forward direction first; under autocast, in its dtype.
    """
    dtype = torch.get_autocast_dtype("cpu") if torch.is_autocast_enabled("cpu") else frames.dtype
    parameters = dict(gru.named_parameters())
    names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
    both = [torch.stack([parameters[n], parameters[n + "_reverse"]]).to(dtype) for n in names]
    with torch.autocast("cpu", enabled=False):
        output: Tensor = _BidirectionalGRU.apply(frames.to(dtype), *both)  # type: ignore[no-untyped-call]
    return output


class _BidirectionalGRU(torch.autograd.Function):
    """The equations of `torch.nn.GRU`, with backpropagation through time (Werbos 1990).

        r = sigmoid(x_r + W_r h + b_r)          n = tanh(x_n + r * (W_n h + b_n))
        z = sigmoid(x_z + W_z h + b_z)          h' = n + z * (h - n)

    where x_r, x_z and x_n are the contributions of the inputs. Shapes: T frames, N batch, I inputs,
    H units. A leading 2 are the directions, each with its frames in its own order.
    """

    @staticmethod
    def forward(
        ctx: Any, frames: Tensor, w_in: Tensor, w_hidden: Tensor, b_in: Tensor, b_hidden: Tensor
    ) -> Tensor:
        (t, n, _), units = frames.shape, w_hidden.shape[2]
        split = 2 * units  # reset and update gates come before
        inputs = torch.stack([frames, frames.flip(0)]).flatten(1, 2)  # (2, T*N, I)
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
        return torch.cat([states[0, 1:], states[1, 1:].flip(0)], dim=2)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
        inputs, w_in, w_hidden, gates, inner_new, states = ctx.saved_tensors
        reset, update, new = gates.chunk(3, dim=3)  # (2, T, N, H) each
        _, t, n, units = new.shape
        before = states[:, :-1]
        # The gates' gradients are the hidden state's times these factors, which need no loop.
        to_new = (1 - update) * (1 - new * new)
        to_reset = to_new * inner_new * reset * (1 - reset)
        to_update = (before - new) * update * (1 - update)
        factors = torch.stack([to_reset, to_update, to_new * reset], dim=3)  # (2, T, N, 3, H)
        grad_forward, grad_backward = grads[0].chunk(2, dim=2)
        grad_states = torch.stack([grad_forward, grad_backward.flip(0)])
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
        grad_frames = grad_inputs[0] + grad_inputs[1].flip(0)
        return grad_frames, grad_inner.mT @ inputs, grad_w_hidden, grad_inner.sum(1), grad_b_hidden
