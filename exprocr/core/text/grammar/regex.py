"""Automata of regular expressions.

Python's `re` checks the syntax. The pattern then becomes Glushkov's automaton (Glushkov 1961, "The
abstract theory of automata"), whose states are the positions of the pattern: its characters and
classes, with repeats written out. The subset construction (Rabin & Scott 1959) makes it
deterministic. Sets of positions are integers, one bit per position. All work is counted, because a
short pattern can need exponentially many states.
"""

from __future__ import annotations

import re
import warnings
from bisect import bisect_left, bisect_right
from collections.abc import Hashable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from exprocr.core.system.limits import (
    MAX_CHARACTERS,
    MAX_PATTERN_LENGTH,
    MAX_PATTERN_POSITIONS,
    MAX_PATTERN_STEPS,
    MAX_STATES,
)
from exprocr.core.text.charset import Charset
from exprocr.core.text.grammar.automaton import Arcs
from exprocr.errors import ConfigError
from exprocr.words import quoted, shortened

_REFUSED = re.compile(
    r"\\.|(\[\^?\]|\(\?(?!P<|:)(?:P.|.)|[*+?]\+|\{\d*,?\d*\}\+|\{\}|[\^$])|\[(?:\\.|[^]\\])*\]",
    re.DOTALL,
)
"""Group 1 is syntax that is refused; skips escapes and classes."""

_REPEAT = re.compile(r"([*+?]|\{(\d*)(,?)(\d*)\})\??")

_ESCAPE = re.compile(r"\\(?:x(..)|u(.{4})|U(.{8})|(0[0-7]{0,2}|[1-3][0-7]{2})|(.))", re.DOTALL)

_LETTERS = {"a": 7, "b": 8, "f": 12, "n": 10, "r": 13, "t": 9, "v": 11}
"""Code points of escaped letters; ``b`` only in a class."""

Ranges = tuple[tuple[int, int], ...]
"""First and last code points."""

_CLASSES: dict[str, Ranges] = {
    "d": ((48, 57),),
    "s": ((9, 13), (32, 32)),
    "w": ((48, 57), (65, 90), (95, 95), (97, 122)),
}
"""Ranges of escaped classes, of ASCII alone."""

_NEWLINE, _LAST = 10, 0x10FFFF


class _Class(NamedTuple):
    """A character or a class of characters."""

    ranges: Ranges
    is_negated: bool = False


class _Sequence(NamedTuple):
    parts: tuple[Any, ...]


class _Choice(NamedTuple):
    options: tuple[Any, ...]


class _Repeat(NamedTuple):
    part: Any
    least: int
    most: int | None


class _Refused(Exception):
    """The pattern is beyond what is supported, or beyond a limit; the message is what was found."""


class _TooLarge(Exception):
    """The pattern is beyond a limit."""


class _Outside(Exception):
    """The pattern needs a character outside the charset; its code point is the argument."""


def regex_arcs(name: str, pattern: str, charset: Charset) -> tuple[Arcs, Hashable, frozenset[Any]]:
    """Compile a regular expression; it must match the whole text.

    Args:
        name: Name of the grammar, for messages.
        pattern: The regular expression, in Python's syntax.
        charset: The model's characters; ``.`` and ``[^...]`` stand for these alone.

    Returns:
        Arcs, start and accepting states.

    Raises:
        ConfigError: It is no regular expression, uses back references (not regular), anchors,
            look-around or flags (not supported), needs a character outside the charset, or is
            beyond a limit of `exprocr.core.system.limits`.
    """
    with _one_line(name, charset):
        return _Compiler(_parse(name, pattern), charset).compile()


def regex_characters(name: str, pattern: str) -> str:
    """Return the characters that a regular expression is about, where there is no model yet.

    These are the characters and ranges that it names. If it has a ``.`` or a negated class, which
    name no characters, the 94 visible ones of ASCII are added, ``!`` to ``~``.

    Args:
        name: Name of the grammar, for messages.
        pattern: The regular expression.

    Raises:
        ConfigError: It is not a regular expression for `regex_arcs`, or has more than
            `MAX_CHARACTERS`.
    """
    with _one_line(name):
        compiler = _Compiler(_parse(name, pattern), Charset("0"))
        characters: set[str] = set()
        for class_ in compiler.classes:
            ranges = ((ord("!"), ord("~")),) if class_.is_negated else class_.ranges
            if sum(last - first + 1 for first, last in ranges) > MAX_CHARACTERS:
                raise _TooLarge(f"more than {MAX_CHARACTERS:,} characters")
            characters.update(chr(c) for first, last in ranges for c in range(first, last + 1))
    return "".join(sorted(characters))


def _parse(name: str, pattern: str) -> _Choice:
    if len(pattern) > MAX_PATTERN_LENGTH:
        raise ConfigError(
            f"grammar {shortened(name)}: expected at most {MAX_PATTERN_LENGTH:,} characters, "
            f"found {len(pattern):,}"
        )
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        re.compile(pattern)  # its errors name the cause and the position
    if refused := next((match[1] for match in _REFUSED.finditer(pattern) if match[1]), None):
        raise _Refused(repr(refused))
    return _Parser(pattern).choice()


@contextmanager
def _one_line(name: str, charset: Charset | None = None) -> Iterator[None]:
    """Turn what is wrong with a pattern into a `ConfigError`."""
    name = shortened(name)
    try:
        yield
    except _Refused as error:
        raise ConfigError(
            f"grammar {name}: expected a regular expression of characters, classes, groups, | and "
            f"repeats, without anchors (the whole text is matched), found: {error}"
        ) from None
    except _TooLarge as error:
        raise ConfigError(f"grammar {name}: expected a smaller pattern, found {error}") from None
    except _Outside as error:
        assert charset  # only compiling needs characters
        raise ConfigError(
            f"grammar {name}: expected characters of {quoted(charset.characters)}, "
            f"found {chr(error.args[0])!r}"
        ) from None
    except (re.error, ValueError, ArithmeticError, RecursionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ConfigError(
            f"grammar {name}: expected a regular expression, found: {shortened(reason)}"
        ) from None


class _Parser:
    """Reads a pattern that Python's `re` accepts.

    Args:
        pattern: The pattern.
    """

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.place = 0

    def choice(self) -> _Choice:
        """Read alternatives, up to the end or a closing parenthesis."""
        options = [self._sequence()]
        while self._skip("|"):
            options.append(self._sequence())
        return _Choice(tuple(options))

    def _skip(self, text: str) -> bool:
        found = self.pattern.startswith(text, self.place)
        self.place += len(text) * found
        return found

    def _sequence(self) -> _Sequence:
        parts: list[Any] = []
        while self.place < len(self.pattern) and self.pattern[self.place] not in "|)":
            part: Any = self._group() if self._skip("(") else self._character()
            if match := _REPEAT.match(self.pattern, self.place):
                self.place = match.end()
                part = _repeated(part, match)
            parts.append(part)
        return _Sequence(tuple(parts))

    def _group(self) -> _Choice:
        if self._skip("?P<"):
            self.place = self.pattern.index(">", self.place) + 1
        else:
            self._skip("?:")
        inner = self.choice()
        self._skip(")")
        return inner

    def _character(self) -> _Class:
        if self._skip("["):
            return self._class()
        if self._skip("."):
            return _Class(((_NEWLINE, _NEWLINE),), is_negated=True)
        return self._single(in_class=False)

    def _single(self, *, in_class: bool) -> _Class:
        """Read one character, escaped or not, or an escaped class."""
        character = self.pattern[self.place]
        match = _ESCAPE.match(self.pattern, self.place)
        if not match:
            self.place += 1
            return _Class(((ord(character), ord(character)),))
        self.place = match.end()
        if code := match[1] or match[2] or match[3]:
            return _Class(((int(code, 16), int(code, 16)),))
        if match[4]:
            return _Class(((int(match[4], 8), int(match[4], 8)),))
        letter = match[5]
        if letter.lower() in _CLASSES:
            return _Class(_CLASSES[letter.lower()], is_negated=letter.isupper())
        if letter in _LETTERS and (in_class or letter != "b"):
            return _Class(((_LETTERS[letter], _LETTERS[letter]),))
        if letter.isdigit():
            raise _Refused("Group references")
        if letter.isascii() and letter.isalpha():
            raise _Refused(f"Escape \\{letter}")
        return _Class(((ord(letter), ord(letter)),))

    def _class(self) -> _Class:
        is_negated = self._skip("^")
        ranges: list[tuple[int, int]] = []
        num_negated = 0
        while not self._skip("]"):
            part = self._single(in_class=True)
            if part.is_negated:
                num_negated += 1
                ranges += _complement(part.ranges)
            elif self.pattern[self.place] == "-" and self.pattern[self.place + 1] != "]":
                self.place += 1
                ranges.append((part.ranges[0][0], self._single(in_class=True).ranges[0][1]))
            else:
                ranges += part.ranges
        if num_negated:  # such as [\\W_], which names few characters
            return _Class(tuple(_complement(ranges)), not is_negated)
        return _Class(tuple(ranges), is_negated)


def _repeated(part: Any, match: re.Match[str]) -> _Repeat:
    if match[1] in "*+?":
        return _Repeat(part, int(match[1] == "+"), 1 if match[1] == "?" else None)
    least = int(match[2] or 0)
    if not match[3]:
        return _Repeat(part, least, least)
    return _Repeat(part, least, int(match[4]) if match[4] else None)


def _complement(ranges: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the ranges of all other code points, in order."""
    others = []
    next_free = 0
    for first, last in sorted(ranges):
        if first > next_free:
            others.append((next_free, first - 1))
        next_free = max(next_free, last + 1)
    return [*others, (next_free, _LAST)] if next_free <= _LAST else others


class _Part(NamedTuple):
    """Positions of a part of a pattern."""

    nullable: bool
    """Whether the part matches the empty text."""

    first: int
    """The positions that its texts can begin with."""

    last: int
    """The positions that its texts can end with."""


_EMPTY = _Part(nullable=True, first=0, last=0)


class _Compiler:
    """Makes a pattern deterministic."""

    def __init__(self, pattern: _Choice, charset: Charset) -> None:
        self.codes = sorted(map(ord, charset.characters))
        self.classes: list[_Class] = []
        self.follow: list[int] = []
        self.steps = 0
        self.whole = self._add(pattern)

    def compile(self) -> tuple[Arcs, Hashable, frozenset[Any]]:
        """Return arcs, start and accepting states; states are sets of positions that can follow."""
        end = 1 << len(self.classes)
        for position in self._bits(self.whole.last):
            self.follow[position] |= end
        start = self.whole.first | (end if self.whole.nullable else 0)
        inside, outside, other = self._symbols()
        arcs: dict[Hashable, dict[str, Hashable]] = {}
        states, known = [start], {start}
        for state in states:  # grows while it is read
            following = arcs[state] = {}
            for mask, characters in inside:
                if target := self._target(state & mask):
                    following[characters] = target
                    if target not in known:
                        known.add(target)
                        states.append(target)
            if len(states) > MAX_STATES:
                raise _TooLarge(f"more than {MAX_STATES:,} states")
            # A character is needed where it leads to another state than characters without a name.
            for mask, code in outside:
                if state & mask and self._target(state & mask) != self._target(state & other):
                    raise _Outside(code)
        return arcs, start, frozenset(state for state in states if state & end)

    def _add(self, part: Any) -> _Part:
        """Add the positions of a part, and what follows each inside it."""
        self._count(3)
        if isinstance(part, _Class):
            if len(self.classes) == MAX_PATTERN_POSITIONS:
                raise _TooLarge(f"more than {MAX_PATTERN_POSITIONS:,} characters and classes")
            position = 1 << len(self.classes)
            self.classes.append(part)
            self.follow.append(0)
            return _Part(False, position, position)
        if isinstance(part, _Choice):
            options = [self._add(option) for option in part.options]
            first = last = 0
            for option in options:
                first, last = first | option.first, last | option.last
            return _Part(any(option.nullable for option in options), first, last)
        if isinstance(part, _Sequence):
            whole = _EMPTY
            for inner in part.parts:
                whole = self._join(whole, self._add(inner))
            return whole
        return self._add_repeat(part)

    def _add_repeat(self, repeat: _Repeat) -> _Part:
        whole = _EMPTY
        copies = max(repeat.least, 1) if repeat.most is None else repeat.most
        for number in range(1, copies + 1):
            before = len(self.classes)
            copy = self._add(repeat.part)
            if repeat.most is None and number == copies:
                self._connect(copy.last, copy.first)
            whole = self._join(
                whole, copy._replace(nullable=copy.nullable or number > repeat.least)
            )
            if len(self.classes) == before:  # it matches nothing but the empty text
                break
        return whole

    def _join(self, one: _Part, two: _Part) -> _Part:
        self._connect(one.last, two.first)
        return _Part(
            one.nullable and two.nullable,
            one.first | (two.first if one.nullable else 0),
            two.last | (one.last if two.nullable else 0),
        )

    def _connect(self, last: int, first: int) -> None:
        if first:
            for position in self._bits(last):
                self.follow[position] |= first

    def _target(self, positions: int) -> int:
        """Return the positions that can follow some positions."""
        target = 0
        for position in self._bits(positions):
            target |= self.follow[position]
        return target

    def _bits(self, positions: int) -> Iterator[int]:
        """Yield the positions of a set."""
        self._count(positions.bit_count() * (1 + len(self.classes) // 1024))
        while positions:
            lowest = positions & -positions
            yield lowest.bit_length() - 1
            positions ^= lowest

    def _count(self, steps: int) -> None:
        self.steps += steps
        if self.steps > MAX_PATTERN_STEPS:
            raise _TooLarge("one that needs too much work (its states can grow exponentially)")

    def _symbols(self) -> tuple[list[tuple[int, str]], list[tuple[int, int]], int]:
        """Find which positions match which characters.

        Returns:
            The characters of the charset with the same positions, after these; the positions of
            one character outside the charset for each range of alike ones, before its code point;
            and the positions of characters that the pattern does not name.
        """
        edges = {edge for c in self.classes for a, b in c.ranges for edge in (a, b + 1)}
        outside = set()
        for edge in edges:  # the first code point of a range, or the next outside the charset
            code = edge
            place = bisect_left(self.codes, code)
            while place < len(self.codes) and self.codes[place] == code:
                code, place = code + 1, place + 1
                self._count(1)
            outside.add(code)
        symbols = sorted({*self.codes, *outside})
        other = 0
        for position, class_ in enumerate(self.classes):
            other |= class_.is_negated << position
        masks = [other] * len(symbols)
        for position, class_ in enumerate(self.classes):
            bit = 1 << position
            for first, last in class_.ranges:
                found = range(bisect_left(symbols, first), bisect_right(symbols, last))
                self._count(len(found) + 1)
                for number in found:
                    masks[number] = (
                        masks[number] & ~bit if class_.is_negated else masks[number] | bit
                    )
        by_mask: dict[int, str] = {}
        known = set(self.codes)
        for code, mask in zip(symbols, masks, strict=True):
            if code in known:
                by_mask[mask] = by_mask.get(mask, "") + chr(code)
        others = {
            mask: code
            for code, mask in reversed(list(zip(symbols, masks, strict=True)))
            # A ``.`` does not match the newline, without needing it.
            if code not in known and code != _NEWLINE and mask != other
        }
        # Ordered, so that the message names the first character.
        ordered = sorted((code, mask) for mask, code in others.items())
        return (
            list(by_mask.items()),
            [(mask, code) for code, mask in ordered],
            other,
        )
