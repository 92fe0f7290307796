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
    ("number", "text"),
    [
        (0, "0"),
        (999_999, "999,999"),
        (1_000_000, "1.00 M"),
        (9_994_999, "9.99 M"),
        (9_995_001, "10.0 M"),
        (37_324_800, "37.3 M"),
        (99_960_000, "100 M"),
        (999_499_999, "999 M"),
        (999_500_000, "1.00 G"),
        (12_000_000_000, "12.0 G"),
        (4_500_000_000_000, "4.50 T"),
    ],
)
def test_counts(number: int, text: str) -> None:
    assert words.format_count(number) == text


def test_times_shares_and_shapes() -> None:
    seconds = (0, 4.14e-6, 3.2e-5, 1.234e-4, 9.996e-3, 0.0153, 0.2561, 0.99951, 61)
    assert [words.format_seconds(value) for value in seconds] == [
        "0 ms", "0.0041 ms", "0.032 ms", "0.12 ms", "10.0 ms", "15.3 ms", "256 ms", "1.00 s",
        "61.00 s",
    ]  # fmt: skip
    shares = (0, 1e-9, 0.0004, 0.0005, 0.123, 1)
    assert [words.format_share(share) for share in shares] == [
        "0.0%", "< 0.1%", "< 0.1%", "0.1%", "12.3%", "100.0%",
    ]  # fmt: skip
    assert words.format_shape((16, 30, 90)) == "16 x 30 x 90"


def test_confidences_are_rounded_down() -> None:
    shown = [words.format_confidence(c) for c in (0.0, 0.00005, 0.98765, 0.99999, 1.0, 1.0 + 1e-9)]
    assert shown == ["0.0000", "0.0000", "0.9876", "0.9999", "1.0000", "1.0000"]
    assert words.format_confidence(float("nan")) == "nan"


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


def test_a_shortened_text_is_one_line() -> None:
    assert words.shortened("a\nb") == "a\\nb"
    assert words.shortened("\n" * 60, 60) == "\\n" * 28 + "\\..."
    assert words.shortened("a" * 60, 60) == "a" * 60
