"""Automata of text files with one allowed text per line."""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any

from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.automaton import Arcs
from exprocr.errors import ConfigError


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
    if not path.exists() or path.is_dir():
        found = "a folder" if path.is_dir() else "none"
        raise ConfigError(
            f"grammar: {path}: expected a file with one allowed text per line, found {found}"
        )
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except OSError as error:
        raise ConfigError(f"grammar: {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"grammar: {path}: expected UTF-8 text, found other bytes") from None
    texts = set()
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if missing := charset.missing(text):
            raise ConfigError(
                f"grammar: {path}, line {number}: expected characters of "
                f"{charset.characters!r}, found {missing!r}"
            )
        texts.add(text)
    texts.discard("")
    if not texts:
        raise ConfigError(f"grammar: {path}: expected one text per line, found none")
    return _minimal(texts)


def _minimal(texts: set[str]) -> tuple[Arcs, Hashable, frozenset[Any]]:
    """Build a trie and merge equal states, from the leaves up (Revuz 1992)."""
    children: list[dict[str, int]] = [{}]
    ends: set[int] = set()
    for text in texts:
        node = 0
        for character in text:
            if character not in children[node]:
                children[node][character] = len(children)
                children.append({})
            node = children[node][character]
        ends.add(node)
    merged: dict[tuple[Any, ...], int] = {}  # by whether a text may end, and arcs
    name = [0] * len(children)
    for node in range(len(children) - 1, -1, -1):  # children before their parents
        children[node] = {c: name[child] for c, child in children[node].items()}
        state = (node in ends, *sorted(children[node].items()))
        name[node] = merged.setdefault(state, node)
    kept = set(merged.values())
    return {node: children[node] for node in kept}, name[0], frozenset(ends & kept)
