"""``exprocr eval`` with a model that misreads half of a labeled set."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exprocr.cli import group
from exprocr.core.reading.recognizer import Recognizer
from tests.support.pictures import with_a_mark
from tests.support.scripted import scripted_recognizer

# What is in an image, what is read, and the certainty of every frame of the reading.
SCRIPT = [
    ("1+2", "1+2", 0.99),
    ("(7+5)-4", "(1+5)-4", 0.95),  # 7 read as 1; the value differs
    ("3*4-5", "3*4-5", 0.90),
    ("9-9+1", "9-9*1", 0.99),  # + read as *: -0
    ("2*2+0", "2*2+00", 0.88),  # 0 inserted; the value is right
    ("8-1*6", "81*6", 0.97),  # - left out
    ("6+6+6", "6+6+6", 0.99),
    ("1*1*1", "1*1*1", 0.99),
]
NUM_CHARS = 3 + 7 + 5 * 6
WRONG = [1, 3, 4, 5]

Eval = Callable[..., Result]


def make_data(folder: Path, labels: list[str] | None = None) -> Path:
    folder.mkdir()
    labels = [truth for truth, _, _ in SCRIPT] if labels is None else labels
    for number in range(len(labels)):
        with_a_mark(180, 60).save(folder / f"{number}.png")
    (folder / "labels.txt").write_text("".join(f"{label}\n" for label in labels))
    return folder


def eval_scripted(
    monkeypatch: pytest.MonkeyPatch,
    loaded: dict[str, Any],
    *args: object,
    script: list[tuple[str, str, float]] = SCRIPT,
) -> Result:
    """Run the command with a model that reads a script; note what it was loaded with."""

    def load(_cls: object, /, **options: Any) -> Recognizer:
        loaded.update(options)
        decoding = {name: options[name] for name in ("decoder", "beam_width", "by_value")}
        return scripted_recognizer(
            *((text, certainty) for _, text, certainty in script),
            grammar=options["grammar"] or "none",
            **decoding,
        )

    monkeypatch.setattr(Recognizer, "load", classmethod(load))
    return CliRunner().invoke(group, ["eval", *map(str, args)])


def figures(path: Path) -> dict[str, Any]:
    result = json.loads(path.read_text())
    assert isinstance(result, dict)
    return result
