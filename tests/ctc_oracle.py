"""Brute force over every CTC alignment: the oracle of the decoding tests."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Text = tuple[int, ...]
Frames = tuple[tuple[int, int], ...]

SMALL_SHAPES = [(1, 2), (1, 4), (2, 3), (3, 4), (4, 2), (4, 4), (5, 3), (5, 4)]
"""(T, C) for which all C ** T paths can be listed."""


def random_log_probs(
    seed: int, num_frames: int, num_samples: int, num_classes: int, spread: float = 1.5
) -> FloatArray:
    logits = np.random.default_rng(seed).normal(size=(num_frames, num_samples, num_classes))
    logits *= spread
    result: FloatArray = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return result


def from_probs(rows: list[list[float]]) -> FloatArray:
    """One sample of the given probabilities, a row for each frame."""
    with np.errstate(divide="ignore"):
        result: FloatArray = np.log(np.array(rows, dtype=np.float64))[:, None, :]
    return result


def collapse(path: tuple[int, ...]) -> tuple[Text, Frames]:
    """Read a path frame by frame: the text and each character's first and last frame."""
    text: list[int] = []
    frames: list[tuple[int, int]] = []
    previous = 0
    for frame, label in enumerate(path):
        if label != 0 and label == previous:
            frames[-1] = (frames[-1][0], frame)
        elif label != 0:
            text.append(label)
            frames.append((frame, frame))
        previous = label
    return tuple(text), tuple(frames)


@dataclass
class Alignments:
    prob: float = 0.0
    paths: list[tuple[float, Frames]] = field(default_factory=list)


def brute_force(log_probs: FloatArray) -> dict[Text, Alignments]:
    """Every text of one sample (T, C), with all its alignments: all C ** T paths."""
    texts: defaultdict[Text, Alignments] = defaultdict(Alignments)
    num_frames, num_classes = log_probs.shape
    for path in itertools.product(range(num_classes), repeat=num_frames):
        prob = math.exp(sum(log_probs[frame, label] for frame, label in enumerate(path)))
        text, frames = collapse(path)
        texts[text].prob += prob
        texts[text].paths.append((prob, frames))
    return dict(texts)
