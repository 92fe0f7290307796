"""What was read in one picture, and where."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction

from exprocr.core.decode.characters import SpottedCharacter
from exprocr.core.decode.decoder import Alternative, Reading
from exprocr.core.model.geometry import CellAxis
from exprocr.core.text.charset import BLANK, Charset


@dataclass(frozen=True, kw_only=True)
class Character:
    """One character of a reading, placed in the original picture.

    CTC marks a character in a frame or two, wherever in its strokes: the box is bounded by the
    midpoints between neighbors' marks and says no more than where to look.
    """

    text: str
    """The character."""

    x: int
    """Column at which the network marks it, px from the left edge of the upright picture."""

    box: tuple[int, int, int, int]
    """Left, top, right and bottom, px, right and bottom excluded: approximate."""

    probability: float
    """Probability of the character in its part of the picture, whatever the grammar: 0..1."""

    alternative: str
    """The next most probable character there; empty if it is no character at all."""

    alternative_probability: float
    """Probability of that: 0..1."""

    frames: tuple[int, int] = field(repr=False)
    """First and last frame of the character on the text's best alignment."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What was read in one picture."""

    path: str = ""
    """Where the picture came from."""

    text: str
    """The expression; empty for a picture without any."""

    value: Fraction | None
    """Its exact value; None where the text is no expression or divides by zero."""

    confidence: float
    """Probability that the text (read by value: the value) is right, calibrated on held-out
    images: `posterior` times `grammar_mass`, 0..1."""

    posterior: float = 0.0
    """Probability of the text (or value) among all texts of the grammar: 0..1."""

    grammar_mass: float = 0.0
    """Probability that the network gives to all texts of the grammar together: low where the
    picture says something else, 0..1."""

    alternatives: tuple[Alternative, ...] = field(default=(), repr=False)
    """The most probable texts, the one above first, as many as were asked for."""

    characters: tuple[Character, ...] = field(default=(), repr=False)
    """The characters of the text."""

    is_proven: bool = field(default=False, repr=False)
    """Whether no text of the grammar is more probable."""

    uncovered: float | None = field(default=None, repr=False)
    """Read by value: the share of the grammar's mass whose texts were not looked at."""


@dataclass(frozen=True, kw_only=True)
class View:
    """How the network looked at a picture."""

    size: tuple[int, int]
    """Width and height of the picture, px."""

    frame_axis: CellAxis
    """Where the frames lie in the network's input."""

    scale: float = 1.0
    """Columns of the picture a column of the network's input."""


def to_prediction(reading: Reading, charset: Charset, view: View) -> Prediction:
    """Place a reading in its picture."""
    best = reading.alternatives[0]
    return Prediction(
        text=best.text,
        value=best.value,
        confidence=best.probability,
        posterior=reading.posterior,
        grammar_mass=reading.grammar_mass,
        alternatives=reading.alternatives,
        characters=_place(reading.characters, charset, view),
        is_proven=reading.is_proven,
        uncovered=reading.uncovered,
    )


def _place(
    spotted: Sequence[SpottedCharacter], charset: Charset, view: View
) -> tuple[Character, ...]:
    """Turn frames into columns of the picture."""
    if not spotted:
        return ()
    width, height = view.size
    # A narrow picture is widened with background, in which a spike can lie.
    spikes = [
        min(max(view.frame_axis.center(character.spike) * view.scale, 0.0), width - 1.0)
        for character in spotted
    ]
    middles = [(left + right) / 2 for left, right in itertools.pairwise(spikes)]
    bounds = [0.0, *middles, float(width)]
    if middles:  # the outer characters reach as far out as in
        bounds[0] = max(2 * spikes[0] - middles[0], 0.0)
        bounds[-1] = min(2 * spikes[-1] - middles[-1], float(width))
    return tuple(
        Character(
            text=charset.decode([character.label]),
            x=int(spike),
            box=(int(left), 0, max(math.ceil(right), int(left) + 1), height),
            probability=character.probability,
            alternative=charset.decode([i for i in [character.alternative] if i != BLANK]),
            alternative_probability=character.alternative_probability,
            frames=(character.first, character.last),
        )
        for character, spike, left, right in zip(
            spotted, spikes, bounds[:-1], bounds[1:], strict=True
        )
    )
