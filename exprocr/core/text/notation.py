"""Characters that look alike or mean the same, such as a hyphen and a minus sign.

A label can be typed with characters that differ from those of a model, and a reading can have
characters that differ from those of the parser. Here they are brought together.
"""

from __future__ import annotations

import unicodedata

ALIKE = (
    "-\u2010\u2011\u2012\u2013\u2014\u2212\ufe63\uff0d",  # hyphens, dashes, minus signs
    "+\ufe62\uff0b",
    "*\u2217\ufe61\uff0a",
    "/\u2044\u2215\uff0f",
    "\u00d7xX\u0445\u0425\u2715\u2716\u2a2f\uff38\uff58",  # times, Latin and Cyrillic letters
    "\u00b7\u2219\u22c5\u2022\u30fb",  # dots in the middle
    "\u00f7\u2797",
    ":\u2236\uff1a",
    "=\ufe66\uff1d",
    "<\ufe64\uff1c",
    ">\ufe65\uff1e",
    "\u2264\u2266\u2a7d",  # at most
    "\u2265\u2267\u2a7e",  # at least
    "\u2260",
    "?\ufe56\uff1f",
    "\u2026\u22ef",  # three dots
    "(\ufe59\uff08",
    ")\ufe5a\uff09",
    ".\ufe52\uff0e",
    *(chr(0x30 + digit) + chr(0xFF10 + digit) for digit in range(10)),
)
"""Groups of characters that differ only in width or look. The first one is the usual one."""

_MISTYPED = {
    letter: digit
    for letters, digit in (
        ("OoQD\u041e\u043e", "0"), ("lIi|!\u0406", "1"), ("Zz", "2"), ("\u0417\u0437", "3"),
        ("A", "4"), ("Ss", "5"), ("Gb", "6"), ("T", "7"), ("B\u0412", "8"), ("gq", "9"),
    )
    for letter in letters
}  # fmt: skip
"""Latin and Cyrillic letters that are typed, or read by other programs, where a digit stands."""

_MEANINGS = {"\u00d7": "*", "\u00b7": "*", "\u00f7": "/", ":": "/"}
"""The parser's operators for usual characters of another look."""

_LOOK_OF = {character: look for look in ALIKE for character in look}

_MEANING_OF = str.maketrans(
    {character: _MEANINGS.get(look[0], look[0]) for character, look in _LOOK_OF.items()}
)


def as_parsed(text: str) -> str:
    """Return a text of the same length in the characters that the parser knows.

    Multiplication is ``*``, division ``/``, and three dots in one character are U+2026. Characters
    without a meaning stay as they are.
    """
    return text.translate(_MEANING_OF)


def look_alike(character: str, known: str) -> str:
    """Return the character of ``known`` that looks like another one; empty if there is none."""
    return next((other for other in _LOOK_OF.get(character, "") if other in known), "")


def respelled(text: str, known: str) -> str:
    """Return a text with what is not in ``known`` replaced by what it was probably meant to be.

    That is a character of another width or look, or a digit for a letter. Blanks go, if ``known``
    has none. A character without such a counterpart stays.
    """
    return "".join(
        c if c in known else "" if c == " " else look_alike(c, known) or _digit(c, known) or c
        for c in text
    )


def _digit(letter: str, known: str) -> str:
    digit = _MISTYPED.get(unicodedata.normalize("NFKC", letter), "")
    return digit if digit and digit in known else ""
