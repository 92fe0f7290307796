"""Exercises of captchas and worksheets, against Python's own arithmetic."""

from __future__ import annotations

import math
import pickle
import re
from collections import Counter
from fractions import Fraction

import numpy as np
import pytest

from exprocr.core.text.grammar.grammars import load_grammar_alone
from exprocr.synth.exercises import CAPTCHA, SUMS, WORKSHEET, Exercises

NUM = 4000
NUMBER = r"-?\d+(\.\d+)?"
EXPRESSION = rf"\(?{NUMBER}\)?([-+*/×÷]\(?{NUMBER}\)?)*"
EQUATION = re.compile(rf"{EXPRESSION}(=\??|[=<>]{EXPRESSION})?|\d+÷\d+=\d+…\d+")
"""An equation whose parentheses are not nested; that they are balanced is for the evaluation."""


def drawn(table: Exercises, num: int = NUM, seed: int = 0) -> list[str]:
    rng = np.random.default_rng(seed)
    return [table.draw(rng) for _ in range(num)]


def evaluate(text: str) -> Fraction:
    """Return the value of an expression, by Python's parser and fractions."""
    source = re.sub(r"\d+(\.\d+)?", lambda m: f"Fraction('{m[0]}')", text)
    value = eval(source.replace("×", "*").replace("÷", "/"), {"Fraction": Fraction})
    assert isinstance(value, Fraction)
    return value


def holds(text: str) -> bool | None:
    """Return whether a relation is true; None where there is none."""
    if text.endswith(("=", "=?")) or not re.search("[=<>]", text):
        evaluate(text.rstrip("=?"))  # it has a value
        return None
    left, relation, right = re.split("([=<>])", text)
    if "…" in right:
        (a, b), (q, r) = map(int, left.split("÷")), map(int, right.split("…"))
        return a == b * q + r and 0 <= r < b
    one, other = evaluate(left), evaluate(right)
    return {"=": one == other, "<": one < other, ">": one > other}[relation]


@pytest.mark.parametrize("table", [CAPTCHA, SUMS, WORKSHEET])
def test_texts_are_equations_with_a_value(table: Exercises) -> None:
    for text in drawn(table):
        assert EQUATION.fullmatch(text), text
        holds(text)
        assert not re.search(r"(?<![\d.])0\d", text), text  # no leading zero


def check_share(count: int, total: int, share: float) -> None:
    assert abs(count - total * share) < 6 * math.sqrt(total * share * (1 - share))


def test_captchas_ask_for_small_whole_values() -> None:
    texts = drawn(CAPTCHA)
    values = [evaluate(text.rstrip("=?")) for text in texts]
    assert all(value.denominator == 1 and 0 <= value <= 999 for value in values)
    check_share(sum(text.endswith("=?") for text in texts), NUM, 0.5)
    check_share(sum(text.endswith("=") for text in texts), NUM, 0.3)
    numbers = Counter(len(re.findall(r"\d+", text)) for text in texts)
    assert numbers.keys() == {2, 3}
    assert numbers[2] > 3 * numbers[3]
    signs = Counter(re.findall(r"[-+*/×÷]", "".join(texts)))
    assert min(signs["+"], signs["-"]) > signs["*"] + signs["×"] > signs["/"] + signs["÷"] > 0
    assert not any(re.search("[*/]", text) and re.search("[×÷]", text) for text in texts)


def test_sums_have_two_to_five_numbers_of_one_to_three_digits() -> None:
    texts = drawn(SUMS)
    numbers = [re.findall(r"\d+", text) for text in texts]
    for num in range(2, 6):
        check_share(sum(len(found) == num for found in numbers), NUM, 0.25)
    digits = Counter(len(number) for found in numbers for number in found)
    assert digits.keys() == {1, 2, 3}
    assert min(digits.values()) > 0.2 * digits.total()
    assert any(evaluate(text) < 0 for text in texts)


def test_half_of_the_worksheets_relations_are_true() -> None:
    texts = drawn(WORKSHEET)
    answers = [(text, found) for text in texts if (found := holds(text)) is not None]
    check_share(sum(true for _, true in answers), len(answers), 0.5)
    for part in ("…", "<", ">", "÷", "×", ".", "("):  # whatever is in them
        some = [true for text, true in answers if part in text]
        assert len(some) > 150, part
        check_share(sum(some), len(some), 0.5)
    check_share(len(texts) - len(answers), NUM, WORKSHEET.forms["open"])
    filled = [t for t in texts if re.search(r"\(\d+(\.\d+)?\)", t)]
    check_share(len(filled), NUM, WORKSHEET.forms["filled"])


def test_false_answers_are_plausible() -> None:
    kinds: Counter[str] = Counter()
    texts = [t for t in drawn(WORKSHEET, 8000) if re.fullmatch(r"[\d+×-]+=\d+", t)]
    for left, right in (text.split("=") for text in texts):
        off = abs(evaluate(left) - int(right))
        if off:
            kinds["one" if off == 1 else "power" if str(off).strip("0") == "1" else "digit"] += 1
    assert all(kinds[kind] > 0.1 * kinds.total() for kind in ("one", "power", "digit"))
    # A wrong digit is off by at most nine powers of ten.
    for left, right in (text.split("=") for text in texts):
        off = abs(evaluate(left) - int(right))
        assert off == 0 or len(str(off).rstrip("0")) == 1


def test_the_same_seed_gives_the_same_exercises() -> None:
    assert drawn(WORKSHEET, 50, 3) == drawn(pickle.loads(pickle.dumps(WORKSHEET)), 50, 3)
    assert drawn(WORKSHEET, 50, 3) != drawn(WORKSHEET, 50, 4)


def test_grammars_that_accept_the_exercises() -> None:
    assert not CAPTCHA.is_within(load_grammar_alone("expression"))
    assert CAPTCHA.is_within(load_grammar_alone("regex:[0-9]+([-+*/×÷][0-9]+){1,2}(=[?]?)?"))
