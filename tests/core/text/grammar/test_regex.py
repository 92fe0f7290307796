"""Grammars given as regular expressions, against Python's `re`."""

from __future__ import annotations

import itertools
import re

import hypothesis
import pytest
from hypothesis import strategies as st

from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import load_grammar
from exprocr.errors import ConfigError

CHARSET = Charset("()*+-/0123456789")


def charset_of(characters: str, pattern: str) -> Charset:
    """The characters, and all digits where the pattern names them."""
    digits = "0123456789" if re.search(r"0-9|\\d", pattern, re.IGNORECASE) else ""
    return Charset("".join(sorted({*characters, *digits})))


@pytest.mark.parametrize(
    ("pattern", "characters"),
    [
        ("[0-9]+[+*-][0-9]+", "+*-09"),
        (r"\d+", "+-09"),
        (r"\d{1,2}", "+-09"),
        (r"\D\d", "+-09"),
        ("[^+]0", "+-0"),
        ("[^+-]*", "+-0"),
        (r"[^\d]+", "+-0"),
        (r"[+\-]?0", "+-0"),
        (r"\(?0\)?", "()0"),
        ("(0|1)(0|1)", "+01"),
        ("(01)*|1+", "+01"),
        ("0{2}", "01"),
        ("0{2,3}1{0,1}", "01"),
        ("(01){1,}", "01"),
        ("0{,2}", "01"),
        ("1?0?1?", "01"),
        ("1??0+?1*?", "01"),
        (".", "01+"),
        (".*1.", "01"),
        ("(?:0.)+", "01+"),
        ("(?P<sign>[+-])1", "+-1"),
        ("1+1", "+1"),
        (r"1\+1", "+1"),
        ("", "01"),
        ("0|", "01"),
        ("[*+-]+0", "*+-0"),  # nothing here that could be taken for a possessive repeat
        (r"[\]0]|0\]", "]0"),
        (r"\++0", "+0"),
        (r"\\+0", "\\0"),
    ],
)
def test_a_pattern_accepts_what_python_matches_as_a_whole(pattern: str, characters: str) -> None:
    grammar = load_grammar(f"regex:{pattern}", charset_of(characters, pattern))
    accepted = 0
    for length in range(6):
        for text in map("".join, itertools.product(characters, repeat=length)):
            expected = re.fullmatch(pattern, text) is not None
            assert grammar.accepts(text) == expected, text
            accepted += expected
    assert accepted


atoms = st.sampled_from(["1", "a", r"\+", "-", ".", "[1a]", "[^1]", "[^1a]", r"[a\-]", "[-a]"])
repeats = st.sampled_from(
    ["*", "+", "?", "{2}", "{0,2}", "{1,}", "{,2}", "{0}", "*?", "+?", "??", "{1,2}?"]
)
patterns = st.recursive(
    atoms,
    lambda inner: (
        st.tuples(inner, inner).map("".join)
        | st.tuples(inner, inner).map(lambda pair: f"({pair[0]}|{pair[1]})")
        | st.tuples(inner, inner).map("|".join)
        | st.tuples(inner, repeats).map(lambda pair: f"(?:{pair[0]}){pair[1]}")
    ),
    max_leaves=6,
)
ALL_SHORT = ["".join(t) for n in range(5) for t in itertools.product("1+-a", repeat=n)]


@hypothesis.given(pattern=patterns)
def test_any_pattern_accepts_what_python_matches_as_a_whole(pattern: str) -> None:
    expected = [text for text in ALL_SHORT if re.fullmatch(pattern, text)]
    grammar = load_grammar(f"regex:{pattern}", Charset("1+-a"))
    assert [text for text in ALL_SHORT if grammar.accepts(text)] == expected


pieces = st.sampled_from(
    [*"01a(|)[]^-?*+,.\\d:=!#<P>$", "(?", "{2}", "{,1}", "{1", "{}", "[^", "[]"]
)


@hypothesis.given(pattern=st.lists(pieces, max_size=8).map("".join))
@hypothesis.settings(max_examples=300)
def test_whatever_the_pattern_it_is_refused_or_means_what_it_means_in_python(pattern: str) -> None:
    try:
        grammar = load_grammar(f"regex:{pattern}", CHARSET)
    except ConfigError:
        return
    for length in range(4):
        for text in map("".join, itertools.product("01(-", repeat=length)):
            assert grammar.accepts(text) == (re.fullmatch(pattern, text) is not None), text


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(1", "missing ), unterminated subpattern at position 0"),
        ("1)", "unbalanced parenthesis at position 1"),
        ("[1", "unterminated character set at position 0"),
        ("[9-0]", "bad character range 9-0 at position 1"),
        ("*1", "nothing to repeat at position 0"),
        ("1**", "multiple repeat at position 2"),
        ("1{2,1}", "min repeat greater than max repeat at position 2"),
        ("1{99999999999}", "the repetition number is too large"),
        ("(" * 5000 + ")" * 5000, "maximum recursion depth exceeded"),
    ],
)
def test_an_invalid_pattern(pattern: str, reason: str) -> None:
    with pytest.raises(
        ConfigError, match=f": expected a regular expression, found: {re.escape(reason)}"
    ):
        load_grammar(f"regex:{pattern}", CHARSET)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("^1", "'^'"),
        ("1$", "'$'"),
        (r"1\b", r"Escape \b"),
        (r"\A1", r"Escape \A"),
        (r"1\Z", r"Escape \Z"),
        (r"(1)\1", "Group references"),
        ("(?P<a>1)(?P=a)", "'(?P='"),
        ("(?=1).", "'(?='"),
        ("(?!1).", "'(?!'"),
        ("(?<=1)2", "'(?<'"),
        ("(?i)1", "'(?i'"),
        ("(?#no)1", "'(?#'"),
        ("(?>1*)1", "'(?>'"),
        ("1*+1", "'*+'"),
        ("1{1,2}+1", "'{1,2}+'"),
        ("[]1]", "'[]'"),
        ("[^]1]", "'[^]'"),
        ("1{}", "'{}'"),
    ],
)
def test_what_is_beyond_regular_or_read_otherwise_is_refused(pattern: str, found: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"repeats, without anchors .*, found: {re.escape(found)}"
    ):
        load_grammar(f"regex:{pattern}", CHARSET)


@pytest.mark.parametrize(
    ("pattern", "character"),
    [
        ("[0-9]+=[0-9]+", "="),
        ("1|x", "x"),
        ("[1x]", "x"),
        ("(1,2)?3", ","),
        (r"\w", "A"),
    ],
)
def test_a_character_outside_the_charset_is_named(pattern: str, character: str) -> None:
    with pytest.raises(ConfigError, match=rf"found {re.escape(repr(character))}$") as info:
        load_grammar(f"regex:{pattern}", CHARSET)
    assert repr(CHARSET.characters) in str(info.value)


@pytest.mark.parametrize("pattern", ["[^x]1", "[^x+]1", ".1", ".*[^+]", "(.|[^1])1?", "1(x){0}|11"])
def test_a_character_outside_the_charset_may_be_excluded(pattern: str) -> None:
    grammar = load_grammar(f"regex:{pattern}", Charset("1+"))
    for text in ("11", "+1", "1+", "1"):
        assert grammar.accepts(text) == (re.fullmatch(pattern, text) is not None)


def test_no_text_is_left() -> None:
    with pytest.raises(ConfigError, match=r"^grammar regex:\[\^1\]: expected texts of .* found n"):
        load_grammar("regex:[^1]", Charset("1"))


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("(1|2)*1(1|2){40}", "too much work (its states can grow exponentially)"),
        ("1{999999}", "more than 4,000 characters and classes"),
        ("((((1?){10}){10}){10}){10}", "more than 4,000 characters and classes"),
        ("(1{0,1000}){0,1000}", "too much work"),
        ("(" + "()" * 4000 + "1){3000}", "too much work"),
        ("\n" * 10_001, "expected at most 10,000 characters, found 10,001"),
        ("(1|2)(3|4)" * 1001, "expected at most 10,000 characters, found 10,010"),
    ],
)
def test_a_pattern_that_needs_too_much_is_refused(pattern: str, found: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(found)) as error:
        load_grammar(f"regex:{pattern}", CHARSET)
    assert len(str(error.value)) < 300
    assert str(error.value).isprintable()


@pytest.mark.parametrize(
    ("pattern", "num_states"),
    [
        ("(1|2)*1(1|2){11}", 2**12),
        ("(){1000000000}1", 2),
        ("((()|){1000}){1000}1", 2),
        ("[^1]{4000}", 4001),
        ("(1*)*" * 500, 1),
        (r"[\w\W]1", 3),
    ],
)
def test_a_pattern_that_looks_large(pattern: str, num_states: int) -> None:
    grammar = load_grammar(f"regex:{pattern}", Charset("1234+" if "w" in pattern.lower() else "12"))
    assert grammar.automaton.num_states <= num_states
