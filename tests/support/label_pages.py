"""Pages of ``exprocr label``: the command, and the data inside a page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from click.testing import Result

from tests.support.predict_runs import draw
from tests.support.report_runs import Element, parse
from tests.support.tiny_runs import invoke


def label(model: Path, *args: object) -> Result:
    """Run the command with a model."""
    return invoke("-q", "label", "--model", model, "--device", "cpu", "--threads", 1, *args)


def draw_many(folder: Path, number: int) -> Path:
    """Write pictures of different sums; return their folder."""
    folder.mkdir(parents=True)
    for i in range(number):
        draw(folder / f"{i}.png", f"{i}+{number - i}")
    return folder


def scripts(page: Element) -> list[tuple[dict[str, str], str]]:
    """Return the attributes and the whole text of a page's scripts."""
    return [
        (script.attributes, "".join(str(child) for child in script.children))
        for script in page.all("script")
    ]


def data_of(file: Path) -> dict[str, Any]:
    """Return the data that a page's script works on."""
    page = parse(file.read_text(encoding="utf-8"))
    ((_, content),) = (found for found in scripts(page) if found[0].get("id") == "set")
    data: dict[str, Any] = json.loads(content)
    return data
