"""Automata of text files with one allowed text per line."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

from exprocr.core.system.files import read_regular
from exprocr.core.system.limits import MAX_LABEL_LENGTH, MAX_LEXICON_BYTES, MAX_LEXICON_NODES
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.automaton import Arcs
from exprocr.errors import ConfigError
from exprocr.words import quoted


def lexicon_arcs(path: Path, charset: Charset) -> tuple[Arcs, Hashable, frozenset[Any]]:
    """Read a text file with one allowed text per line; empty lines are skipped.

    Args:
        path: The file, UTF-8.
        charset: The model's characters.

    Returns:
        Arcs, start and accepting states of the smallest automaton.

    Raises:
        ConfigError: The file cannot be read, is empty, or has a character outside the charset.
    """
    try:
        lines = read_regular(path, MAX_LEXICON_BYTES).decode("utf-8-sig").splitlines()
    except FileNotFoundError:
        raise _unusable(path, "none") from None
    except IsADirectoryError:
        raise _unusable(path, "a folder") from None
    except OSError as error:
        raise ConfigError(f"grammar: {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"grammar: {path}: expected UTF-8 text, found other bytes") from None
    texts = set()
    known = set(charset.characters)
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if not known.issuperset(text):
            missing = charset.missing(text[:MAX_LABEL_LENGTH])
            raise ConfigError(
                f"grammar: {path}, line {number}: expected characters of "
                f"{quoted(charset.characters)}, found {quoted(missing)}"
            )
        if len(text) > MAX_LABEL_LENGTH:
            raise ConfigError(
                f"grammar: {path}, line {number}: expected at most {MAX_LABEL_LENGTH:,} "
                f"characters, found {len(text):,}"
            )
        texts.add(text)
    texts.discard("")
    if not texts:
        raise ConfigError(f"grammar: {path}: expected one text per line, found none")
    return _minimal(path, texts)


def _unusable(path: Path, found: str) -> ConfigError:
    return ConfigError(
        f"grammar: {path}: expected a file with one allowed text per line, found {found}"
    )


def _minimal(path: Path, texts: set[str]) -> tuple[Arcs, Hashable, frozenset[Any]]:
    """Build a trie and merge equal states, from the leaves up (Revuz 1992)."""
    children: list[dict[str, int]] = [{}]
    ends: set[int] = set()
    for text in sorted(texts):  # so that the arcs of each node are ordered
        node = 0
        for character in text:
            if character not in children[node]:
                children[node][character] = len(children)
                children.append({})
            node = children[node][character]
        ends.add(node)
        if len(children) > MAX_LEXICON_NODES:
            raise ConfigError(
                f"grammar: {path}: expected texts whose tree has at most {MAX_LEXICON_NODES:,} "
                "nodes, found more"
            )
    merged: dict[tuple[Any, ...], int] = {}  # by whether a text may end, and arcs
    name = [0] * len(children)
    for node in range(len(children) - 1, -1, -1):  # children before their parents
        children[node] = {c: name[child] for c, child in children[node].items()}
        state = (node in ends, *children[node].items())
        name[node] = merged.setdefault(state, node)
    kept = set(merged.values())
    return {node: children[node] for node in kept}, name[0], frozenset(ends & kept)
