"""The parser against Python's own evaluation, and against text that is no expression."""

from __future__ import annotations

import re
import sys
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exprocr.core.text.expression import (
    MAX_LENGTH,
    DivisionByZero,
    evaluate,
    format_value,
    value_of,
)
from exprocr.errors import ExpressionError

integers = st.integers(0, 120).map(str) | st.from_regex(r"[0-9]{1,12}", fullmatch=True)
expressions = st.recursive(
    integers,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map("".join),
        inner.map("({})".format),
        inner.map("-{}".format),
    ),
    max_leaves=25,
)


def python_value(text: str) -> Fraction:
    """The oracle: Python has the same grammar, given integers that are Fractions."""
    source = re.sub(r"[0-9]+", lambda match: f"Fraction('{match[0]}')", text)
    value = eval(source, {"__builtins__": {}, "Fraction": Fraction})
    assert isinstance(value, Fraction)
    return value


@settings(max_examples=500)
@given(expressions)
def test_agrees_with_python(text: str) -> None:
    try:
        expected = python_value(text)
    except ZeroDivisionError:
        with pytest.raises(DivisionByZero) as caught:
            evaluate(text)
        assert text[caught.value.position] == "/"
        assert value_of(text) is None
    else:
        assert evaluate(text) == expected
        assert value_of(text) == expected


@settings(max_examples=300)
@given(st.text(alphabet="0123456789+-*/()", max_size=12))
def test_accepts_exactly_the_grammar(text: str) -> None:
    # An independent recognizer: rewrite signs and parentheses to one digit until nothing changes.
    # Python itself cannot judge here: '2**3', '7//2', '+1' and '()' are Python too.
    reduced, before = re.sub(r"[0-9]+", "0", text), ""
    while reduced != before:
        before = reduced
        reduced = re.sub(r"(?<![0)])-0", "0", reduced)
        reduced = re.sub(r"\(0([-+*/]0)*\)", "0", reduced)
    well_formed = re.fullmatch(r"0([-+*/]0)*", reduced) is not None
    try:
        evaluate(text)
    except DivisionByZero:
        assert well_formed
    except ExpressionError:
        assert not well_formed
    else:
        assert well_formed


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2+3*4", Fraction(14)),
        ("(2+3)*4", Fraction(20)),
        ("8-3-2", Fraction(3)),
        ("8/4/2", Fraction(1)),
        ("8/4*2", Fraction(4)),
        ("2*-3", Fraction(-6)),
        ("-2--3", Fraction(1)),
        ("-(1+2)*3", Fraction(-9)),
        ("007", Fraction(7)),
        ("1/3+1/6", Fraction(1, 2)),
        ("0/5", Fraction(0)),
    ],
)
def test_worked_examples(text: str, value: Fraction) -> None:
    assert evaluate(text) == value


@pytest.mark.parametrize(
    ("text", "position", "message"),
    [
        ("", 0, "expected a number or '(' at position 0, found the end"),
        ("1+", 2, "expected a number or '(' at position 2, found the end"),
        ("1+*2", 2, "expected a number or '(' at position 2, found '*'"),
        ("(1+)", 3, "expected a number or '(' at position 3, found ')'"),
        ("()", 1, "expected a number or '(' at position 1, found ')'"),
        ("+1", 0, "expected a number or '(' at position 0, found '+'"),
        ("2**3", 2, "expected a number or '(' at position 2, found '*'"),
        ("7//2", 2, "expected a number or '(' at position 2, found '/'"),
        ("--", 2, "expected a number or '(' at position 2, found the end"),
        ("(", 1, "expected a number or '(' at position 1, found the end"),
        (")", 0, "expected a number or '(' at position 0, found ')'"),
        ("(1", 2, "expected an operator or ')' at position 2, found the end"),
        ("((1)", 4, "expected an operator or ')' at position 4, found the end"),
        ("12)", 2, "expected an operator or the end at position 2, found ')'"),
        ("(1)2", 3, "expected an operator or the end at position 3, found '2'"),
        ("2(3)", 1, "expected an operator or the end at position 1, found '('"),
        ("(2(3))", 2, "expected an operator or ')' at position 2, found '('"),
        ("1 + 2", 1, "expected an operator or the end at position 1, found ' '"),
        ("1\n", 1, r"expected an operator or the end at position 1, found '\n'"),
        ("1_000", 1, "expected an operator or the end at position 1, found '_'"),
        ("1.5", 1, "expected an operator or the end at position 1, found '.'"),
        ("0x1f", 1, "expected an operator or the end at position 1, found 'x'"),
        ("x", 0, "expected a number or '(' at position 0, found 'x'"),
        ("\u0663", 0, "expected a number or '(' at position 0, found '\u0663'"),
        ("1\u0663", 1, "expected an operator or the end at position 1, found '\u0663'"),
        ("5\u00b2", 1, "expected an operator or the end at position 1, found '\u00b2'"),
        ("\uff11", 0, "expected a number or '(' at position 0, found '\uff11'"),
        ("1\u22122", 1, "expected an operator or the end at position 1, found '\u2212'"),
        ("\ud800", 0, r"expected a number or '(' at position 0, found '\ud800'"),
        ("1/0+", 4, "expected a number or '(' at position 4, found the end"),
    ],
)
def test_error_positions(text: str, position: int, message: str) -> None:
    with pytest.raises(ExpressionError) as caught:
        evaluate(text)
    assert not isinstance(caught.value, DivisionByZero)
    assert caught.value.position == position
    assert str(caught.value) == message
    assert value_of(text) is None


@pytest.mark.parametrize(
    ("text", "position"), [("1/0", 1), ("2*(3/(1-1))", 4), ("1/2/00", 3), ("0/0", 1), ("1/-0", 1)]
)
def test_division_by_zero(text: str, position: int) -> None:
    with pytest.raises(DivisionByZero) as caught:
        evaluate(text)
    assert caught.value.position == position
    assert str(caught.value) == f"division by zero at position {position}"
    assert value_of(text) is None


@settings(max_examples=300)
@given(st.text(max_size=40) | st.text(alphabet="0123456789+-*/()x ", max_size=MAX_LENGTH + 20))
def test_arbitrary_text_raises_nothing_else(text: str) -> None:
    outcome: Fraction | ExpressionError
    try:
        outcome = evaluate(text)
    except ExpressionError as error:
        outcome = error
    if isinstance(outcome, ExpressionError):
        assert 0 <= outcome.position <= len(text)
        assert len(str(outcome).splitlines()) == 1
        assert value_of(text) is None
    else:
        assert value_of(text) == outcome


def test_a_thousand_parentheses_and_signs() -> None:
    depth = (MAX_LENGTH - 2) // 2
    assert evaluate("(" * depth + "12" + ")" * depth) == 12
    assert evaluate("-" * (MAX_LENGTH - 1) + "1") == -1
    assert evaluate("-" * (MAX_LENGTH - 2) + "1") == 1
    assert evaluate("-(" * 300 + "5" + ")" * 300) == 5
    with pytest.raises(ExpressionError, match="found the end") as caught:
        evaluate("(" * MAX_LENGTH)
    assert caught.value.position == MAX_LENGTH


def test_huge_numbers_stay_printable() -> None:
    assert evaluate("9" * MAX_LENGTH) == 10**MAX_LENGTH - 1
    assert evaluate("*".join(["9" * 99] * 10)) == (10**99 - 1) ** 10
    primes = [n for n in range(2, 800) if all(n % d for d in range(2, n))]
    for text in ("+".join(f"1/{p}" for p in primes), "/".join(map(str, range(1, 258)))):
        value = evaluate(text)
        assert value == python_value(text)
        assert len(text) <= MAX_LENGTH
        assert max(map(len, format_value(value).split("/"))) <= len(text)
    assert sys.int_info.default_max_str_digits > MAX_LENGTH


def test_too_long_text() -> None:
    assert evaluate("0" * MAX_LENGTH) == 0
    for length in (MAX_LENGTH + 1, 5000, 1_000_000):
        with pytest.raises(
            ExpressionError, match=rf"at most 1000 characters, found {length}$"
        ) as e:
            evaluate("1" * length)
        assert e.value.position == MAX_LENGTH
        assert value_of("1" * length) is None


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (Fraction(16), "16"),
        (Fraction(-7), "-7"),
        (Fraction(6, 8), "3/4"),
        (Fraction(-1, 2), "-1/2"),
        (Fraction(0), "0"),
        (None, ""),
    ],
)
def test_format_value(value: Fraction | None, text: str) -> None:
    assert format_value(value) == text
    assert value_of(text) == value
