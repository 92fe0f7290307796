"""Lines of text drawn by Pillow, and data sets of them."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from PIL import Image, ImageDraw, ImageFont

FONT = str(Path(mpl.get_data_path()) / "fonts/ttf/DejaVuSans.ttf")


def line(
    text: str, size_px: int = 28, width: int = 200, paper: int = 250, ink: int = 30
) -> Image.Image:
    """Draw a text, 60 px high."""
    image = Image.new("L", (width, 60), paper)
    place = (12, (60 - size_px) // 2)
    ImageDraw.Draw(image).text(place, text, fill=ink, font=ImageFont.truetype(FONT, size_px))
    return image


def write_part(folder: Path, rows: Sequence[tuple[Image.Image, str]]) -> Path:
    """Write pictures ``0.png``, ``1.png``, ... and their labels."""
    folder.mkdir(parents=True)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file)
        table.writerow(("image", "text"))
        for number, (image, text) in enumerate(rows):
            image.save(folder / f"{number}.png")
            table.writerow((f"{number}.png", text))
    return folder
