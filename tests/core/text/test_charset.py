"""The charset: class ids from 1, the blank 0 apart."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exprocr.core.text.charset import BLANK, Charset
from exprocr.errors import DataError


def test_ids_follow_the_order_and_leave_the_blank() -> None:
    charset = Charset("ba+")
    assert charset.encode("+abb") == [3, 2, 1, 1]
    assert charset.num_classes == 4
    assert BLANK == 0
    assert charset.encode("") == []


@given(st.text(min_size=1, max_size=12))
def test_round_trip(text: str) -> None:
    charset = Charset.from_texts([text, text[:1]])
    assert list(charset.characters) == sorted(set(text))
    ids = charset.encode(text)
    assert charset.decode(ids) == text
    assert all(0 < i < charset.num_classes for i in ids)


def test_from_texts_is_the_same_in_any_order() -> None:
    assert Charset.from_texts(["2+1", "", "(3)"]) == Charset.from_texts(["(3)+1+2"])
    assert Charset.from_texts(["2+1", "(3)"]).characters == "()+123"


def test_unknown_characters_are_named() -> None:
    charset = Charset("123")
    assert charset.missing("1x2yx") == "xy"
    assert charset.missing("321") == ""
    with pytest.raises(DataError) as caught:
        charset.encode("1x2yx")
    assert str(caught.value) == "label '1x2yx': expected characters of '123', found 'xy'"


@pytest.mark.parametrize("characters", ["", "1+1"])
def test_refuses_empty_and_repeated(characters: str) -> None:
    with pytest.raises(ValueError, match="unique characters"):
        Charset(characters)


def test_no_texts_make_no_charset() -> None:
    with pytest.raises(ValueError, match="unique characters"):
        Charset.from_texts([""])


def test_a_charset_is_limited() -> None:
    Charset("".join(map(chr, range(10_000))))
    with pytest.raises(ValueError, match="a charset has at most 10,000 characters, found 10,001"):
        Charset("".join(map(chr, range(10_001))))
    with pytest.raises(ValueError, match=r"found 'aaa.*\.\.\.$"):
        Charset("a" * 100_000)
