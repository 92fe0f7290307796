"""The exceptions that a user can meet; any other is a bug.

::

    ExprocrError
    |-- ConfigError        a setting, a configuration file, an option's value
    |-- DataError          a data set: its folder, its labels, its images together
    |-- ExpressionError    a text that is no arithmetic expression
    |-- FontError          no usable font
    |-- ImageError         one picture that cannot be read
    |-- ModelFileError     a file that is no model, or does not fit this program
    `-- OutputError        a file or folder that cannot be written

A message is one line that names the file or the field, what was expected, and what was found.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class ExprocrError(Exception):
    """Base of all errors that the command line reports in one line, with exit code 1."""


class ConfigError(ExprocrError):
    """A setting is unknown or out of range."""


class DataError(ExprocrError):
    """A data set cannot be used."""


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
    """Return a message that ``key`` is unknown, with the nearest of the known names.

    Args:
        name: What is wrong, as the message begins: the name of a setting or an argument.
        key: The unknown name.
        known: All names.
        what: What the names are of, such as ``preset``.
    """
    known = list(known)
    near = difflib.get_close_matches(key[:100], known, n=1, cutoff=0.0)
    return f"{name}: unknown {what}; did you mean {near[0]!r}? ({what}s: {', '.join(known)})"
