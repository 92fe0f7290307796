"""Measuring a recognizer on preprocessed pictures whose texts are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from exprocr.core.decode.forward import text_log_probs
from exprocr.core.evaluation.metrics import Evaluation
from exprocr.core.reading.recognizer import Recognizer


@dataclass(frozen=True)
class LabeledImages:
    """Preprocessed pictures and what they say."""

    inks: list[NDArray[np.uint8]]
    """uint8 (H, W) each, as `exprocr.core.image.preprocess.preprocess` returns them."""

    texts: list[str]
    """The expressions."""

    values: list[Fraction | None]
    """Their values."""


def evaluate(recognizer: Recognizer, images: LabeledImages) -> tuple[Evaluation, float]:
    """Read all pictures and count what is right.

    Returns:
        The counts, and the mean CTC loss of the true texts in nats.

    Raises:
        DataError: A text has a character outside the recognizer's charset.
    """
    counts = Evaluation()
    losses = np.zeros(len(images.inks))
    ids: Sequence[list[int]] = [recognizer.charset.encode(text) for text in images.texts]
    for indices, log_probs in recognizer.log_probs(images.inks):
        losses[indices] = -text_log_probs(log_probs, [ids[i] for i in indices])
        for i, reading in zip(indices, recognizer.decoder(log_probs), strict=True):
            best = reading.alternatives[0]
            counts.add(images.texts[i], images.values[i], best.text, best.value)
    return counts, float(losses.mean())
