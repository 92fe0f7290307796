"""Numbers, counts and texts as people read them, the same everywhere."""

from __future__ import annotations

import math
import unicodedata
from collections.abc import Sequence

NUM_NAMED = 3
"""How many names a message lists when there are many."""

LONGEST_QUOTE = 60
"""Characters of a text from a file that a message shows."""

MORE_FRAMES = "the file has more than one frame or page; only the first is read"
"""What a message says of an animated picture, or of a document of several pages."""

_ACTING = {"Cc", "Cf", "Zl", "Zp"}
"""Unicode's categories of characters that act on a line instead of standing in it: control and
format characters (the direction of writing, zero width), line and paragraph separators."""


def quantity(number: int, noun: str) -> str:
    """Return a number with its noun: ``1 image``, ``1,200 images``."""
    return f"{number:,} {noun}" + ("" if number == 1 else "s")


def format_probability(probability: float) -> str:
    """Return a probability with three digits, however small: ``0.0146``, ``4.09e-05``."""
    return f"{probability:.3g}"


def format_confidence(confidence: float) -> str:
    """Return a probability with four decimals, rounded down, so that 1.0000 means certainty."""
    if math.isnan(confidence):
        return "nan"
    return f"{math.floor(min(max(confidence, 0.0), 1.0) * 10_000) / 10_000:.4f}"


def format_duration(seconds: float) -> str:
    """Return a time: ``0.42 s``, ``37 s``, ``4 min 05 s``, ``2 h 07 min``."""
    if seconds < 9.95:
        return f"{seconds:.2g} s" if seconds >= 0.095 else f"{seconds:.2f} s"
    if seconds < 59.5:
        return f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def format_rate(count: int, seconds: float) -> str:
    """Return ``count`` images in a time as images per second: ``8.1``, ``412``, ``1,250``."""
    rate = count / max(seconds, 1e-9)
    return f"{rate:,.0f}" if rate >= 10 else f"{rate:.1f}"


def format_seconds(seconds: float) -> str:
    """Return a short time: ``0.021 ms``, ``0.21 ms``, ``15.3 ms``, ``1.20 s``."""
    if seconds >= 0.9995:
        return f"{seconds:.2f} s"
    milliseconds = 1e3 * seconds
    if milliseconds < 0.0995:
        return f"{milliseconds:.2g} ms"
    digits = 2 if milliseconds < 9.995 else 1 if milliseconds < 99.95 else 0
    return f"{milliseconds:.{digits}f} ms"


def format_share(share: float) -> str:
    """Return a share of 0..1: ``12.3%``, and ``< 0.1%`` where it would round to nothing."""
    return "< 0.1%" if 0 < share < 0.0005 else f"{share:.1%}"


def format_count(number: int) -> str:
    """Return a number; from a million on with three digits: ``19.4 M``, ``1.20 G``."""
    if number < 10**6:
        return f"{number:,}"
    # 999,500,000 and more would be rounded to 1000 M.
    size, unit = next(
        ((s, u) for s, u in ((1e6, "M"), (1e9, "G")) if number < 999.5 * s), (1e12, "T")
    )
    value = number / size
    digits = 2 if value < 9.995 else 1 if value < 99.95 else 0
    return f"{value:,.{digits}f} {unit}"


def format_shape(shape: tuple[int, ...]) -> str:
    """Return a shape: ``16 x 30 x 90``."""
    return " x ".join(map(str, shape))


def first_few(names: Sequence[str], separator: str = ", ") -> str:
    """Return the first few names, joined."""
    return separator.join(names[:NUM_NAMED]) + (", ..." if len(names) > NUM_NAMED else "")


def quoted(value: object) -> str:
    """Return a value in quotes, shortened to one readable line of a message."""
    if isinstance(value, str | bytes):
        value = value[: 2 * LONGEST_QUOTE]  # the quotation of a huge text would be huge
    try:
        return shortened(repr(value))
    except RecursionError:
        return f"a deeply nested {type(value).__name__}"


def shortened(text: str, length: int = LONGEST_QUOTE) -> str:
    """Return a text from a file for a message: one line, and of a longer text its beginning."""
    text = one_line(text[: length + 1])
    return text if len(text) <= length else f"{text[: length - 3]}..."


def one_line(text: str) -> str:
    r"""Return a text with characters that act on a line escaped (``\n``, ``\x1b``, ``\u202e``)."""
    if text.isprintable():
        return text
    return "".join(repr(c)[1:-1] if unicodedata.category(c) in _ACTING else c for c in text)
