"""Draw the pictures of README.md, seeing-inside.md and looks.md.

    python docs/generate_pictures.py                  # of docs/samples and the package's weights
    python docs/generate_pictures.py --run runs/demo  # also of a run of docs/demo.toml
    python docs/generate_pictures.py --digits mnist/  # also of the looks of rendered images

The pictures of pages are screenshots that chromium takes.
"""

from __future__ import annotations

import argparse
import subprocess
from pathlib import Path
from tempfile import TemporaryDirectory

from PIL import Image, ImageDraw, ImageFont, ImageOps

from exprocr import Recognizer
from exprocr.choices import LOOKS
from exprocr.cli import run
from exprocr.core.config.schema import SynthConfig
from exprocr.core.text.expression import equals_value, format_value, outcome_of
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import SAMPLE_STREAM, Renderer
from exprocr.synth.texts import ListedTexts
from exprocr.viz.canvas.text import typeset
from exprocr.words import format_confidence

DOCS = Path(__file__).parent
PICTURES = DOCS / "pictures"
LOOK_TEXTS = (
    "12+34=46",
    "0.7÷10=0.07",
    "14÷3=4…2",
    "(25-9)\N{MULTIPLICATION SIGN}4=64",
    "58*3=?",
    "-12.5",
    "004824",
)
NUM_ROWS, ROW_PX, SHEET_PX, NUM_COLORS = 6, 60, 960, 256
COLUMNS, TILE, MARGIN, CAPTION = 3, (360, 120), 20, 40


LINES = (("captcha", "12+7=?", 13), ("print", "36×7=242", 33))
"""The rendered pictures of README.md's first screen: look, text and number of the sample."""

ROOM, LINES_CAPTION = (273, 91), 70


def draw_lines(path: Path) -> None:
    """Draw a picture of each kind that README.md names, above its text and what follows from it."""
    with Image.open(DOCS / "samples/1.png") as image:
        pictures = [("7*(2+0)", image.convert("RGB"))]
    for look, text, number in LINES:
        fonts = find_fonts([], text, partial=True).usable
        renderer = Renderer(fonts, SynthConfig(looks=(look,)), ListedTexts([text]))
        pictures.append(renderer.sample(0, SAMPLE_STREAM, number))
    width = len(pictures) * (ROOM[0] + MARGIN) + MARGIN
    sheet = Image.new("RGB", (width, ROOM[1] + LINES_CAPTION + 2 * MARGIN), "white")
    draw = ImageDraw.Draw(sheet)
    for number, (text, picture) in enumerate(pictures):
        scaled = ImageOps.contain(picture, ROOM, Image.Resampling.BICUBIC)
        x, y = MARGIN + number * (ROOM[0] + MARGIN), MARGIN
        sheet.paste(scaled, (x, y + (ROOM[1] - scaled.height) // 2))
        value, holds = outcome_of(text)
        facts = f"value {format_value(value, text)}"
        if holds is not None:
            facts += f", holds: {'true' if holds else 'false'}"
        for line, size_px, below, color in ((text, 24, 36, "black"), (facts, 18, 66, "#444444")):
            shown, font = typeset(line, size_px)
            draw.text((x, y + ROOM[1] + below), shown, color, font, anchor="ls")
    sheet.quantize(NUM_COLORS).save(path, optimize=True)


def draw_readings(path: Path) -> None:
    """Draw the samples at twice their size, each above its reading."""
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
        answer = f"{reading.text} {equals_value(reading.value, reading.text)}"
        draw.text((x, baseline), answer, "black", text_font, anchor="ls")
        confidence = format_confidence(reading.confidence)
        draw.text((x + TILE[0], baseline), confidence, "#555555", small_font, anchor="rs")
    sheet.save(path)


def draw(kind: str, *options: str, name: str) -> None:
    """Draw one kind of picture into docs/pictures."""
    output = str(PICTURES / name)
    code = run(["--quiet", "visualize", *options, "--kind", kind, "--output", output])
    assert code == 0, f"{name} was not drawn"


def draw_model() -> None:
    """Draw what the weights in the package do."""
    sample = str(DOCS / "samples/1.png")
    draw("features", sample, "--layer", "conv2", name="features-conv2.png")
    draw("alignment", sample, name="alignment.png")
    draw("saliency", sample, name="saliency.png")
    draw("filters", name="filters.png")
    draw("weights", "--layer", "conv2", name="weights-conv2.png")
    draw("augment", "docs/samples", name="augment.png")
    draw("architecture", "--threads", "1", name="architecture.png")


def draw_run(folder: str) -> None:
    """Draw how a run learned, and take a picture of its report."""
    draw("curves", "--run", folder, name="curves.png")
    for kind in ("distributions", "history"):
        draw(kind, "--run", folder, "--layer", "conv3", name=f"{kind}-conv3.png")
    draw("samples", "--run", folder, "--errors", "--limit", "12", name="samples.png")
    with TemporaryDirectory() as scratch:
        page = Path(scratch) / "report.html"
        assert run(["--quiet", "report", folder, "--output", str(page)]) == 0
        take_picture(page, "report.png", "1800,2000")


def draw_label() -> None:
    """Take a picture of a page for labeling rendered images."""
    with TemporaryDirectory() as scratch:
        page, images = Path(scratch) / "page.html", f"{scratch}/images"
        assert run(["--quiet", "synth", images, "-n", "400"]) == 0
        assert run(["--quiet", "label", images, "--output", str(page)]) == 0
        page.write_text(page.read_text("utf-8").replace(scratch, "/home/me"), "utf-8")
        take_picture(page, "label.png", "1300,900")


def take_picture(page: Path, name: str, size: str) -> None:
    """Take a picture of a page in a window of a size, px."""
    options = ("--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={size}")
    target = f"--screenshot={PICTURES / name}"
    subprocess.run(["chromium", *options, target, page.as_uri()], check=True)


def draw_look(look: str, digits: str) -> None:
    """Draw rows of pictures in one look, each as wide as its text needs."""
    config = SynthConfig(looks=(look,), digits=digits)
    texts = ListedTexts(LOOK_TEXTS)
    fonts = find_fonts([], texts.characters, partial=True).usable
    renderer = Renderer(fonts, config, texts)
    size = (SHEET_PX, NUM_ROWS * (ROW_PX + MARGIN // 2) - MARGIN // 2)
    sheet = Image.new("RGB", size, "white")
    x = y = number = 0
    while y < sheet.height:
        _, picture = renderer.sample(0, SAMPLE_STREAM, number)
        number += 1
        if x + picture.width > SHEET_PX:
            x, y = 0, y + ROW_PX + MARGIN // 2
        sheet.paste(picture, (x, y))
        x += picture.width + MARGIN // 2
    sheet.quantize(NUM_COLORS).save(PICTURES / f"look-{look}.png", optimize=True)


def main() -> None:
    """Draw all pictures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--run", help="run directory whose pictures to draw too")
    parser.add_argument("--digits", help="folder with the files of MNIST, to draw all looks")
    arguments = parser.parse_args()
    PICTURES.mkdir(exist_ok=True)
    draw_lines(PICTURES / "lines.png")
    draw_readings(PICTURES / "readings.png")
    draw_model()
    draw_label()
    if arguments.run:
        draw_run(arguments.run)
    if arguments.digits:
        for look in LOOKS[1:]:
            draw_look(look, arguments.digits)


if __name__ == "__main__":
    main()
