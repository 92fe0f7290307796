"""An engine that reads what it is told, for tests of what stands around the network."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.decode.decoder import Decoder
from exprocr.core.model.geometry import CellAxis
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import load_grammar

CHARSET = Charset("()*+-0123456789")
NUM_FRAMES = 31
FRAME_AXIS = CellAxis(2.0, 6.0)


def log_probs_of(text: str, certainty: float) -> NDArray[np.float32]:
    """Return frames, (T, K), whose best path is ``text``: a character, a blank, a character ..."""
    rest = (1 - certainty) / (CHARSET.num_classes - 1)
    probs = np.full((NUM_FRAMES, CHARSET.num_classes), rest, dtype=np.float32)
    path = np.zeros(NUM_FRAMES, dtype=int)
    path[1 : 2 * len(text) : 2] = CHARSET.encode(text)
    probs[np.arange(NUM_FRAMES), path] = certainty
    return np.log(probs)


class ScriptedEngine:
    """Gives out texts in order, whatever the pictures."""

    def __init__(self, readings: Sequence[tuple[str, float]]) -> None:
        self.readings = list(readings)
        self.shapes: list[tuple[int, ...]] = []

    def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.shapes.append(pictures.shape)
        batch = [self.readings.pop(0) for _ in pictures]
        return np.stack([log_probs_of(*reading) for reading in batch], axis=1)


def scripted_recognizer(
    *readings: tuple[str, float], grammar: str = "none", decoder: str = "greedy", **options: Any
) -> Recognizer:
    """Return a recognizer that gives out texts, each with the certainty of its every frame.

    ``options`` are those of `Decoder`.
    """
    return Recognizer(
        ScriptedEngine(readings),
        PreprocessConfig(),
        Decoder(load_grammar(grammar, CHARSET), method=decoder, **options),
        FRAME_AXIS,
    )
