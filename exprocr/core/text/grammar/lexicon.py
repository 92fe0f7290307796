"""Automata of lists of allowed texts, and reading such a list from a file."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from pathlib import Path
from typing import Any

from exprocr.core.system.limits import MAX_LABEL_LENGTH, MAX_LEXICON_BYTES, MAX_LEXICON_NODES
from exprocr.core.system.regular import read_regular
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.automaton import Arcs
from exprocr.errors import ConfigError
from exprocr.words import quoted, shortened


def read_texts(path: Path, what: str, charset: Charset | None = None) -> list[str]:
    """Read a text file with one text per line, without the white space around it.

    Args:
        path: The file, UTF-8; empty lines are skipped.
        what: What names the file, such as ``grammar``, for messages.
        charset: The characters that it may have; None allows all.

    Returns:
        The texts in the order of the file, as often as they are there.

    Raises:
        ConfigError: The file cannot be read, has no text, or has one of more than
            `MAX_LABEL_LENGTH` characters or with one outside the charset.
    """
    try:
        lines = read_regular(path, MAX_LEXICON_BYTES).decode("utf-8-sig").splitlines()
    except (FileNotFoundError, IsADirectoryError) as error:
        found = "a folder" if isinstance(error, IsADirectoryError) else "none"
        raise ConfigError(
            f"{what}: {path}: expected a file with one text per line, found {found}"
        ) from None
    except OSError as error:
        raise ConfigError(f"{what}: {path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{what}: {path}: expected UTF-8 text, found other bytes") from None
    texts = []
    known = set(charset.characters) if charset else set()
    for number, line in enumerate(lines, start=1):
        text = line.strip()
        if charset and not known.issuperset(text):
            missing = charset.missing(text[:MAX_LABEL_LENGTH])
            raise ConfigError(
                f"{what}: {path}, line {number}: expected characters of "
                f"{quoted(charset.characters)}, found {quoted(missing)}"
            )
        if len(text) > MAX_LABEL_LENGTH:
            raise ConfigError(
                f"{what}: {path}, line {number}: expected at most {MAX_LABEL_LENGTH:,} "
                f"characters, found {len(text):,}"
            )
        if text:
            texts.append(text)
    if not texts:
        raise ConfigError(f"{what}: {path}: expected one text per line, found none")
    return texts


def lexicon_arcs(
    name: str, texts: Iterable[str], charset: Charset
) -> tuple[Arcs, Hashable, frozenset[Any]]:
    """Build the smallest automaton of a list of texts.

    Args:
        name: Name of the grammar, for messages.
        texts: The allowed texts.
        charset: The model's characters.

    Returns:
        Arcs, start and accepting states.

    Raises:
        ConfigError: A text has a character outside the charset, or the texts are beyond a limit of
            `exprocr.core.system.limits`.
    """
    name = shortened(name)
    known = set(charset.characters)
    for text in texts:
        if not known.issuperset(text):
            raise ConfigError(
                f"grammar {name}: expected characters of {quoted(charset.characters)}, found "
                f"{quoted(charset.missing(text))} in {quoted(text)}"
            )
    return _minimal(name, set(texts))


def _minimal(grammar: str, texts: set[str]) -> tuple[Arcs, Hashable, frozenset[Any]]:
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
                f"grammar {grammar}: expected texts whose tree has at most {MAX_LEXICON_NODES:,} "
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
