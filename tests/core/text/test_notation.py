"""Characters that were typed, or read, for others that look alike."""

from __future__ import annotations

import pytest

from exprocr.core.text.notation import respelled

KNOWN = "()*+-0123456789"


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("O0o+lI|", "000+111"),
        ("S*B-Z", "5*8-2"),
        ("\uff11\uff0b\uff2f", "1+0"),  # full-width, also of a letter
        ("\u041e\u2212\u0417", "0-3"),  # Cyrillic, and a minus sign
        ("1 + 2", "1+2"),
        ("1+w", "1+w"),
        ("", ""),
    ],
)
def test_respelled(text: str, meant: str) -> None:
    assert respelled(text, KNOWN) == meant


def test_what_is_known_stays() -> None:
    assert respelled("O l x", "Ol x0") == "O l x"
    assert respelled("O", "123") == "O"
    assert respelled("3x4", "34\u00d7") == "3\u00d74"
