"""Numbers and counts as people read them."""

from __future__ import annotations

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
