"""Grammars given as files of allowed texts."""

from __future__ import annotations

import errno
import os
import tempfile
from pathlib import Path

import hypothesis
import pytest
from hypothesis import strategies as st

from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.grammars import Grammar, load_grammar
from exprocr.errors import ConfigError

CHARSET = Charset("*+-0123456789")


def lexicon(tmp_path: Path, content: bytes) -> Grammar:
    path = tmp_path / "words.txt"
    path.write_bytes(content)
    return load_grammar(f"lexicon:{path}", CHARSET)


def texts_of(grammar: Grammar) -> list[str]:
    return sorted(grammar.charset.decode(ids) for ids in grammar.automaton.texts())


@pytest.mark.parametrize(
    "content",
    [
        b"1+2\n12\n3*4\n",
        b"1+2\n12\n3*4",  # no newline at the end
        b"1+2\r\n12\r\n3*4\r\n",
        b"\n\n1+2\n  \n12\n\n3*4\n\n",
        b"\xef\xbb\xbf1+2\n12\n3*4\n",  # a byte order mark
        b"\xef\xbb\xbf\r\n1+2\r\n12\r\n3*4",
        b"3*4\n1+2\n12\n1+2\n12\n",  # in another order, and twice
        b" 1+2\n12 \n\t3*4 \n",
    ],
)
def test_the_lines_of_the_file_are_accepted(tmp_path: Path, content: bytes) -> None:
    grammar = lexicon(tmp_path, content)
    assert texts_of(grammar) == ["1+2", "12", "3*4"]
    assert grammar.automaton.num_texts == 3
    assert not grammar.accepts("")
    assert not grammar.accepts("1+")
    assert grammar.name == f"lexicon:{tmp_path / 'words.txt'}"


def test_shared_endings_share_states(tmp_path: Path) -> None:
    lines = [f"{a}+{b}" for a in "123456789" for b in "123"]
    grammar = lexicon(tmp_path, "\n".join(lines).encode())
    assert texts_of(grammar) == sorted(lines)
    assert grammar.automaton.num_states == 4


@hypothesis.given(lines=st.sets(st.text("12+", min_size=1, max_size=6), min_size=1, max_size=12))
def test_the_automaton_is_the_smallest_that_accepts_the_lines(lines: set[str]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        grammar = lexicon(Path(folder), "\n".join(lines).encode())
    assert texts_of(grammar) == sorted(lines)
    # Myhill and Nerode: a state for each set of endings that a prefix may have.
    prefixes = {line[:length] for line in lines for length in range(len(line) + 1)}
    endings = {
        frozenset(line.removeprefix(prefix) for line in lines if line.startswith(prefix))
        for prefix in prefixes
    }
    assert grammar.automaton.num_states == len(endings)


@pytest.mark.parametrize("content", [b"", b"\n\r\n  \n", b"\xef\xbb\xbf"])
def test_a_file_without_texts(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"words\.txt: expected one text per line, found none"):
        lexicon(tmp_path, content)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"missing\.txt: expected a file .*, found none$"):
        load_grammar(f"lexicon:{tmp_path / 'missing.txt'}", CHARSET)


def test_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=f"^grammar: {tmp_path}: .*, found a folder$"):
        load_grammar(f"lexicon:{tmp_path}", CHARSET)


def test_a_file_that_cannot_be_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*args: object, **options: object) -> str:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refused)
    with pytest.raises(ConfigError, match=r"words\.txt: cannot be read: Permission denied$"):
        lexicon(tmp_path, b"1+2")


@pytest.mark.parametrize("content", [b"1+2\n\xff\n", "1+2\n".encode("utf-16")])
def test_a_file_that_is_not_utf_8(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ConfigError, match=r"words\.txt: expected UTF-8 text, found other bytes"):
        lexicon(tmp_path, content)


@pytest.mark.parametrize(
    ("content", "line", "found"),
    [
        ("1+2\n3/4\n", 2, "/"),
        ("a", 1, "a"),
        ("1\n\n2\n1 + 2\n", 4, " "),
        ("\ufeff1\r\n2\u00d73=6\r\n", 2, "\u00d7="),
    ],
)
def test_a_character_outside_the_charset_names_the_line(
    tmp_path: Path, content: str, line: int, found: str
) -> None:
    with pytest.raises(ConfigError, match=rf"words\.txt, line {line}: expected") as info:
        lexicon(tmp_path, content.encode())
    assert str(info.value).endswith(f"found {found!r}")
    assert repr(CHARSET.characters) in str(info.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("1" * 1001, "line 1: expected at most 1,000 characters, found 1,001"),
        ("12\n" * 1_400_000, "cannot be read: a file of more than 4 MB, the limit"),
        (
            "\n".join(f"{number:07}" for number in range(0, 10**7, 40)),
            "expected texts whose tree has at most 250,000 nodes, found more",
        ),
    ],
)
def test_a_lexicon_is_limited(tmp_path: Path, content: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        lexicon(tmp_path, content.encode())


def test_a_lexicon_is_a_regular_file() -> None:
    with pytest.raises(ConfigError, match="cannot be read: a device, not a regular file"):
        load_grammar("lexicon:/dev/zero", CHARSET)


def test_a_grammar_for_many_classes_is_limited(tmp_path: Path) -> None:
    charset = Charset("".join(map(chr, range(48, 9_000))))
    path = tmp_path / "words.txt"
    path.write_text("".join(f"{'1' * i}{chr(50 + i)}{chr(60 + i)}\n" for i in range(950)))
    with pytest.raises(ConfigError, match="expected at most 10,000,000 states times classes"):
        load_grammar(f"lexicon:{path}", charset)
