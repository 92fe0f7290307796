"""What tools call the columns of a table of labeled pictures."""

from __future__ import annotations

from collections.abc import Sequence

IMAGE_COLUMNS = ("image", "filename", "file_name", "path")
TEXT_COLUMNS = ("text", "words", "label")
"""Names of the columns, exprocr's own first; ``filename`` and ``words`` are EasyOCR's, and
``file_name`` is Hugging Face's. Where a table has several of them, the first in this order."""


def named_column(known: Sequence[str], names: Sequence[str]) -> str | None:
    """Return the column that has one of the known names, capitals or not; None if none has."""
    folded = {name.casefold(): name for name in reversed(names)}
    return next((name if name in names else folded[name] for name in known if name in folded), None)
