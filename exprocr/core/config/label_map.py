"""Replacements in labels, such as a minus sign by a hyphen: their notation and what they do."""

from __future__ import annotations

import re
from collections.abc import Sequence

from exprocr.errors import ConfigError
from exprocr.words import quoted

MAX_ENTRY_LENGTH = 100
"""Longest ``FROM=TO``, in characters."""


def parse_entry(entry: str) -> tuple[str, str]:
    """Return what is replaced and by what.

    Args:
        entry: ``FROM=TO``. FROM has at least one character, and may begin with ``=``; TO may be
            empty, which removes FROM.

    Raises:
        ConfigError: It is not of this form, too long, or has white space other than blanks.
    """
    end = entry.find("=", 1)
    if end < 0 or len(entry) > MAX_ENTRY_LENGTH or not entry.isprintable():
        raise ConfigError(
            f"map: expected FROM=TO of at most {MAX_ENTRY_LENGTH} characters, without white "
            f"space but blanks, found {quoted(entry)}"
        )
    return entry[:end], entry[end + 1 :]


class LabelMap:
    """Replaces parts of labels, and counts the labels that it changes.

    What was put in is not replaced again. Where two replacements are possible, the one of more
    characters is made.

    Args:
        entries: Replacements, see `parse_entry`.

    Raises:
        ConfigError: One of them is malformed, or two replace the same by different texts.
    """

    def __init__(self, entries: Sequence[str] = ()) -> None:
        self.num_changed = 0
        self.replacements: dict[str, str] = {}
        for before, after in map(parse_entry, entries):
            if self.replacements.setdefault(before, after) != after:
                raise ConfigError(
                    f"map: expected one replacement of {quoted(before)}, found "
                    f"{quoted(self.replacements[before])} and {quoted(after)}"
                )
        longest_first = sorted(self.replacements, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def __call__(self, text: str) -> str:
        """Return a label with its replacements."""
        if not self.replacements:
            return text
        changed = self._pattern.sub(lambda match: self.replacements[match[0]], text)
        self.num_changed += changed != text
        return changed
