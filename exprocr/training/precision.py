"""The number format of the training steps. Validation, reading and all files are float32."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, Literal

import torch

from exprocr.errors import ConfigError

Precision = Literal["float32", "bfloat16"]


def pick_precision(asked: Literal["auto"] | Precision, device: torch.device) -> Precision:
    """Return the precision ``asked``; ``auto`` is bfloat16 where the device is fast at it.

    Fast at it are CUDA devices with bfloat16, and processors with AVX-512 BF16 or AMX.

    Raises:
        ConfigError: bfloat16 is asked for, and the device does not have it.
    """
    # Older GPUs emulate bfloat16, which is slower than float32.
    on_cuda = partial(torch.cuda.is_bf16_supported, including_emulation=False)
    fast: dict[str, Callable[[], bool]] = {"cuda": on_cuda, "cpu": _processor_has_bfloat16}
    if asked == "bfloat16" and device.type not in fast:
        raise ConfigError(
            f"training.precision: expected auto or float32 on {device.type}, found {asked!r}"
        )
    if asked != "auto":
        return asked
    return "bfloat16" if device.type in fast and fast[device.type]() else "float32"


def mixed_precision(device: torch.device, precision: Precision) -> AbstractContextManager[Any]:
    """Return a context in which matrix products and convolutions have a precision.

    The weights and their gradients stay float32 (Micikevicius et al. 2018, section 3.1). bfloat16
    has the range of float32, so the loss needs no scaling.
    """
    if precision == "float32":  # some devices have no autocast that could be turned off
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def _processor_has_bfloat16() -> bool:
    # Some builds and versions of PyTorch lack one of these or both: there, float32 is right.
    has_kernels = getattr(torch.ops.mkldnn, "_is_mkldnn_bf16_supported", None)
    capabilities: dict[str, bool] = getattr(torch.cpu, "get_capabilities", dict)()
    is_native = any(capabilities.get(name) for name in ("avx512_bf16", "amx_bf16"))
    return is_native and has_kernels is not None and bool(has_kernels())
