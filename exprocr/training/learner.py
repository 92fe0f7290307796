"""The network in training, with what its input and its outputs stand for."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.decode.decoder import Decoder
from exprocr.core.model.geometry import cell_axis
from exprocr.core.model.network import Network
from exprocr.core.model.torch_engine import TorchEngine
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import Grammar, load_grammar


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

    def recognizer(self) -> Recognizer:
        """Return what validates the network.

        It reads without a grammar, like the training images: the curves show the network alone.
        """
        return Recognizer(
            TorchEngine(self.network, self.device),
            self.input_size,
            Decoder(load_grammar("none", self.charset), method="greedy"),
            cell_axis(self.network.config),
        )
