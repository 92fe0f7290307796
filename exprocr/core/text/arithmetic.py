"""Arithmetic: a parser with error positions, and exact rational evaluation.

The grammar, in the characters of `exprocr.core.text.notation.as_parsed`:

    expr   := term (('+' | '-') term)*
    term   := factor (('*' | '/') factor)*
    factor := '-' factor | '(' expr ')' | number
    number := digits ['.' digits]

Numbers may have leading zeros. The parser is Dijkstra's shunting-yard algorithm ("Algol 60
translation", Mathematisch Centrum MR 35, 1961). Its stack is a list, so that Python's recursion
limit does not bound the depth of nesting.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from exprocr.core.text.notation import as_parsed
from exprocr.errors import ExpressionError

REMAINDER = "…"
"""The token before a remainder."""

# [0-9], as \d would also match other scripts' digits.
_TOKEN = re.compile(rf"[0-9]+(?:\.[0-9]+)?|(?:{REMAINDER}|\.\.\.)+|.", re.DOTALL)
_NEGATE = "negate"
_PRECEDENCE = {"+": 1, "-": 1, "*": 2, "/": 2, _NEGATE: 3}


class DivisionByZero(ExpressionError):
    """A well-formed expression divides by zero; ``position`` is the index of the division sign."""


class Token(NamedTuple):
    """A piece of a text: a number, an operator, a parenthesis, or another character."""

    text: str
    """Its characters, as the parser knows them; empty at the end of the text."""

    position: int
    """Index of its first character."""

    value: int | Fraction | None = None
    """The value of a number, an integer if it has no decimal point; None for other tokens."""


def tokenize(text: str) -> list[Token]:
    """Return the tokens of a text, and an empty one for its end."""
    tokens = []
    for match in _TOKEN.finditer(as_parsed(text)):
        symbol, position = match[0], match.start()
        if "0" <= symbol[0] <= "9":
            value = Fraction(symbol) if "." in symbol else int(symbol)
            tokens.append(Token(symbol, position, value))
        else:
            is_remainder = symbol[0] == REMAINDER or len(symbol) > 1
            tokens.append(Token(REMAINDER if is_remainder else symbol, position))
    tokens.append(Token("", len(text)))
    return tokens


def to_postfix(text: str, tokens: Sequence[Token], start: int = 0) -> tuple[list[Token], int]:
    """Read an expression, as far as it goes, and reorder its tokens into postfix notation.

    Args:
        text: The text, for messages.
        tokens: Its tokens, and an empty one at the end.
        start: Index of the expression's first token.

    Returns:
        Numbers and operators, each operator after its operands; and the index of the first token
        that does not belong to the expression.

    Raises:
        ExpressionError: It is no expression.
    """
    postfix: list[Token] = []
    pending: list[Token] = []  # operators and open parentheses
    depth = 0
    want_operand = True
    for index in range(start, len(tokens)):
        token = tokens[index]
        symbol = token.text
        if want_operand:
            if token.value is not None:
                postfix.append(token)
                want_operand = False
            elif symbol == "(":
                pending.append(token)
                depth += 1
            elif symbol == "-":
                pending.append(Token(_NEGATE, token.position))
            else:
                raise unexpected(text, token, "a number or '('")
        elif symbol == ")" and depth:
            _pop_operators(pending, postfix, 0)
            pending.pop()
            depth -= 1
        elif symbol in _PRECEDENCE:
            _pop_operators(pending, postfix, _PRECEDENCE[symbol])
            pending.append(token)
            want_operand = True
        elif depth:
            raise unexpected(text, token, "an operator or ')'")
        else:
            break
    _pop_operators(pending, postfix, 0)
    return postfix, index


def _pop_operators(pending: list[Token], postfix: list[Token], precedence: int) -> None:
    """Move the operators of at least this precedence, down to an open parenthesis."""
    while pending and _PRECEDENCE.get(pending[-1].text, -1) >= precedence:
        postfix.append(pending.pop())


def unexpected(text: str, token: Token, expected: str) -> ExpressionError:
    """Return the error of a token of a text that does not fit."""
    # repr() keeps the message on one line, whatever the character.
    found = repr(text[token.position]) if token.text else "the end"
    return ExpressionError(
        f"expected {expected} at position {token.position}, found {found}", token.position
    )


def evaluate_postfix(postfix: Sequence[Token]) -> Fraction:
    """Evaluate tokens in postfix notation.

    Raises:
        DivisionByZero: They divide by zero.
    """
    values: list[Fraction | int] = []  # integers as long as possible, which are faster
    for token in postfix:
        if token.value is not None:
            values.append(token.value)
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
