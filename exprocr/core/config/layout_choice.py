"""The layout that the user names for a data set, and the pattern of labels in file names."""

from __future__ import annotations

import re
from dataclasses import dataclass

from exprocr.choices import LAYOUTS
from exprocr.errors import ConfigError, unknown_name
from exprocr.words import quoted

BY_NAME = "names"
"""The layout with the labels in the names of the files."""

TEXT_GROUP = "text"

MAX_LABEL_PATTERN_LENGTH = 1_000
"""Longest pattern of labels in file names, in characters."""


def parse_label_pattern(pattern: str) -> re.Pattern[str]:
    """Return a regular expression with a group ``text``.

    Raises:
        ConfigError: It is none, has no such group, or is too long.
    """
    if len(pattern) > MAX_LABEL_PATTERN_LENGTH:
        raise ConfigError(
            f"label pattern: expected at most {MAX_LABEL_PATTERN_LENGTH:,} characters, found "
            f"{len(pattern):,}"
        )
    try:
        compiled = re.compile(pattern)
    except (re.error, RecursionError, OverflowError) as error:
        raise ConfigError(
            f"label pattern: expected a regular expression, found {quoted(pattern)}: {error}"
        ) from None
    if TEXT_GROUP not in compiled.groupindex:
        raise ConfigError(
            f"label pattern: expected a group (?P<{TEXT_GROUP}>...), found {quoted(pattern)}"
        )
    return compiled


@dataclass(frozen=True, kw_only=True)
class LayoutChoice:
    """Which layouts a data set may have."""

    name: str | None = None
    """One of `exprocr.choices.LAYOUTS`; None recognizes it."""

    label_pattern: str | None = None
    """The labels are the group ``text`` of this pattern in the names of the files."""

    def __post_init__(self) -> None:
        if self.name is not None and self.name not in LAYOUTS:
            raise ConfigError(unknown_name("layout", self.name, LAYOUTS, what="layout"))
        if self.label_pattern is not None:
            parse_label_pattern(self.label_pattern)
        if self.name == BY_NAME and self.label_pattern is None:
            raise ConfigError(
                f"layout {BY_NAME}: expected --label-pattern, such as "
                f"'(?P<{TEXT_GROUP}>[^_]+)_.*', found none"
            )
        if self.name not in (None, BY_NAME) and self.label_pattern is not None:
            raise ConfigError(f"label pattern: expected the layout {BY_NAME}, found {self.name}")
