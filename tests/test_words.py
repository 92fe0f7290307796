"""Numbers and counts as people read them."""

from __future__ import annotations

import ast

import pytest

from exprocr import words


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.004, "0.00 s"),
        (0.42, "0.42 s"),
        (3.14, "3.1 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 min 00 s"),
        (245, "4 min 05 s"),
        (7620, "2 h 07 min"),
    ],
)
def test_durations(seconds: float, text: str) -> None:
    assert words.format_duration(seconds) == text


def test_quantities_and_rates() -> None:
    assert [words.quantity(n, "image") for n in (0, 1, 1200)] == [
        "0 images",
        "1 image",
        "1,200 images",
    ]
    assert [words.format_rate(n, 2) for n in (5, 2500)] == ["2.5", "1,250"]


@pytest.mark.parametrize(
    "character", ["\n", "\r", "\x1b", "\x85", "\x9b", "\u200b", "\u200e", "\u2028", "\u2029",
                  "\u202a", "\u202e", "\u2066", "\u2069", "\u061c", "\ufeff", "\u00ad",
                  "\U000e0041"]
)  # fmt: skip
def test_characters_that_act_on_a_line_are_escaped(character: str) -> None:
    escaped = words.one_line(f"a{character}b")
    assert escaped.isascii()
    assert escaped.isprintable()
    assert escaped.startswith("a\\")
    assert ast.literal_eval(f"'{escaped}'") == f"a{character}b"


def test_other_characters_stay() -> None:
    text = "3\u00d72\u00f71 = \uff15 é 漢字 \U0001f600 \udcff"
    assert words.one_line(text) == text


@pytest.mark.parametrize("value", ["a" * 10**7, b"a" * 10**7, list(range(10**5)), {1: "b" * 10**5}])
def test_quotations_are_short(value: object) -> None:
    assert len(words.quoted(value)) == words.LONGEST_QUOTE
    assert words.quoted(value).startswith(repr(value)[:57])


def test_quotations_of_what_is_nested_deeply() -> None:
    nested: list[object] = []
    for _ in range(100_000):
        nested = [nested]
    assert words.quoted(nested) == "a deeply nested list"
    while nested:  # freed step by step
        nested = nested[0]  # type: ignore[assignment]
