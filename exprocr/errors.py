"""The exceptions a user can meet; everything else is a bug.

::

    ExprocrError
    |-- ConfigError        a setting, a configuration file, an option's value
    |-- DataError          a data set: its folder, its labels, its images as a whole
    |-- ExpressionError    a text that is no arithmetic expression
    |-- FontError          no usable font
    |-- ImageError         one picture that cannot be read
    |-- ModelFileError     a file that is no model, or does not fit this program
    `-- OutputError        a place that cannot be written

A message is one line: which file or field, what was expected, what was found.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ExprocrError(Exception):
    """Base of everything the command line reports in one line, with exit code 1."""


class ConfigError(ExprocrError):
    """A setting is unknown or out of range."""


class DataError(ExprocrError):
    """A data set cannot be used as it is."""


class ExpressionError(ExprocrError):
    """A text is no arithmetic expression.

    Args:
        message: What was expected and what was found.
        position: 0-based index of the offending character, ``len(text)`` for the end.
    """

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class FontError(ExprocrError):
    """No font can draw the characters."""


class ImageError(ExprocrError):
    """A picture cannot be read."""


class ModelFileError(ExprocrError):
    """A model file is damaged, foreign, or newer than this program."""


class OutputError(ExprocrError):
    """A file or folder cannot be written."""


def unknown_name(name: str, key: str, known: Iterable[str], *, what: str) -> str:
    """Say that ``key`` is unknown, and which of ``known`` is nearest."""
    known = list(known)
    near = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.0)
    return f"{name}: unknown {what}; did you mean {near[0]!r}? ({what}s: {', '.join(known)})"
