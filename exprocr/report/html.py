"""HTML that needs no other file and no network: templates, texts as they are, pictures inside.

Pages are built from it: the one about a run in `exprocr.report.page`, the one for labeling in
`exprocr.report.label`.
"""

from __future__ import annotations

import base64
import re
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

_UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufdd0-\ufdef\ufeff\ufff0-\ufffb"
    "\ufffe\uffff\ud800-\udfff]"
)
"""Controls, marks that turn the direction of writing or have no width, and what is no character."""

_KINDS = {b"\x89PNG": "png", b"RIFF": "webp", b"\xff\xd8\xff\xe0": "jpeg"}
"""First four bytes of a picture's file, and its kind."""


def printable(text: str) -> str:
    r"""Write what has no shape of its own as an escape, such as ``\n``, ``\x1b``, ``\udcff``."""
    return _UNPRINTABLE.sub(lambda match: ascii(match[0])[1:-1], text)


def data_uri(image: bytes) -> str:
    """Return the PNG, JPEG (JFIF) or WebP file of a picture as a data URI."""
    return f"data:image/{_KINDS[image[:4]]};base64,{base64.b64encode(image).decode()}"


def render(template: str, **values: Any) -> str:
    """Fill in a template of ``report/templates``.

    Whatever the texts hold is shown as it is, never taken for markup.

    Returns:
        HTML5, without characters that UTF-8 cannot hold.
    """
    return _environment().get_template(template).render(values) + "\n"


def source(name: str) -> str:
    """Return a file of ``report/templates`` as it is."""
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


def _environment() -> Environment:
    return Environment(
        loader=PackageLoader("exprocr", "report/templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
    )


def _clean(value: Any) -> Any:
    """Make what is put into the template printable, but not what came out of it."""
    return printable(value) if type(value) is str else value
