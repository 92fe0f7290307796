"""The result of reading a picture, with the positions of its characters."""

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
    """One character of a reading, with its position in the original picture.

    CTC marks a character in one or two frames, anywhere in its strokes. The sides of the box are
    halfway to the neighbors' marks, so its position is only approximate.
    """

    text: str
    """The character."""

    x: int
    """Column of its mark, px from the left edge of the upright picture."""

    box: tuple[int, int, int, int]
    """Left, top, right and bottom, px, right and bottom excluded; approximate."""

    probability: float
    """Probability of the character in its part of the picture, without the grammar, 0..1."""

    alternative: str
    """The most probable other character there; empty if no character is more probable."""

    alternative_probability: float
    """Probability of the alternative, 0..1."""

    frames: tuple[int, int] = field(repr=False)
    """First and last frame of the character in the text's best alignment."""


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The result of reading one picture."""

    path: str = ""
    """Path or name of the picture."""

    text: str
    """The expression. It is empty if the picture has no ink, or if the grammar accepts the empty
    text."""

    value: Fraction | None
    """Its exact value, that of the left side of an equation; None if the text is neither an
    expression nor an equation, or divides by zero."""

    confidence: float
    """Calibrated probability that the text (when reading by value: the value) is correct, 0..1:
    `posterior` times `grammar_mass`."""

    holds: bool | None = None
    """Whether an equation is true; None if the text has no relation or no right side, or a side has
    no value."""

    posterior: float = 0.0
    """Probability of the text (or value) among all texts of the grammar, 0..1."""

    grammar_mass: float = 0.0
    """Probability of all texts of the grammar together, 0..1; low if the picture shows something
    else."""

    alternatives: tuple[Alternative, ...] = field(default=(), repr=False)
    """The most probable texts, the one above first; their number is set in `Recognizer.load`."""

    characters: tuple[Character, ...] = field(default=(), repr=False)
    """The characters of the text."""

    is_proven: bool = field(default=False, repr=False)
    """Whether it is proven that no text of the grammar is more probable."""

    uncovered: float | None = field(default=None, repr=False)
    """When reading by value: the share of the grammar mass whose texts were not examined."""

    more_frames: bool = field(default=False, repr=False)
    """Whether the picture's file has more frames or pages than the first one, which is read."""


def without_ink(*, by_value: bool) -> Prediction:
    """Return the prediction of a picture without ink: nothing, whatever the grammar.

    Its confidence is 0, as there is no text of which it could be the probability.
    """
    return Prediction(
        text="",
        value=None,
        confidence=0.0,
        alternatives=(Alternative(text="", value=None, probability=0.0),),
        is_proven=True,
        uncovered=0.0 if by_value else None,
    )


@dataclass(frozen=True, kw_only=True)
class View:
    """The relation between a picture and the network's frames."""

    size: tuple[int, int]
    """Width and height of the picture, px."""

    frame_axis: CellAxis
    """Positions of the frames in the network's input."""

    scale: float = 1.0
    """Columns of the picture per column of the network's input."""


def to_prediction(reading: Reading, charset: Charset, view: View) -> Prediction:
    """Convert a decoder's reading to a prediction, with positions in the picture."""
    best = reading.alternatives[0]
    return Prediction(
        text=best.text,
        value=best.value,
        confidence=best.probability,
        holds=best.holds,
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
    """Convert characters' frames to columns of the picture."""
    if not spotted:
        return ()
    width, height = view.size
    # A spike can be in the background that was added to a narrow picture.
    spikes = [
        min(max(view.frame_axis.center(character.spike) * view.scale, 0.0), width - 1.0)
        for character in spotted
    ]
    middles = [(left + right) / 2 for left, right in itertools.pairwise(spikes)]
    bounds = [0.0, *middles, float(width)]
    if middles:  # the first and the last box are symmetric
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
