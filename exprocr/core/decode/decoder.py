"""From the network's log-probabilities to readings: texts, their probabilities, their characters.

Texts are chosen at temperature 1. Probabilities are computed at the temperature from the model's
calibration (Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017).
So are values, which are chosen by sums of probabilities.

- The *posterior* is the probability of a text among all texts of the grammar.
- The *grammar mass* is the probability of all texts of the grammar together. It is low if the
  picture shows something else.
- The *confidence* is their product: the probability of the text among all possible texts.

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
from exprocr.core.text.expression import outcome_of
from exprocr.core.text.grammar.grammars import Grammar
from exprocr.errors import ConfigError, unknown_name
from exprocr.words import quantity


@dataclass(frozen=True, kw_only=True, slots=True)
class Alternative:
    """A possible text of a picture, and its probability."""

    text: str
    """The text."""

    value: Fraction | None
    """Its value, that of the left side of an equation; None if it is neither an expression nor an
    equation, or divides by zero."""

    probability: float
    """Calibrated probability, 0..1, of the text, or of its value when reading by value."""

    holds: bool | None = None
    """Whether its relation is true; None if it has no relation or no right side, or a side has no
    value."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Reading:
    """The result of decoding one sample."""

    alternatives: tuple[Alternative, ...]
    """The most probable texts, the chosen one first; at least one."""

    posterior: float
    """Probability of the text (or value) among all texts of the grammar, 0..1."""

    grammar_mass: float
    """Probability of all texts of the grammar together, 0..1."""

    is_proven: bool
    """Whether it is proven that no text (or value) of the grammar is more probable."""

    uncovered: float | None
    """When reading by value: the share of the grammar mass whose texts were not examined."""

    characters: tuple[SpottedCharacter, ...]
    """The characters of the text."""


class Decoder:
    """Decodes under a grammar.

    Args:
        grammar: The allowed texts.
        method: ``greedy`` (best path), ``beam`` (prefix beam search), ``exact`` (the most
            probable text, without a limit of time), or ``auto`` (exact with a limit, and beam
            beyond it).
        beam_width: Number of prefixes that the beam search keeps.
        num_best: Number of texts to find; 1 with ``greedy``.
        by_value: Choose the most probable value instead of the most probable text; not with
            ``greedy``.
        temperature: Divisor of the logits before probabilities are computed.

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

    def __str__(self) -> str:
        """Return how texts are found: ``auto``; ``beam of width 10, by value``."""
        width = f" of width {self.beam_width}" if self.method == "beam" else ""
        return self.method + width + (", by value" if self.by_value else "")

    def unproven_remark(self, number: int) -> str:
        """Return what a user should know of readings that are not proven.

        Args:
            number: How many readings are not proven to be the most probable.

        Returns:
            One line; empty if there are none, or the method promises no proof.
        """
        if not number or self.method not in ("auto", "exact"):
            return ""
        return f"{quantity(number, 'image')}: too many likely readings " + (
            "to be sure which value is the most probable"
            if self.by_value
            else "for exact search; the best that were found are given"
        )

    def find(self, emissions: FloatArray) -> list[Found]:
        """Find the most probable texts of log-probabilities (T, N, C) without infinities."""
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
            N readings. If no text of the grammar fits into T frames: the empty text with
            confidence 0.

        Raises:
            ValueError: `log_probs` does not have three dimensions, has no frame, or has NaN.
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
            # The probabilities of a float32 frame can sum to slightly more than one.
            probability = min(math.exp(log_prob), 1.0)
            value, holds = outcome_of(text)
            alternatives.append(
                Alternative(text=text, value=value, probability=probability, holds=holds)
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
    """Divide log-probabilities by a temperature and normalize each frame.

    Args:
        emissions: (T, N, C) natural logarithms, no infinities.
        temperature: Above 1 it makes probabilities less extreme.

    Returns:
        (T, N, C) natural logarithms; each frame sums to 1.
    """
    result = emissions / temperature
    result -= result.max(axis=2, keepdims=True)
    result -= np.log(np.exp(result).sum(axis=2, keepdims=True))
    result[emissions < LOG_IMPOSSIBLE] = LOG_ZERO  # impossible stays impossible
    return result


def _rate(found: Sequence[Found], emissions: FloatArray) -> list[Answer]:
    """Score the found texts with other log-probabilities (T, N, C).

    The first text stays first; the others are sorted by their new scores.
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
    """Align each sample's text and locate its characters."""
    labels, lengths = to_labels(texts)
    path: NDArray[np.int64] = emissions.argmax(axis=2)
    # If the best of all paths spells the text, it is also the best path of the text.
    spelt, spelt_lengths = collapse(path)
    longest = min(len(labels), len(spelt))
    other = (spelt_lengths != lengths) | (spelt[:longest] != labels[:longest]).any(axis=0)
    if other.any():
        path[:, other] = align_paths(emissions[:, other], labels[:, other], lengths[other])
    return spot_characters(emissions, labels, lengths, path)
