"""Lines of arithmetic: the exact value of an expression, and whether an equation holds.

The grammar, over the expressions of `exprocr.core.text.arithmetic`:

    line := expr | expr '=' ['?'] | expr relation expr | integer '/' integer '=' remainder
    relation := '=' | '<' | '>' | '≤' | '≥' | '≠'
    remainder := integer '…' integer

Each integer beside a remainder may be in parentheses, as where a gap was filled in. Other spellings
of the characters are understood too (`exprocr.core.text.notation`). So are ``...`` and longer rows
of dots before a remainder. There is no white space.

The value of a line is that of its left side: ``12+34=?`` and ``12+34=45`` have the value 46.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from exprocr.core.system.limits import MAX_LABEL_LENGTH
from exprocr.core.text.arithmetic import (
    REMAINDER,
    DivisionByZero,
    Token,
    evaluate_postfix,
    to_postfix,
    tokenize,
    unexpected,
)
from exprocr.errors import ExpressionError

__all__ = [
    "MAX_DECIMALS",
    "MAX_LENGTH",
    "DivisionByZero",
    "Outcome",
    "equals_value",
    "evaluate",
    "format_value",
    "outcome_of",
    "value_of",
]

MAX_LENGTH = MAX_LABEL_LENGTH
"""Longest text that is parsed, in characters.

A number of n characters is a fraction whose numerator and denominator have at most n digits: with k
decimals, the denominator has k + 1 digits, and the point and a digit before it are characters too.
The result of an operator has at most one digit more than its two operands have together. So neither
the numerator nor the denominator of a value has more digits than the text has characters. That is
below 4300 digits, the default limit of ``int(str)`` and ``str(int)``.
"""

MAX_DECIMALS = 20
"""A value that needs more decimals is written as a fraction."""

_RELATIONS = {
    "=": operator.eq,
    "<": operator.lt,
    ">": operator.gt,
    "≤": operator.le,
    "≥": operator.ge,
    "≠": operator.ne,
}


class Outcome(NamedTuple):
    """What a text says."""

    value: Fraction | None
    """The value of its left side; None if the text is no line, or the side divides by zero."""

    holds: bool | None
    """Whether its relation is true; None if it has no relation or no right side, or a side has no
    value."""


class _Line(NamedTuple):
    """A line, in postfix notation."""

    left: Sequence[Token]

    relation: str = ""
    """Empty if there is none."""

    right: Sequence[Token] | None = None
    """None if there is none."""

    remainder: Sequence[Token] | None = None
    """None if there is none; else all sides are integers, but for the division on the left."""


def evaluate(text: str) -> Fraction:
    """Evaluate a line exactly.

    Args:
        text: The line, at most ``MAX_LENGTH`` characters.

    Returns:
        The value of its left side, in lowest terms.

    Raises:
        ExpressionError: The text is no line or too long. ``position`` is the 0-based index of the
            first character that does not fit, or ``len(text)`` if more was expected.
        DivisionByZero: The text is a line, but its left side divides by zero.
    """
    # Two passes, so that '1/0+' is reported as malformed and not as a division by zero.
    return evaluate_postfix(_parse(text).left)


def outcome_of(text: str) -> Outcome:
    """Return the value of a text, and whether it holds."""
    try:
        line = _parse(text)
        value = evaluate_postfix(line.left)
    except ExpressionError:
        return Outcome(None, None)
    if line.right is None:
        return Outcome(value, None)
    try:
        right = evaluate_postfix(line.right)
    except DivisionByZero:
        return Outcome(value, None)
    if line.remainder is None:
        return Outcome(value, bool(_RELATIONS[line.relation](value, right)))
    rest = evaluate_postfix(line.remainder)
    dividend, divisor = (evaluate_postfix([token]) for token in line.left[:2])
    return Outcome(value, dividend == divisor * right + rest and rest < divisor)


def value_of(text: str) -> Fraction | None:
    """Return the value of a text; None if it is no line or its left side divides by zero."""
    return outcome_of(text).value


def format_value(value: Fraction | None, text: str = "") -> str:
    """Write a value as an integer, a decimal or a fraction, or ``''`` for None.

    Args:
        value: The value.
        text: The text that has this value. If it has a decimal point, the value is a decimal
            (``1.7``) where `MAX_DECIMALS` are enough. Otherwise, a value that is no integer is a
            fraction in lowest terms (``3/4``).
    """
    if value is None:
        return ""
    if value.denominator > 1 and any(isinstance(t.value, Fraction) for t in tokenize(text)):
        scaled = value * 10**MAX_DECIMALS
        if scaled.denominator == 1:
            digits = f"{abs(scaled.numerator):0{MAX_DECIMALS + 1}}"
            whole, decimals = digits[:-MAX_DECIMALS], digits[-MAX_DECIMALS:].rstrip("0")
            return f"{'-' if value < 0 else ''}{whole}.{decimals}"
    return str(value)


def equals_value(value: Fraction | None, text: str) -> str:
    """Write ``= VALUE`` to follow a text that has this value.

    Returns:
        ``''`` if there is no value, or if the text has a relation already.
    """
    if value is None or any(token.text in _RELATIONS for token in tokenize(text)):
        return ""
    return f"= {format_value(value, text)}"


def _parse(text: str) -> _Line:
    """Check the syntax of a line.

    Raises:
        ExpressionError: It is too long, or the grammar does not allow a token.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"expected an expression of at most {MAX_LENGTH} characters, found {len(text)}",
            MAX_LENGTH,
        )
    tokens = tokenize(text)
    left, index = to_postfix(text, tokens)
    line = _Line(left)
    if (relation := tokens[index].text) in _RELATIONS:
        index += 1
        if relation == "=" and tokens[index].text in ("", "?"):
            index += bool(tokens[index].text)
            line = _Line(left, relation)
        else:
            right, index = to_postfix(text, tokens, index)
            line = _Line(left, relation, right)
    if tokens[index].text == REMAINDER and _may_have_remainder(line):
        remainder, end = to_postfix(text, tokens, index + 1)
        if not _is_integer(remainder):
            others = (
                t for t in tokens[index + 1 :] if not _is_integer([t]) and t.text not in ("(", ")")
            )
            raise unexpected(text, next(others), "an integer alone")
        line, index = line._replace(remainder=remainder), end
    if tokens[index].text:
        raise unexpected(text, tokens[index], "an operator or the end")
    return line


def _may_have_remainder(line: _Line) -> bool:
    """Return whether a line is a division of two integers, equal to an integer."""
    return (
        line.relation == "="
        and line.right is not None
        and _is_integer(line.right)
        and len(line.left) == 3
        and line.left[2].text == "/"
        and _is_integer(line.left[:1])
        and _is_integer(line.left[1:2])
    )


def _is_integer(postfix: Sequence[Token]) -> bool:
    return len(postfix) == 1 and isinstance(postfix[0].value, int)
