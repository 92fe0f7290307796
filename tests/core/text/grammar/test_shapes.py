"""Patterns of the shapes that labels have."""

from __future__ import annotations

import re

import numpy as np
import pytest

from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import load_grammar, tightest
from exprocr.core.text.grammar.shapes import MIN_TEXTS, pattern_of


def texts_of(pattern: str, num: int) -> list[str]:
    """Return texts like a pattern of ``D`` for digits and ``L`` for letters, all different."""
    rng = np.random.default_rng(0)
    found: set[str] = set()
    while len(found) < num:
        drawn = (
            str(rng.integers(10)) if c == "D" else chr(0x4E00 + rng.integers(50)) if c == "L" else c
            for c in pattern
        )
        found.add("".join(drawn))
    return sorted(found)


@pytest.mark.parametrize(
    ("shapes", "rest"),
    [(["LDDDLL"], "L"), (["DD-DDDL.", "DD-DD(L"], "-.("), (["LLLL"], ""), (["L", "LL"], "")],
)
def test_it_has_the_texts_of_these_shapes_alone(shapes: list[str], rest: str) -> None:
    texts = [text for shape in shapes for text in texts_of(shape, 45 if shape == "L" else 100)]
    charset = Charset.from_texts(texts)
    pattern = pattern_of(texts, charset)
    assert pattern is not None
    python = re.compile(pattern)  # as another engine reads it
    letters = "".join(sorted({c for text in texts for c in text if c.isalpha()}))
    for shape in shapes:
        one = shape.replace("D", "7").replace("L", letters[-1])
        assert python.fullmatch(one)
        for other in (one + letters[0], one[:-1], "7" + one, one + rest[:1], "x" * len(one)):
            is_like = [other.translate(_KINDS) == s.replace("L", "\u4e00") for s in shapes]
            assert bool(python.fullmatch(other)) == any(is_like), other
    grammar = load_grammar(tightest(texts, charset), charset)
    assert grammar.name == f"regex:{pattern}"
    assert all(map(grammar.accepts, texts))


_KINDS = {ord(c): "D" for c in "0123456789"} | {0x4E00 + i: "\u4e00" for i in range(50)}


def test_no_pattern_where_the_next_text_may_have_another_shape() -> None:
    texts = [f"{letter}{number:03}" for letter in "ABCX" for number in range(MIN_TEXTS // 4)]

    def found(texts: list[str]) -> str | None:
        return pattern_of(texts, Charset.from_texts(texts))

    assert found(texts) == "[A-CX][0-9]{3}"
    assert found(texts[:-1]) is None
    assert found([*texts, "A-1"]) is None
    plates = [f"{letter}{number:03}" for letter in "AX" for number in range(500)]
    assert found([*plates[:-2], "N/A"]) is None
    assert found([*plates[:-2], "N/A", "A-1"]) is None
    assert found([*plates[:-1], "N/A"]) == "[ANX]/[ANX]|[ANX][0-9]{3}"
    many = [t for n in range(21) for t in texts_of("D" * n + "LD", 10)]
    assert found(many) is None
    assert found(many[:-10]) is not None


def test_what_the_model_knows_may_stand_in_the_place_of_its_kind() -> None:
    texts = [f"AB-{number}" for number in range(2222, 10_000) if not {*str(number)} & {*"01"}]
    known = Charset.from_texts(texts)
    grammar = load_grammar(tightest(texts, known), known)  # without 0 and 1
    assert grammar.name == r"regex:[AB]{2}-[2-9]{4}"
    more = Charset.from_texts([*texts, "0123456789XYZ/"])
    grammar = load_grammar(tightest(texts, more), more)
    assert grammar.accepts("XA-0190")
    assert not grammar.accepts("XA/0190")


def test_none_where_the_pattern_is_too_large() -> None:
    texts = [t for n in range(200, 220) for t in texts_of("L" * n, 8)]
    assert tightest(texts, Charset.from_texts(texts)) == "none"


def test_shipped_grammars_come_first() -> None:
    texts = [str(n) for n in range(100, 300)]
    assert tightest(texts, Charset.from_texts(texts)) == "digits"
    texts = texts_of("LDDD", 200)
    charset = Charset.from_texts(texts)
    assert tightest(texts, charset).startswith("regex:")
    assert tightest(texts, charset, lambda grammar: grammar.name == "none") == "none"
