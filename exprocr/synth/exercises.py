"""Arithmetic as captchas and schools pose it: tables of shares, and the drawing of texts by them.

What is drawn is in the tables `CAPTCHA` and `WORKSHEET`. The values of all texts are exact. A false
relation is false by one of the mistakes that people make: off by one, a wrong digit, or a carry
that is forgotten.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import accumulate
from typing import NamedTuple

import numpy as np

from exprocr.core.text.charset import num_frames_needed
from exprocr.core.text.grammar.grammars import Grammar

Shares = Mapping[str, float]
"""How often each of several things is drawn; the shares add up to 1."""

NUM_CHECKED = 2_000
"""Texts that are drawn to find a grammar that accepts them all; each form is among them."""


@dataclass(frozen=True, kw_only=True)
class Exercises:
    """A random source of exercises. Shares are 0..1."""

    forms: Shares
    """``open``: an expression without an answer. ``answer``: with one. ``compare``: two expressions
    or numbers, with ``<`` or ``>``. ``remainder``: a division with one. ``filled``: an answer in
    which one number is in brackets, where it was to be found."""

    endings: Shares
    """What follows an expression without an answer."""

    num_operators: Shares
    """Operators of an expression."""

    operators: Shares
    """Which they are; ``×`` and ``÷`` stand for all signs of multiplication and division."""

    signs: Shares
    """The two signs of multiplication and division in one text."""

    num_digits: Shares
    """Digits of a number before the point."""

    num_decimals: Shares
    """Digits after the point."""

    brackets: float = 0.0
    """Share of the expressions of two or more operators that have a pair of brackets."""

    negative: float = 0.0
    """Share of the negative values that are kept; other expressions are drawn instead."""

    true: float = 0.5
    """Share of the relations that are true."""

    mistakes: Shares
    """How a false relation is false."""

    max_value_digits: int
    """Most digits of a value, those after the point included."""

    max_decimals: int
    """Most digits of a value after the point."""

    max_frames: int
    """Frames that CTC needs for the most demanding text; texts that need more are left out."""

    characters: str
    """All characters of its texts, sorted."""

    def draw(self, rng: np.random.Generator) -> str:
        """Return a random exercise."""
        forms = {
            "open": self._open,
            "answer": self._answer,
            "compare": self._compare,
            "remainder": self._remainder,
            "filled": self._filled,
        }
        form = forms[self._chosen("forms", rng)]
        true = rng.random() < self.true
        while True:
            text = form(rng, true)
            if text and num_frames_needed(text) <= self.max_frames:
                return self._signed(text, rng)

    def is_within(self, grammar: Grammar) -> bool:
        """Return whether a grammar accepts all of many random exercises."""
        return accepts_drawn(grammar, self.draw)

    def _open(self, rng: np.random.Generator, _: bool) -> str:
        return self._expression(rng).text + self._chosen("endings", rng)

    def _answer(self, rng: np.random.Generator, true: bool) -> str:
        expression = self._expression(rng)
        value = expression.value if true else self._mistaken(expression.value, rng)
        return f"{expression.text}={_decimal(value)}"

    def _compare(self, rng: np.random.Generator, true: bool) -> str:
        left, right = self._expression(rng), self._expression(rng)
        if rng.random() < 0.5:  # a number, close to the value
            value = self._mistaken(left.value, rng)
            right = _Expression(_decimal(value), value)
        if left.value == right.value:
            return ""
        return f"{left.text}{'<' if (left.value < right.value) == true else '>'}{right.text}"

    def _remainder(self, rng: np.random.Generator, true: bool) -> str:
        divisor, quotient = int(rng.integers(2, 13)), int(rng.integers(1, 31))
        remainder = int(rng.integers(1, divisor))
        dividend = divisor * quotient + remainder
        if not true and rng.random() < 0.5:
            quotient = int(self._mistaken(Fraction(quotient), rng))
        elif not true:
            remainder = int(self._mistaken(Fraction(remainder), rng))
        return f"{dividend}÷{divisor}={quotient}…{remainder}"

    def _filled(self, rng: np.random.Generator, true: bool) -> str:
        expression = self._expression(rng, bare=True)
        place = int(rng.integers(len(expression.numbers)))
        filled = list(expression.numbers)
        if not true:
            filled[place] = self._mistaken(filled[place], rng)
            # Such as 0×(3)=0, which is true with any number, and 3÷(0)=3, which has no value.
            if _value(filled, expression.operators) in (None, expression.value):
                return ""
        pieces = [_decimal(number) for number in filled]
        pieces[place] = f"({pieces[place]})"
        return f"{_joined(pieces, expression.operators)}={_decimal(expression.value)}"

    def _expression(self, rng: np.random.Generator, *, bare: bool = False) -> _Expression:
        """Return a random expression; ``bare`` is one without brackets."""
        while True:
            num = int(self._chosen("num_operators", rng))
            operators = [self._chosen("operators", rng) for _ in range(num)]
            numbers = [self._number(rng) for _ in range(num + 1)]
            # A division comes out even where its dividend is a multiple of the divisor.
            for place, operator in enumerate(operators):
                if operator == "÷" and (place == 0 or operators[place - 1] in "+-"):
                    numbers[place] *= numbers[place + 1]
            first, last = 0, 0
            if num > 1 and not bare and rng.random() < self.brackets:
                first = int(rng.integers(num))
                last = int(rng.integers(first + 1, num + 1 if first else num))
            value = _value(numbers, operators, first, last)
            if value is None or (value < 0 and rng.random() >= self.negative):
                continue
            pieces = [_decimal(number) for number in numbers]
            written = _decimal(value)
            if len(written.partition(".")[2]) > self.max_decimals:
                continue
            num_digits = [sum(map(str.isdigit, piece)) for piece in (written, *pieces)]
            if not 0 < min(num_digits) <= max(num_digits) <= self.max_value_digits:
                continue
            if last:
                pieces[first], pieces[last] = f"({pieces[first]}", f"{pieces[last]})"
            return _Expression(_joined(pieces, operators), value, numbers, operators)

    def _number(self, rng: np.random.Generator) -> Fraction:
        digits, decimals = (int(self._chosen(n, rng)) for n in ("num_digits", "num_decimals"))
        low = 10 ** (digits - 1) if digits > 1 else 0
        return Fraction(
            int(rng.integers(low * 10**decimals, 10 ** (digits + decimals))), 10**decimals
        )

    def _mistaken(self, value: Fraction, rng: np.random.Generator) -> Fraction:
        """Return a value that a mistake makes of another one; it is written with as many digits."""
        written = _decimal(abs(value))
        decimals = len(written.partition(".")[2])
        units = written.replace(".", "")
        old, new = int(units), int(units)
        mistake = self._chosen("mistakes", rng)
        if mistake == "carry" and len(units) > 1:
            new += (1 if rng.random() < 0.5 else -1) * 10 ** int(rng.integers(1, len(units)))
        elif mistake == "digit":
            place = 10 ** int(rng.integers(len(units)))
            new += (int(rng.integers(10)) - old // place % 10) * place
        if new == old or new < 0:
            new = old + (1 if rng.random() < 0.5 or not old else -1)
        return Fraction(new if value >= 0 else -new, 10**decimals)

    def _signed(self, text: str, rng: np.random.Generator) -> str:
        return text.translate(str.maketrans("×÷", self._chosen("signs", rng)))

    def _chosen(self, name: str, rng: np.random.Generator) -> str:
        things, sums = self._tables[name]
        return things[bisect_right(sums, rng.random() * sums[-1], hi=len(sums) - 1)]

    @cached_property
    def _tables(self) -> dict[str, tuple[list[str], list[float]]]:
        """The names and the running sums of all shares, by field."""
        tables = {name: value for name, value in vars(self).items() if isinstance(value, Mapping)}
        return {name: (list(t), list(accumulate(t.values()))) for name, t in tables.items()}


def accepts_drawn(grammar: Grammar, draw: Callable[[np.random.Generator], str]) -> bool:
    """Return whether a grammar accepts all of many random texts."""
    rng = np.random.default_rng(0)
    return all(grammar.accepts(draw(rng)) for _ in range(NUM_CHECKED))


class _Expression(NamedTuple):
    """An expression or a number, with its value and, without brackets, its parts."""

    text: str
    value: Fraction
    numbers: Sequence[Fraction] = ()
    operators: Sequence[str] = ()


def _value(
    numbers: Sequence[Fraction], operators: Sequence[str], first: int = 0, last: int = 0
) -> Fraction | None:
    """Return the value of an expression; None if it divides by zero.

    Args:
        numbers: Its numbers.
        operators: The operators between them.
        first: The first number in brackets.
        last: The last one; 0 if there are no brackets.
    """
    if last:
        inner = _value(numbers[first : last + 1], operators[first:last])
        if inner is None:
            return None
        numbers = [*numbers[:first], inner, *numbers[last + 1 :]]
        operators = [*operators[:first], *operators[last:]]
    total, term = Fraction(0), numbers[0]
    for operator, number in zip(operators, numbers[1:], strict=True):
        if operator == "×":
            term *= number
        elif operator == "÷":
            if not number:
                return None
            term /= number
        else:
            total, term = total + term, number if operator == "+" else -number
    return total + term


def _decimal(value: Fraction) -> str:
    """Write a value with as few decimals as are exact; empty if four are not enough."""
    for decimals in range(5):
        scale, rest = divmod(10**decimals, value.denominator)
        if not rest:
            digits = f"{abs(value.numerator) * scale:0{decimals + 1}}"
            whole, part = digits[: len(digits) - decimals], digits[len(digits) - decimals :]
            return f"{'-' if value < 0 else ''}{whole}{'.' if part else ''}{part}"
    return ""


def _joined(pieces: Sequence[str], operators: Sequence[str]) -> str:
    return pieces[0] + "".join(o + p for o, p in zip(operators, pieces[1:], strict=True))


CAPTCHA = Exercises(
    forms={"open": 1.0},
    endings={"=?": 0.5, "=": 0.3, "": 0.2},
    num_operators={"1": 0.8, "2": 0.2},
    operators={"+": 0.4, "-": 0.35, "×": 0.2, "÷": 0.05},
    signs={"×÷": 0.5, "*/": 0.5},
    num_digits={"1": 0.65, "2": 0.35},
    num_decimals={"0": 1.0},
    mistakes={"one": 1.0},
    max_value_digits=3,
    max_decimals=0,
    max_frames=14,
    characters="*+-/0123456789=?×÷",
)
"""What arithmetic captchas ask: ``5+7=?``, ``12-4=?``, ``3*6=``, ``8×2``."""

SUMS = Exercises(
    forms={"open": 1.0},
    endings={"": 1.0},
    num_operators={"1": 0.25, "2": 0.25, "3": 0.25, "4": 0.25},
    operators={"+": 0.4, "-": 0.3, "×": 0.3},
    signs={"*/": 1.0},
    num_digits={"1": 0.34, "2": 0.33, "3": 0.33},
    num_decimals={"0": 1.0},
    brackets=0.3,
    negative=1.0,
    mistakes={"one": 1.0},
    max_value_digits=15,
    max_decimals=0,
    max_frames=40,
    characters="()*+-0123456789",
)
"""Two to five numbers of up to three digits: ``12-305*7``, ``(4+81)*2``. There is no ``×``: turned
by 30 degrees, as in the look ``captcha``, it is a ``+``."""

WORKSHEET = Exercises(
    forms={"answer": 0.6, "open": 0.12, "remainder": 0.08, "filled": 0.1, "compare": 0.1},
    endings={"=": 1.0},
    num_operators={"1": 0.65, "2": 0.25, "3": 0.1},
    operators={"+": 0.3, "-": 0.3, "×": 0.2, "÷": 0.2},
    signs={"×÷": 1.0},
    num_digits={"1": 0.45, "2": 0.35, "3": 0.15, "4": 0.05},
    num_decimals={"0": 0.8, "1": 0.13, "2": 0.07},
    brackets=0.4,
    negative=0.1,
    mistakes={"one": 0.4, "digit": 0.3, "carry": 0.3},
    max_value_digits=6,
    max_decimals=4,
    max_frames=30,
    characters="()+-.0123456789<=>×÷…",
)
"""Lines of worksheets with their answers: ``0.7÷10=0.07``, ``14÷3=4…2``, ``7÷(1)=7``."""
