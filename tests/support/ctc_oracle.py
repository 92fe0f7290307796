"""Brute force over every CTC alignment, and random grammars: the oracle of the decoding tests."""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from hypothesis import assume
from hypothesis import strategies as st
from numpy.typing import NDArray

from exprocr.core.decode.semiring import LOG_IMPOSSIBLE
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.automaton import Arcs, Automaton
from exprocr.core.text.grammar.grammars import load_grammar

FloatArray = NDArray[np.float64]
Text = tuple[int, ...]
Path = tuple[int, ...]
Frames = tuple[tuple[int, int], ...]

SMALL_SHAPES = [(1, 2), (1, 4), (2, 3), (3, 4), (4, 2), (4, 4), (5, 3), (5, 4)]
"""(T, C) for which all C ** T paths can be listed."""


GRAMMARS = [
    ("none", "12", 6),
    ("regex:", "12", 4),
    ("regex:1*", "12", 5),
    ("regex:1{3}", "12", 6),
    ("regex:(11|12)*", "12", 6),
    ("regex:1?2?1{0,2}", "12", 6),
    ("regex:(1|2)1+2?", "12", 6),
    ("regex:1(21)*|2(12)*", "12", 6),
    ("regex:[12]{2}3", "123", 6),
    ("digits", "12+", 5),
    ("expression", "1-()", 5),
    ("level1", "12+", 6),
    ("number", "12.", 6),
    ("equation", "1+=", 6),
    ("equation", "1/=…", 6),
    ("equation", "1.-<", 5),
    ("equation", "1×()", 5),
]
"""Names, characters, and T for which all paths can be listed."""


def automaton_of(name: str, characters: str) -> Automaton:
    return load_grammar(name, Charset(characters)).automaton


def random_log_probs(
    seed: int, num_frames: int, num_samples: int, num_classes: int, spread: float = 1.5
) -> FloatArray:
    logits = np.random.default_rng(seed).normal(size=(num_frames, num_samples, num_classes))
    logits *= spread
    logits -= logits.max(axis=2, keepdims=True)
    result: FloatArray = logits - np.log(np.exp(logits).sum(axis=2, keepdims=True))
    return result


def from_probs(rows: list[list[float]]) -> FloatArray:
    """One sample of the given probabilities, a row for each frame."""
    with np.errstate(divide="ignore"):
        result: FloatArray = np.log(np.array(rows, dtype=np.float64))[:, None, :]
    return result


def collapse(path: Path) -> tuple[Text, Frames]:
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
    """The alignments of one text, as pairs of log-probability and path."""

    paths: list[tuple[float, Path]] = field(default_factory=list)

    @property
    def log_prob(self) -> float:
        return log_sum_exp(log_prob for log_prob, _ in self.paths)

    @property
    def prob(self) -> float:
        return math.exp(self.log_prob)


def log_sum_exp(values: Iterable[float]) -> float:
    values = list(values)
    top = max(values, default=-math.inf)
    if top == -math.inf:
        return top
    return top + math.log(math.fsum(math.exp(value - top) for value in values))


def brute_force(log_probs: FloatArray) -> dict[Text, Alignments]:
    """Every text of one sample (T, C), with all its alignments: all C ** T paths."""
    texts: defaultdict[Text, Alignments] = defaultdict(Alignments)
    num_frames, num_classes = log_probs.shape
    rows = log_probs.tolist()
    for path in itertools.product(range(num_classes), repeat=num_frames):
        log_prob = math.fsum(row[label] for row, label in zip(rows, path, strict=True))
        texts[collapse(path)[0]].paths.append((log_prob, path))
    return dict(texts)


def ranked_texts(log_probs: FloatArray, automaton: Automaton) -> list[tuple[Text, float]]:
    """The accepted texts of one sample (T, C) that are possible, the most probable first."""
    scores = {text: found.log_prob for text, found in brute_force(log_probs).items()}
    accepted = [
        (text, score)
        for text, score in scores.items()
        if score > LOG_IMPOSSIBLE and automaton.accepts(text)
    ]
    return sorted(accepted, key=lambda item: -item[1])


@st.composite
def automata(draw: st.DrawFn, characters: str = "ab", max_states: int = 4) -> Automaton:
    """Any automaton over a few characters that accepts something."""
    num_states = draw(st.integers(1, max_states))
    target = st.sampled_from([None, *range(num_states)])
    arcs: Arcs = {
        state: {c: to for c in characters if (to := draw(target)) is not None}
        for state in range(num_states)
    }
    accepting = draw(st.sets(st.sampled_from(range(num_states)), min_size=1))
    automaton = Automaton.build(arcs, 0, frozenset(accepting), Charset(characters))
    assume(automaton is not None)
    assert automaton is not None
    return automaton


@st.composite
def frames_of(draw: st.DrawFn, num_classes: int, max_frames: int = 5) -> FloatArray:
    """Log-probabilities (T, N, C), flat or sure, and some of them -inf."""
    log_probs = random_log_probs(
        seed=draw(st.integers(0, 2**32 - 1)),
        num_frames=draw(st.integers(1, max_frames)),
        num_samples=draw(st.integers(0, 3)),
        num_classes=num_classes,
        spread=draw(st.sampled_from([0.0, 0.3, 1.0, 5.0, 100.0])),
    )
    cut = draw(st.sampled_from([None, None, -1.0, -3.0]))
    return log_probs if cut is None else np.where(log_probs < cut, -np.inf, log_probs)
