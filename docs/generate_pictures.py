"""Draw the pictures of README.md from docs/samples and the weights in the package.

python docs/generate_pictures.py
"""

from __future__ import annotations

from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from exprocr import Recognizer
from exprocr.cli import run
from exprocr.cli.output import format_confidence
from exprocr.core.expression import format_value

DOCS = Path(__file__).parent
COLUMNS, TILE, MARGIN, CAPTION = 3, (360, 120), 20, 40


def draw_readings(path: Path) -> None:
    """Draw the samples, twice enlarged, each over what is read in it."""
    samples = sorted((DOCS / "samples").glob("*.png"))
    readings = Recognizer.load().predict(samples)
    rows = -(-len(samples) // COLUMNS)
    size = (
        COLUMNS * (TILE[0] + MARGIN) + MARGIN,
        rows * (TILE[1] + CAPTION + MARGIN) + MARGIN,
    )
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    text_font, small_font = ImageFont.load_default(24), ImageFont.load_default(18)
    for number, (sample, reading) in enumerate(zip(samples, readings, strict=True)):
        row, column = divmod(number, COLUMNS)
        x = MARGIN + column * (TILE[0] + MARGIN)
        y = MARGIN + row * (TILE[1] + CAPTION + MARGIN)
        with Image.open(sample) as image:
            sheet.paste(image.resize(TILE, Image.Resampling.BICUBIC), (x, y))
        draw.rectangle((x, y, x + TILE[0], y + TILE[1]), outline="#999999")
        baseline = y + TILE[1] + CAPTION - 8
        answer = f"{reading.text} = {format_value(reading.value)}"
        draw.text((x, baseline), answer, "black", text_font, anchor="ls")
        confidence = format_confidence(reading.confidence)
        draw.text((x + TILE[0], baseline), confidence, "#555555", small_font, anchor="rs")
    sheet.save(path)


def main() -> None:
    """Draw all of them."""
    pictures = DOCS / "pictures"
    pictures.mkdir(exist_ok=True)
    draw_readings(pictures / "readings.png")
    output = str(pictures / "features-conv2.png")
    run(["visualize", str(DOCS / "samples/1.png"), "--layer", "conv2", "--output", output])


if __name__ == "__main__":
    main()
