"""The parser against Python's own arithmetic, and against text that is no line of arithmetic."""

from __future__ import annotations

import re
import sys
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exprocr.core.text.expression import (
    MAX_DECIMALS,
    MAX_LENGTH,
    DivisionByZero,
    Outcome,
    equals_value,
    evaluate,
    format_value,
    outcome_of,
    value_of,
)
from exprocr.errors import ExpressionError

integers = st.integers(0, 120).map(str) | st.from_regex(r"[0-9]{1,12}", fullmatch=True)
decimals = st.from_regex(r"[0-9]{1,6}[.][0-9]{1,6}", fullmatch=True)
expressions = st.recursive(
    integers | decimals,
    lambda inner: st.one_of(
        st.tuples(inner, st.sampled_from("+-*/"), inner).map("".join),
        inner.map("({})".format),
        inner.map("-{}".format),
    ),
    max_leaves=25,
)


def python_value(text: str) -> Fraction:
    """The oracle: Python has the same grammar, given numbers that are Fractions."""
    source = re.sub(r"[0-9]+(\.[0-9]+)?", lambda match: f"Fraction('{match[0]}')", text)
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


def python_value_or_none(text: str) -> Fraction | None:
    try:
        return python_value(text)
    except ZeroDivisionError:
        return None


@settings(max_examples=300)
@given(
    left=expressions, relation=st.sampled_from(["=", "<", ">", "≤", "≥", "≠"]), right=expressions
)
def test_relations_agree_with_python(left: str, relation: str, right: str) -> None:
    one, two = python_value_or_none(left), python_value_or_none(right)
    holds = None
    if one is not None and two is not None:
        # Of the signs, two hold for a smaller left side, and so on.
        signs = "<≤≠" if one < two else ">≥≠" if one > two else "=≤≥"
        holds = relation in signs
    for text in (left + relation + right, f"({left}){relation}({right})"):
        assert outcome_of(text) == Outcome(one, holds)
    for same in (left, f"-({left})*-1"):
        expected = Outcome(one, None if one is None else relation in "=≤≥")
        assert outcome_of(f"{left}{relation}{same}") == expected


@settings(max_examples=300)
@given(*[st.integers(0, 40)] * 4)
def test_a_remainder_is_that_of_python(a: int, b: int, q: int, r: int) -> None:
    text = f"{a}÷{b}={q}…{r}"
    if not b:
        assert outcome_of(text) == Outcome(None, None)
        return
    assert outcome_of(text) == Outcome(Fraction(a, b), divmod(a, b) == (q, r))
    right = f"{a}/({b})=({a // b})...({a % b})"
    assert outcome_of(right) == Outcome(Fraction(a, b), True)
    # The same sum with a greater remainder, which is as large as the divisor or larger.
    if a // b:
        assert outcome_of(f"{a}÷{b}={a // b - 1}…{a % b + b}").holds is False


@pytest.mark.parametrize(
    ("text", "value", "holds"),
    [
        ("12+34=?", Fraction(46), None),
        ("12+34=", Fraction(46), None),
        ("12+34=45", Fraction(46), False),
        ("12+34=46", Fraction(46), True),
        ("1.25×0.8=1", Fraction(1), True),
        ("1-0.8=0.2", Fraction(1, 5), True),  # false of binary fractions
        ("0.1+0.2=0.3", Fraction(3, 10), True),
        ("7÷(1)=7", Fraction(7), True),
        ("1/3=0.333", Fraction(1, 3), False),
        ("6/3=1/0", Fraction(2), None),
        ("1/0=1", None, None),
        ("1+1=2=2", None, None),
        ("1+1=2+", None, None),
        ("112÷8=", Fraction(14), None),
    ],
)
def test_lines_of_a_worksheet(text: str, value: Fraction | None, holds: bool | None) -> None:
    assert outcome_of(text) == Outcome(value, holds)
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "usual"),
    [
        ("3x4", "3*4"),
        ("3X4", "3*4"),
        ("3×4", "3*4"),
        ("3\u04254", "3*4"),  # a Cyrillic letter
        ("3·4", "3*4"),
        ("3\u22194", "3*4"),
        ("9:3", "9/3"),
        ("9÷3", "9/3"),
        ("9\uff1a3", "9/3"),
        ("9\u22123", "9-3"),
        ("9\u20133", "9-3"),
        ("\uff13\uff0b\uff15\uff1d\uff18", "3+5=8"),
        ("\uff083\uff0b5\uff09\uff0a2\uff1c17", "(3+5)*2<17"),
        ("3\uff0e4\u00d70.5=\uff1f", "3.4*0.5=?"),
        ("1\u22662", "1≤2"),
        ("2\u2a7e1", "2≥1"),
        ("14:3=4......2", "14/3=4…2"),
        ("14÷3=4\u22ef\u22ef2", "14/3=4…2"),
    ],
)
def test_other_spellings_mean_the_same(text: str, usual: str) -> None:
    assert outcome_of(usual).value is not None
    assert outcome_of(text) == outcome_of(usual)
    assert evaluate(text) == evaluate(usual)


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
        ("1.", 1, "expected an operator or the end at position 1, found '.'"),
        (".5", 0, "expected a number or '(' at position 0, found '.'"),
        ("1.2.3", 3, "expected an operator or the end at position 3, found '.'"),
        ("0x1f", 3, "expected an operator or the end at position 3, found 'f'"),
        ("x", 0, "expected a number or '(' at position 0, found 'x'"),
        ("\u0663", 0, "expected a number or '(' at position 0, found '\u0663'"),
        ("1\u0663", 1, "expected an operator or the end at position 1, found '\u0663'"),
        ("5\u00b2", 1, "expected an operator or the end at position 1, found '\u00b2'"),
        ("\uff0b1", 0, "expected a number or '(' at position 0, found '\uff0b'"),
        ("1\u2212\uff09", 2, "expected a number or '(' at position 2, found '\uff09'"),
        ("12+34==", 6, "expected a number or '(' at position 6, found '='"),
        ("12+34=??", 7, "expected an operator or the end at position 7, found '?'"),
        ("1<?", 2, "expected a number or '(' at position 2, found '?'"),
        ("1<", 2, "expected a number or '(' at position 2, found the end"),
        ("1=2=3", 3, "expected an operator or the end at position 3, found '='"),
        ("1=2+", 4, "expected a number or '(' at position 4, found the end"),
        ("(1=2)", 2, "expected an operator or ')' at position 2, found '='"),
        ("=1", 0, "expected a number or '(' at position 0, found '='"),
        ("14+3=4…2", 6, "expected an operator or the end at position 6, found '…'"),
        ("14÷3<4...2", 6, "expected an operator or the end at position 6, found '.'"),
        ("14÷3.0=4…2", 8, "expected an operator or the end at position 8, found '…'"),
        ("14÷-3=4…2", 7, "expected an operator or the end at position 7, found '…'"),
        ("14÷3=4+1…2", 8, "expected an operator or the end at position 8, found '…'"),
        ("14÷3…2", 4, "expected an operator or the end at position 4, found '…'"),
        ("14÷3=4…", 7, "expected a number or '(' at position 7, found the end"),
        ("14÷3=4…-2", 7, "expected an integer alone at position 7, found '-'"),
        ("14÷3=4…(2)+1", 10, "expected an integer alone at position 10, found '+'"),
        ("14÷3=4…2.5", 7, "expected an integer alone at position 7, found '2'"),
        ("14÷3=4…2=2", 8, "expected an operator or the end at position 8, found '='"),
        ("1/0=3+", 6, "expected a number or '(' at position 6, found the end"),
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


@settings(max_examples=100)
@given(
    st.text(alphabet="0.3456789", min_size=1, max_size=8),
    st.sampled_from("+-*/"),
    st.integers(1, 40),
)
def test_values_of_decimals_have_no_more_digits_than_the_text(
    number: str, operator: str, times: int
) -> None:
    text = operator.join([number] * times)
    if (value := value_of(text)) is not None:
        assert len(str(abs(value.numerator))) <= len(text)
        assert len(str(value.denominator)) <= len(text)


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
        (Fraction(17, 10), "17/10"),
        (None, ""),
    ],
)
def test_format_value(value: Fraction | None, text: str) -> None:
    assert format_value(value) == text
    assert value_of(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("3.4×0.5=1.7", "1.7"),
        ("-0.05", "-0.05"),
        ("0.7÷10", "0.07"),
        ("1.25×0.8", "1"),
        ("1.0/3", "1/3"),
        ("17/10", "17/10"),
        ("14÷4=3...2", "7/2"),  # these dots are no decimal point
        ("0.00000000000000000001", "0.00000000000000000001"),
        ("0.000000000000000000001", "1/1000000000000000000000"),
        ("-123456789.5*10-0.5", "-1234567895.5"),
    ],
)
def test_a_value_is_a_decimal_where_its_text_has_one(text: str, value: str) -> None:
    assert format_value(value_of(text), text) == value
    assert Fraction(value) == value_of(text)


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("1+2", "= 3"),
        ("0.7÷10", "= 0.07"),
        ("7/2", "= 7/2"),
        ("1/0", ""),
        ("AB-1", ""),
        ("", ""),
        ("1+2=3", ""),
        ("1+2=?", ""),
        ("1+2=", ""),
        ("1+2>2", ""),
        ("1\uff1d1", ""),
        ("14÷3=4…2", ""),
    ],
)
def test_a_value_follows_a_text_without_a_relation(text: str, answer: str) -> None:
    assert equals_value(value_of(text), text) == answer


@given(decimals, st.integers(1, 60))
def test_decimals_are_exact(text: str, divisor: int) -> None:
    text = f"{text}/{divisor}"
    value = python_value(text)
    written = format_value(value, text)
    assert Fraction(written) == value
    tail = value * 10**MAX_DECIMALS
    assert ("/" in written) == (tail.denominator > 1)
