"""Fitting the temperature at which a model's confidences agree with how often it is right.

Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017, section 4.2:
one number, by which all logits are divided. It is fitted to the confidences themselves: the texts
are read once, at temperature 1, and then the log loss of "this reading is right" is minimized.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprocr.core.decode.decoder import Decoder, temper
from exprocr.core.decode.forward import check_log_probs, forward
from exprocr.core.decode.hypothesis import to_labels
from exprocr.core.decode.semiring import FloatArray, IntArray
from exprocr.core.evaluation.reliability import Reliability

MIN_TEMPERATURE, MAX_TEMPERATURE = 0.2, 5.0

_STEPS = 24  # golden sections: the logarithm of the temperature to 3e-5


@dataclass(frozen=True)
class Calibration:
    """A fitted temperature, and how well it fits."""

    temperature: float
    """The number by which the logits are divided."""

    reliability: Reliability
    """The confidences at that temperature on the images it was fitted to."""


@dataclass(frozen=True)
class _Read:
    """The readings of one batch."""

    emissions: FloatArray  # (T, N, C)
    labels: IntArray  # (L, N)
    lengths: IntArray  # (N,)


def calibrate(
    batches: Sequence[NDArray[np.floating[Any]]], texts: Sequence[str], decoder: Decoder
) -> Calibration:
    """Fit a temperature on held-out images.

    Args:
        batches: Log-probabilities of the images, (T, N, C) each.
        texts: The true texts of all images, in order.
        decoder: What reads them; its temperature does not matter.

    Returns:
        The temperature, from `MIN_TEMPERATURE` to `MAX_TEMPERATURE`; 1 for no images.
    """
    reads, correct = _read(batches, texts, decoder)
    if not len(correct):
        return Calibration(1.0, Reliability())
    # The targets are not 1 and 0, so that a few right readings do not give certainty (Platt,
    # "Probabilistic Outputs for Support Vector Machines", 1999, section 2.2).
    num_right = int(correct.sum())
    right = (num_right + 1) / (num_right + 2)
    wrong = 1 / (len(correct) - num_right + 2)
    targets = np.where(correct, right, wrong)

    def log_loss(log_temperature: float) -> float:
        scores = np.clip(_log_confidences(reads, math.exp(log_temperature)), -700.0, -1e-12)
        return float(-(targets * scores + (1 - targets) * np.log(-np.expm1(scores))).mean())

    low, high = math.log(MIN_TEMPERATURE), math.log(MAX_TEMPERATURE)
    temperature = math.exp(_minimum(log_loss, low, high))
    confidences = np.exp(_log_confidences(reads, temperature))
    return Calibration(temperature, Reliability(confidences.tolist(), correct.tolist()))


def _read(
    batches: Sequence[NDArray[np.floating[Any]]], texts: Sequence[str], decoder: Decoder
) -> tuple[list[_Read], NDArray[np.bool_]]:
    """Read all batches; return the readings, without empty ones, and which are right."""
    charset = decoder.grammar.charset
    reads: list[_Read] = []
    correct: list[bool] = []
    truths = iter(texts)
    for log_probs in batches:
        emissions = check_log_probs(log_probs)
        found = [f.hypotheses[0].ids if f.hypotheses else None for f in decoder.find(emissions)]
        there = [n for n, ids in enumerate(found) if ids is not None]
        batch_truths = [next(truths) for _ in found]
        chosen = [ids for ids in found if ids is not None]
        correct += [
            charset.decode(ids) == batch_truths[n] for n, ids in zip(there, chosen, strict=True)
        ]
        if chosen:
            reads.append(_Read(emissions[:, there], *to_labels(chosen)))
    return reads, np.array(correct, dtype=bool)


def _log_confidences(reads: Sequence[_Read], temperature: float) -> FloatArray:
    """Return the log of each reading's confidence at a temperature."""
    return np.concatenate(
        [
            forward(
                temper(read.emissions, temperature),
                read.labels,
                read.lengths,
                np.arange(len(read.lengths)),
            )
            for read in reads
        ]
    )


def _minimum(function: Callable[[float], float], low: float, high: float) -> float:
    """Find the minimum of a function with one minimum by golden-section search (Kiefer 1953)."""
    ratio = (math.sqrt(5) - 1) / 2
    left, right = high - ratio * (high - low), low + ratio * (high - low)
    at_left, at_right = function(left), function(right)
    for _ in range(_STEPS):
        if at_left <= at_right:
            high, right, at_right = right, left, at_left
            left = high - ratio * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + ratio * (high - low)
            at_right = function(right)
    return left if at_left <= at_right else right
