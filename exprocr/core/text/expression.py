"""Arithmetic expressions: a parser with error positions, and exact rational evaluation.

The grammar, over ASCII digits and without white space:

    expr   := term (('+' | '-') term)*
    term   := factor (('*' | '/') factor)*
    factor := '-' factor | '(' expr ')' | integer

Integers may have leading zeros. The parser is Dijkstra's shunting-yard algorithm ("Algol 60
translation", Mathematisch Centrum MR 35, 1961) on an explicit stack, so depth of nesting is bounded
by the length of the text and never by the interpreter's recursion limit.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import NamedTuple

from exprocr.errors import ExpressionError

MAX_LENGTH = 1000
"""Longest text that is parsed, in characters.

An operator adds at most one digit to the digits of its operands together, so neither the numerator
nor the denominator of a value has more digits than the text has characters. That stays below the
4300 digits at which ``int(str)`` and ``str(int)`` refuse to work by default.
"""

_DIGITS = frozenset("0123456789")  # str.isdigit() would also accept '²' and '٣'
_NEGATE = "negate"
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, _NEGATE: 3}


class DivisionByZero(ExpressionError):
    """A well-formed expression divides by zero; ``position`` is that of the ``/``."""


class _Token(NamedTuple):
    """A piece of the text: an integer, an operator, a parenthesis, or an unknown character."""

    text: str
    position: int

    @property
    def is_integer(self) -> bool:
        return self.text[:1] in _DIGITS


def evaluate(text: str) -> Fraction:
    """Evaluates an expression exactly.

    Args:
        text: The expression, at most ``MAX_LENGTH`` characters.

    Returns:
        The value, in lowest terms.

    Raises:
        ExpressionError: If the text is no expression or too long; ``position`` is the 0-based
            index of the first character that does not fit, ``len(text)`` if more was expected.
        DivisionByZero: If the text is an expression, but divides by zero.
    """
    if len(text) > MAX_LENGTH:
        raise ExpressionError(
            f"expected an expression of at most {MAX_LENGTH} characters, found {len(text)}",
            MAX_LENGTH,
        )
    # Two passes, so that '1/0+' is reported as malformed and not as a division by zero.
    return _evaluate_postfix(_to_postfix(text))


def value_of(text: str) -> Fraction | None:
    """Returns the value of ``text``, or None if it is no expression or divides by zero."""
    try:
        return evaluate(text)
    except ExpressionError:
        return None


def format_value(value: Fraction | None) -> str:
    """Writes a value as an integer (``16``, ``-7``), a fraction (``3/4``), or ``''`` for None."""
    return "" if value is None else str(value)


def _tokens(text: str) -> Iterator[_Token]:
    """Cuts a text into tokens: maximal runs of digits, and every other character by itself."""
    start = 0
    while start < len(text):
        end = start + 1
        if text[start] in _DIGITS:
            while end < len(text) and text[end] in _DIGITS:
                end += 1
        yield _Token(text[start:end], start)
        start = end


def _to_postfix(text: str) -> list[_Token]:
    """Checks the syntax and reorders the tokens into postfix notation.

    Args:
        text: The expression.

    Returns:
        Integers and operators, each operator after its operands; a unary minus is ``_NEGATE``.

    Raises:
        ExpressionError: At the first token that the grammar does not allow.
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
    """Moves operators that bind at least as strongly, down to an open parenthesis."""
    while pending and _PRECEDENCE.get(pending[-1].text, -1) >= precedence:
        postfix.append(pending.pop())


def _unexpected(token: _Token, want_operand: bool, depth: int) -> ExpressionError:
    """Builds the error for a token that does not fit; the empty token stands for the end."""
    if want_operand:
        expected = "a number or '('"
    else:
        expected = "an operator or ')'" if depth else "an operator or the end"
    # repr() keeps the message on one line, whatever the character is.
    found = repr(token.text[0]) if token.text else "the end"
    return ExpressionError(
        f"expected {expected} at position {token.position}, found {found}", token.position
    )


def _evaluate_postfix(postfix: list[_Token]) -> Fraction:
    """Evaluates tokens in postfix notation with a stack of values."""
    values: list[Fraction] = []
    for token in postfix:
        if token.is_integer:
            values.append(Fraction(int(token.text)))
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
            values.append(left / right)
        else:
            raise DivisionByZero(f"division by zero at position {token.position}", token.position)
    return values.pop()
