"""Arithmetic expressions: a parser with error positions, and exact rational evaluation.

The grammar, over ASCII digits and without white space:

    expr   := term (('+' | '-') term)*
    term   := factor (('*' | '/') factor)*
    factor := '-' factor | '(' expr ')' | integer

Integers may have leading zeros. The parser is Dijkstra's shunting-yard algorithm ("Algol 60
translation", Mathematisch Centrum MR 35, 1961). Its stack is a list, so that Python's recursion
limit does not bound the depth of nesting.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from exprocr.core.system.limits import MAX_LABEL_LENGTH
from exprocr.errors import ExpressionError

MAX_LENGTH = MAX_LABEL_LENGTH
"""Longest text that is parsed, in characters.

The result of an operator has at most one digit more than its two operands have together. So neither
the numerator nor the denominator of a value has more digits than the text has characters. That is
below 4300 digits, the default limit of ``int(str)`` and ``str(int)``.
"""

_DIGITS = frozenset("0123456789")  # str.isdigit() would also accept '²' and '٣'
_NEGATE = "negate"
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, _NEGATE: 3}


class DivisionByZero(ExpressionError):
    """A well-formed expression divides by zero; ``position`` is the index of the ``/``."""


class _Token(NamedTuple):
    """A piece of the text: an integer, an operator, a parenthesis, or an unknown character."""

    text: str
    position: int

    @property
    def is_integer(self) -> bool:
        return self.text[:1] in _DIGITS


def evaluate(text: str) -> Fraction:
    """Evaluate an expression exactly.

    Args:
        text: The expression, at most ``MAX_LENGTH`` characters.

    Returns:
        The value, in lowest terms.

    Raises:
        ExpressionError: The text is no expression or too long. ``position`` is the 0-based index of
            the first character that does not fit, or ``len(text)`` if more was expected.
        DivisionByZero: The text is an expression, but divides by zero.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"expected an expression of at most {MAX_LENGTH} characters, found {len(text)}",
            MAX_LENGTH,
        )
    # Two passes, so that '1/0+' is reported as malformed and not as a division by zero.
    return _evaluate_postfix(_to_postfix(text))


def value_of(text: str) -> Fraction | None:
    """Return the value of ``text``; None if it is no expression or divides by zero."""
    try:
        return evaluate(text)
    except ExpressionError:
        return None


def format_value(value: Fraction | None) -> str:
    """Write a value as an integer (``16``, ``-7``), a fraction (``3/4``), or ``''`` for None."""
    return "" if value is None else str(value)


def _tokens(text: str) -> Iterator[_Token]:
    """Yield the tokens of a text: integers, and every other character by itself."""
    start = 0
    while start < len(text):
        end = start + 1
        if text[start] in _DIGITS:
            while end < len(text) and text[end] in _DIGITS:
                end += 1
        yield _Token(text[start:end], start)
        start = end


def _to_postfix(text: str) -> list[_Token]:
    """Check the syntax and reorder the tokens into postfix notation.

    Args:
        text: The expression.

    Returns:
        Integers and operators, each operator after its operands; a unary minus is ``_NEGATE``.

    Raises:
        ExpressionError: The grammar does not allow a token.
    """
    postfix: list[_Token] = []
    pending: list[_Token] = []  # operators and open parentheses
    depth = 0
    want_operand = True
    for token in _tokens(text):
        symbol = token.text
        if want_operand:
            if token.is_integer:
                postfix.append(token)
                want_operand = False
            elif symbol == "(":
                pending.append(token)
                depth += 1
            elif symbol == "-":
                pending.append(token._replace(text=_NEGATE))
            else:
                raise _unexpected(token, want_operand, depth)
        elif symbol == ")" and depth:
            _pop_operators(pending, postfix, 0)
            pending.pop()
            depth -= 1
        elif symbol in _PRECEDENCE:
            _pop_operators(pending, postfix, _PRECEDENCE[symbol])
            pending.append(token)
            want_operand = True
        else:
            raise _unexpected(token, want_operand, depth)
    if want_operand or depth:
        raise _unexpected(_Token("", len(text)), want_operand, depth)
    _pop_operators(pending, postfix, 0)
    return postfix


def _pop_operators(pending: list[_Token], postfix: list[_Token], precedence: int) -> None:
    """Move the operators of at least this precedence, down to an open parenthesis."""
    while pending and _PRECEDENCE.get(pending[-1].text, -1) >= precedence:
        postfix.append(pending.pop())


def _unexpected(token: _Token, want_operand: bool, depth: int) -> ExpressionError:
    """Return the error of a token that does not fit; an empty token is the end of the text."""
    if want_operand:
        expected = "a number or '('"
    else:
        expected = "an operator or ')'" if depth else "an operator or the end"
    # repr() keeps the message on one line, whatever the character.
    found = repr(token.text[0]) if token.text else "the end"
    return ExpressionError(
        f"expected {expected} at position {token.position}, found {found}", token.position
    )


def _evaluate_postfix(postfix: list[_Token]) -> Fraction:
    """Evaluate tokens in postfix notation."""
    values: list[Fraction | int] = []  # integers as long as possible, which are faster
    for token in postfix:
        if token.is_integer:
            values.append(int(token.text))
            continue
        right = values.pop()
        if token.text == _NEGATE:
            values.append(-right)
            continue
        left = values.pop()
        if token.text == "+":
            values.append(left + right)
        elif token.text == "-":
            values.append(left - right)
        elif token.text == "*":
            values.append(left * right)
        elif right:
            values.append(Fraction(left) / right)
        else:
            raise DivisionByZero(f"division by zero at position {token.position}", token.position)
    return Fraction(values.pop())
