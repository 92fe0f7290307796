"""The network in training, with what its input and its outputs stand for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.model.network import Network
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import Grammar


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A network that learns to read."""

    network: Network
    """The network, on ``device``."""

    device: torch.device
    """Where it is computed."""

    input_size: PreprocessConfig
    """The size of its input."""

    charset: Charset
    """The characters of its classes."""

    grammar: Grammar
    """The grammar that its model file asks for."""
