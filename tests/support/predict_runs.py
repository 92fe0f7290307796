"""``exprocr predict`` in this process: pictures for it, and what it prints."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import CliRunner, Result
from PIL import Image, ImageDraw

from exprocr.cli import group

Predict = Callable[..., Result]


def draw(path: Path, text: str = "(7+5)+4") -> Path:
    image = Image.new("RGB", (180, 60), "white")
    ImageDraw.Draw(image).text((20, 12), text, fill="black", font_size=30)
    image.save(path)
    return path


def predict_with(model: Path, *args: object, quiet: bool = True, stdin: bytes = b"") -> Result:
    """Run the command with a model."""
    line = [*(["-q"] if quiet else []), "predict", "--model", model, *args]
    return CliRunner().invoke(group, [str(arg) for arg in line], input=stdin)


def tsv(result: Result) -> list[list[str]]:
    return [line.split("\t") for line in result.stdout.splitlines()]
