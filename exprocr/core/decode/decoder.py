"""From the network's log-probabilities to readings: texts, their probabilities, their characters.

Texts are chosen at temperature 1. Probabilities, and values, which are chosen by sums of them, are
computed from the frames at the temperature that the model was calibrated with (Guo, Pleiss, Sun,
Weinberger, "On Calibration of Modern Neural Networks", ICML 2017):

- the *posterior* of a text among all that the grammar accepts,
- the *grammar mass*, the probability of all of these together, which is low on pictures of
  something else,
- the *confidence*, their product: the probability of the text among all texts there are.

T frames, N samples, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exprocr.choices import DECODERS, MAX_BEAM_WIDTH, MAX_NUM_BEST
from exprocr.core.decode.characters import SpottedCharacter, spot_characters
from exprocr.core.decode.exact import Found
from exprocr.core.decode.forward import align_paths, check_log_probs, forward
from exprocr.core.decode.hypothesis import (
    NOTHING,
    Answer,
    Hypothesis,
    Ids,
    collapse,
    to_labels,
)
from exprocr.core.decode.lattice import Lattice
from exprocr.core.decode.search import find_texts
from exprocr.core.decode.semiring import LOG_IMPOSSIBLE, LOG_ZERO, FloatArray
from exprocr.core.decode.values import find_values
from exprocr.core.text.expression import value_of
from exprocr.core.text.grammar.grammars import Grammar
from exprocr.errors import ConfigError, unknown_name


@dataclass(frozen=True, kw_only=True, slots=True)
class Alternative:
    """A text that a picture may say, and how probable that is."""

    text: str
    """The text."""

    value: Fraction | None
    """Its value; None where it is no expression or divides by zero."""

    probability: float
    """Calibrated probability of the text, or, read by value, of the value: 0..1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """What was read in one sample."""

    alternatives: tuple[Alternative, ...]
    """The most probable texts, the one that was read first; at least one."""

    posterior: float
    """Probability of the text (or value) among all texts of the grammar: 0..1."""

    grammar_mass: float
    """Probability that the network gives to all texts of the grammar together: 0..1."""

    is_proven: bool
    """Whether no text of the grammar is more probable (or value, up to `uncovered`)."""

    uncovered: float | None
    """Read by value: the share of the grammar's mass whose texts were not looked at."""

    characters: tuple[SpottedCharacter, ...]
    """The characters of the text."""


class Decoder:
    """Decodes under a grammar.

    Args:
        grammar: The texts that may be read.
        method: ``greedy`` (best path), ``beam`` (prefix beam search), ``exact`` (the most
            probable text, however long it takes), or ``auto`` (exact, and beam where that takes
            too long).
        beam_width: Prefixes kept by the beam search.
        num_best: Texts wanted; 1 with ``greedy``.
        by_value: Choose the most probable value instead of the most probable text; not with
            ``greedy``.
        temperature: What the logits are divided by before probabilities are computed.

    Raises:
        ConfigError: A value is out of range, or two contradict each other.
    """

    def __init__(
        self,
        grammar: Grammar,
        *,
        method: str = "auto",
        beam_width: int = 10,
        num_best: int = 1,
        by_value: bool = False,
        temperature: float = 1.0,
    ) -> None:
        if method not in DECODERS:
            raise ConfigError(unknown_name("decoder", method, DECODERS, what="decoder"))
        for name, value, high in (
            ("beam_width", beam_width, MAX_BEAM_WIDTH),
            ("n_best", num_best, MAX_NUM_BEST),
        ):
            if not 1 <= value <= high:
                raise ConfigError(f"{name}: expected 1 to {high}, found {value}")
        if method == "greedy" and (num_best > 1 or by_value):
            raise ConfigError(
                "decoder: expected auto, beam or exact for several texts or for values, found "
                "'greedy', which finds one text"
            )
        if not 0 < temperature < np.inf:
            raise ConfigError(f"temperature: expected a number above 0, found {temperature}")
        self.grammar = grammar
        self.method = method
        self.beam_width = beam_width
        self.num_best = num_best
        self.by_value = by_value
        self.temperature = temperature
        self.lattice = Lattice(grammar.automaton)

    def find(self, emissions: FloatArray) -> list[Found]:
        """Find the texts of log-probabilities (T, N, C) without infinities."""
        return find_texts(
            emissions,
            self.lattice,
            self.method,
            beam_width=self.beam_width,
            num_best=self.num_best,
        )

    def __call__(self, log_probs: NDArray[np.floating[Any]]) -> list[Reading]:
        """Decode.

        Args:
            log_probs: (T, N, C) natural logarithms, float; ``-inf`` is allowed.

        Returns:
            N readings. Where no text of the grammar fits into T frames, the empty text with
            confidence 0.

        Raises:
            ValueError: `log_probs` is not a three-dimensional array of numbers with a frame.
        """
        emissions = check_log_probs(log_probs)
        if not emissions.shape[1]:
            return []
        tempered = temper(emissions, self.temperature)
        log_mass = self.lattice.log_mass(np.ascontiguousarray(tempered.transpose(0, 2, 1)))
        if self.by_value:
            answers = find_values(
                tempered,
                log_mass,
                self.grammar,
                self.lattice,
                self.method,
                beam_width=self.beam_width,
                num_best=self.num_best,
            )
        else:
            answers = _rate(self.find(emissions), tempered)
        characters = _characters(tempered, [answer.texts[0] for answer in answers])
        return [
            self._reading(*sample)
            for sample in zip(answers, log_mass.tolist(), characters, strict=True)
        ]

    def _reading(
        self, answer: Answer, log_mass: float, characters: tuple[SpottedCharacter, ...]
    ) -> Reading:
        best = answer.log_probs[0]
        alternatives = []
        for ids, log_prob in zip(answer.texts, answer.log_probs, strict=True):
            text = self.grammar.charset.decode(ids)
            # float32 frames may sum to slightly more than one; a probability may not.
            probability = min(math.exp(log_prob), 1.0)
            alternatives.append(
                Alternative(text=text, value=value_of(text), probability=probability)
            )
        return Reading(
            alternatives=tuple(alternatives),
            posterior=min(math.exp(best - log_mass), 1.0) if best > -np.inf else 0.0,
            grammar_mass=min(math.exp(log_mass), 1.0),
            is_proven=answer.is_proven,
            uncovered=answer.uncovered,
            characters=characters,
        )


def temper(emissions: FloatArray, temperature: float) -> FloatArray:
    """Divide logits, or logarithms of probabilities, by a temperature, and normalize each frame.

    Args:
        emissions: (T, N, C) natural logarithms, no infinities.
        temperature: Above 1 makes probabilities less sure.

    Returns:
        (T, N, C) natural logarithms; each frame sums to 1.
    """
    result = emissions / temperature
    result -= result.max(axis=2, keepdims=True)
    result -= np.log(np.exp(result).sum(axis=2, keepdims=True))
    result[emissions < LOG_IMPOSSIBLE] = LOG_ZERO  # what is impossible stays so
    return result


def _rate(found: Sequence[Found], emissions: FloatArray) -> list[Answer]:
    """Score the texts found under other log-probabilities, (T, N, C).

    The first text stays the first; the others follow by their new scores.
    """
    texts = [[hypothesis.ids for hypothesis in one.hypotheses] for one in found]
    sample = np.array([n for n, several in enumerate(texts) for _ in several], dtype=np.int64)
    labels, lengths = to_labels([ids for several in texts for ids in several])
    scores = iter(forward(emissions, labels, lengths, sample).tolist())
    answers = []
    for one, several in zip(found, texts, strict=True):
        scored = [Hypothesis(ids, next(scores)) for ids in several] or [NOTHING]
        scored[1:] = sorted(scored[1:], key=lambda hypothesis: -hypothesis.log_prob)
        answers.append(
            Answer(
                tuple(hypothesis.ids for hypothesis in scored),
                tuple(hypothesis.log_prob for hypothesis in scored),
                one.is_proven,
            )
        )
    return answers


def _characters(emissions: FloatArray, texts: list[Ids]) -> list[tuple[SpottedCharacter, ...]]:
    """Align each sample's text, and spot its characters."""
    labels, lengths = to_labels(texts)
    path: NDArray[np.int64] = emissions.argmax(axis=2)
    # The best of all paths is the best of the text wherever it spells the text.
    spelt, spelt_lengths = collapse(path)
    longest = min(len(labels), len(spelt))
    other = (spelt_lengths != lengths) | (spelt[:longest] != labels[:longest]).any(axis=0)
    if other.any():
        path[:, other] = align_paths(emissions[:, other], labels[:, other], lengths[other])
    return spot_characters(emissions, labels, lengths, path)
