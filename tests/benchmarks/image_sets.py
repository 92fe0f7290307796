"""Labeled pictures for `tests.benchmarks.measure_weights`, and pictures of what is no arithmetic.

Each function here that takes ``numbers`` and ``rng`` draws the pictures of these numbers.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from functools import cache, partial
from html import escape
from importlib.util import find_spec
from pathlib import Path
from string import ascii_letters
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from exprocr.core.config.schema import SynthConfig
from exprocr.core.data.labels import Sample
from exprocr.core.image.preprocess import load_image
from exprocr.core.text.grammar.grammars import Grammar
from exprocr.synth.dice import Dice
from exprocr.synth.exercises import CAPTCHA, WORKSHEET
from exprocr.synth.fonts import FontFile, find_fonts
from exprocr.synth.renderer import SAMPLE_STREAM, Painter, Renderer
from exprocr.synth.texts import LEVEL1, Texts
from tests.benchmarks.captcha_images import draw_images

if TYPE_CHECKING:
    from playwright.sync_api import Browser

Rng = np.random.Generator

Drawn = tuple[str, Image.Image]
"""A text and its picture; the text of what is no arithmetic is empty."""

Draw = Callable[[range, Rng], Iterable[Drawn]]
"""Draws the pictures of these numbers."""

Start = Callable[[], AbstractContextManager["Browser"]]

MINUS = "\N{MINUS SIGN}"

CHARACTERS = "".join(sorted({*WORKSHEET.characters, *CAPTCHA.characters}))

NUM_FAMILIES = 12

WORST_FAMILIES = (
    "Berenika", "Atkinson Hyperlegible", "Linden Hill", "NanumSquareRound", "Coelacanth", "Inter",
    "Inter Display", "EB Garamond", "Euler Math", "Quattrocento Sans", "Comic Neue Angular",
    "Comic Neue", "D2Coding", "Sawasdee", "JetBrains Mono", "Quattrocento", "NanumBarunGothic",
    "Charis SIL", "NanumMyeongjo", "Solothurn", "Tribun ADF Std", "Tymes",
)  # fmt: skip
"""Held-out families, the worst first: docs/weights/README.md, "Held-out families one by one"."""

PHOTOGRAPHS = (
    ("matplotlib", "mpl-data/sample_data/grace_hopper.jpg"),
    ("skimage", "data/chelsea.png"),
    ("skimage", "data/coffee.png"),
    ("sklearn", "datasets/images/china.jpg"),
    ("sklearn", "datasets/images/flower.jpg"),
)
"""Photographs in packages; a name tag is all the text in them."""


class MissingError(Exception):
    """Something that a set needs is not there."""


def real(samples: Sequence[Sample], numbers: range, rng: Rng) -> Iterator[Drawn]:
    """Load real pictures."""
    for sample in samples[numbers.start : numbers.stop]:
        yield sample.text, load_image(sample.path)


# Programs that are not ours


@dataclass(frozen=True, kw_only=True)
class Span:
    """A line of a worksheet or a captcha's text, and how a program shows it."""

    text: str
    shown: str
    family: str
    weight: int
    style: str
    size_px: int
    spacing_px: float
    padding_px: tuple[int, int]
    ink: str
    ground: str
    rotation_deg: float
    blur_px: float


def spans(families: Sequence[str], numbers: range, rng: Rng) -> Iterator[Span]:
    """Yield random texts in random styles; half of the texts have a minus sign for a hyphen."""
    dice = Dice(rng)
    for number in numbers:
        text = (WORKSHEET, CAPTCHA)[number % 2].draw(rng)
        size = 14 + dice.number(35)
        ink, ground = _colors(rng)
        yield Span(
            text=text,
            shown=text.replace("-", MINUS) if dice.happens(0.5) else text,
            family=dice.pick(families),
            weight=dice.pick((300, 400, 400, 400, 600, 700, 900)),
            style=dice.pick(("normal", "normal", "normal", "italic")),
            size_px=size,
            spacing_px=round(size * dice.between((-0.03, 0.15)), 2),
            padding_px=(2 + dice.number(19), 2 + dice.number(11)),
            ink=ink,
            ground=ground,
            rotation_deg=round(dice.around(3.0), 2) if dice.happens(0.25) else 0.0,
            blur_px=round(dice.between((0.0, 1.0)), 2) if dice.happens(0.2) else 0.0,
        )


def _colors(rng: Rng) -> tuple[str, str]:
    """Return a text's color and its ground's, at least 80 of 255 levels of gray apart."""
    low, high = Dice(rng).pick(((255, 256), (150, 256), (150, 256), (0, 90)))
    ground = rng.integers(low, high, size=3)
    while True:
        ink = rng.integers(256, size=3)
        if abs(float((ink - ground) @ (0.299, 0.587, 0.114))) >= 80:
            return "#" + bytes(ink.tolist()).hex(), "#" + bytes(ground.tolist()).hex()


@contextmanager
def installed_too(folder: Path | None) -> Iterator[None]:
    """Let programs find the fonts of a folder beside the installed ones, through fontconfig."""
    if folder is None:
        yield
        return
    before = os.environ.get("FONTCONFIG_FILE")
    with TemporaryDirectory() as temporary:
        config = Path(temporary) / "fonts.conf"
        config.write_text(
            '<!DOCTYPE fontconfig SYSTEM "urn:fontconfig:fonts.dtd"><fontconfig>'
            f'<include ignore_missing="yes">{escape(before or "/etc/fonts/fonts.conf")}</include>'
            f"<dir>{escape(str(folder.resolve()))}</dir></fontconfig>"
        )
        os.environ["FONTCONFIG_FILE"] = str(config)
        try:
            yield
        finally:
            del os.environ["FONTCONFIG_FILE"]
            if before is not None:
                os.environ["FONTCONFIG_FILE"] = before


def font_families() -> list[str]:
    """Return the families that have all characters of the texts, as fontconfig knows them."""
    if not shutil.which("fc-list"):
        raise MissingError("not installed: fc-list")
    wanted = ":charset=" + " ".join(f"{ord(c):x}" for c in CHARACTERS + MINUS)
    found = subprocess.run(["fc-list", wanted, "family"], capture_output=True, text=True)
    # A family comes with the names of its weights: "Inter,Inter Thin".
    if families := {line.split(",")[0].replace("\\", "") for line in found.stdout.splitlines()}:
        return sorted(families)
    raise MissingError("not installed: a font with all characters")


def find_chromium() -> Start:
    """Return what starts Chromium."""
    try:
        from tests.support import chromium
    except ModuleNotFoundError as error:
        raise MissingError(f"not installed: {error.name}") from None
    if not chromium.PROGRAM:
        raise MissingError("not installed: chromium")
    return chromium.start


def web_pages(start: Start, families: Sequence[str], numbers: range, rng: Rng) -> Iterator[Drawn]:
    """Start Chromium, and draw pictures as `web_page` does."""
    with start() as browser:
        yield from web_page(browser, families, numbers, rng)


def web_page(
    browser: Browser, families: Sequence[str], numbers: range, rng: Rng
) -> Iterator[Drawn]:
    """Cut all texts of a web page out of its screenshot."""
    shown = list(spans(families, numbers, rng))
    page = browser.new_page(viewport={"width": 1600, "height": 1000})
    page.set_content("<body>" + "".join(map(_element, shown)))
    boxes = page.evaluate(
        "() => [...document.querySelectorAll('div')].map(e => e.getBoundingClientRect())"
        ".map(r => [r.left, r.top, r.right, r.bottom])"
    )
    with Image.open(io.BytesIO(page.screenshot(full_page=True))) as screenshot:
        whole = screenshot.convert("RGB")
    page.close()
    for span, (left, top, right, bottom) in zip(shown, boxes, strict=True):
        yield span.text, whole.crop((round(left), round(top), round(right), round(bottom)))


def _element(span: Span) -> str:
    sides, above = span.padding_px
    return (
        f'<div style="float: left; overflow: hidden; margin: 4px; padding: {above}px {sides}px; '
        f'background: {span.ground}; white-space: nowrap"><span style="display: inline-block; '
        f"font: {span.style} {span.weight} {span.size_px}px '{span.family}'; color: {span.ink}; "
        f"letter-spacing: {span.spacing_px}px; transform: rotate({span.rotation_deg}deg); "
        f'filter: blur({span.blur_px}px)">{escape(span.shown)}</span></div>'
    )


def find_imagemagick() -> str:
    """Return ImageMagick's program."""
    if program := shutil.which("magick") or shutil.which("convert"):
        formats = subprocess.run([program, "-list", "format"], capture_output=True, text=True)
        if "PANGO" in formats.stdout:
            return program
    raise MissingError("not installed: ImageMagick with Pango")


def pango(program: str, families: Sequence[str], numbers: range, rng: Rng) -> Iterator[Drawn]:
    """Draw pictures with ImageMagick's Pango, a process each; a third become JPEG files."""
    dice = Dice(rng)
    for span in spans(families, numbers, rng):
        # Escaped for Pango, and for ImageMagick, which undoes it once. Without the blanks, what a
        # slanted character has beyond its advance is cut off.
        shown = escape(escape(f"\N{NO-BREAK SPACE}{span.shown}\N{NO-BREAK SPACE}"))
        markup = (
            f'<span font_family="{span.family}" weight="{span.weight}" style="{span.style}" '
            f'size="{1024 * span.size_px}" letter_spacing="{round(1024 * span.spacing_px)}" '
            f'foreground="{span.ink}">{shown}</span>'
        )
        command = [program, "-density", "72", "-background", span.ground, f"pango:{markup}"]
        command += ["-bordercolor", span.ground, "-border", f"0x{span.padding_px[1]}"]
        command += ["-rotate", f"{span.rotation_deg}"] if span.rotation_deg else []
        command += ["-blur", f"0x{span.blur_px}"] if span.blur_px else []
        quality = 40 + dice.number(56)
        command += ["-quality", f"{quality}", "jpg:-"] if dice.happens(1 / 3) else ["png24:-"]
        done = subprocess.run(command, capture_output=True)
        if not done.stdout:  # one call in hundreds aborts when all is written
            done.check_returncode()
        with Image.open(io.BytesIO(done.stdout)) as picture:
            yield span.text, picture.convert("RGB")


# The captcha package, and our own renderer


def captchas(numbers: range, rng: Rng, **options: Any) -> Iterator[Drawn]:
    """Draw images with the package."""
    return draw_images(len(numbers), _seed(rng), **options)


def two_minuses(fonts: list[str], numbers: range, rng: Rng) -> Iterator[Drawn]:
    """Draw images with the package in several fonts; in half of them, the minus is thin."""
    half = len(numbers) // 2
    yield from captchas(numbers[:half], rng, fonts=fonts, thin_minus=True)
    yield from captchas(numbers[half:], rng, fonts=fonts)


def worst_fonts(folder: Path) -> list[str]:
    """Return a font file of each of the worst families of a folder."""
    usable = sorted(held_out(folder, LEVEL1.characters), key=lambda font: font.style == "Regular")
    paths = {font.family: font.path for font in usable}
    families = [f for f in WORST_FAMILIES if f in paths] or sorted(paths)
    return [paths[family] for family in families[:NUM_FAMILIES]]


@cache
def held_out(folder: Path, characters: str, *, incomplete: bool = False) -> list[FontFile]:
    """Return the usable fonts of a folder."""
    return find_fonts([folder], characters, system=False, partial=incomplete).usable


@dataclass(frozen=True)
class ShortAnswers:
    """Lines of worksheets with a whole number of one to three digits as the answer."""

    characters: str = WORKSHEET.characters
    max_frames: int = WORKSHEET.max_frames

    def draw(self, rng: Rng) -> str:
        """Return a random line."""
        while True:
            text = WORKSHEET.draw(rng)
            if re.search(r"=\d{1,3}$", text):
                return text

    def is_within(self, grammar: Grammar) -> bool:
        """Return whether a grammar accepts all lines."""
        return WORKSHEET.is_within(grammar)


def rendered(folder: Path, *looks: str, **settings: Any) -> Draw:
    """Return what draws looks in a folder's fonts; a look without texts draws short answers."""
    fonts = held_out(folder, CHARACTERS, incomplete=True)
    return partial(_render, Renderer(fonts, SynthConfig(looks=looks, **settings), ShortAnswers()))


def _render(renderer: Renderer, numbers: range, rng: Rng) -> Iterator[Drawn]:
    seed = _seed(rng)
    return (renderer.sample(seed, SAMPLE_STREAM, number) for number in numbers)


def painted(painter: Painter, texts: Texts, numbers: range, rng: Rng) -> Iterator[Drawn]:
    """Yield random texts, as a painter paints them."""
    for text in (texts.draw(rng) for _ in numbers):
        yield text, painter.paint(text, None, rng)


def _seed(rng: Rng) -> int:
    return int(rng.integers(2**62))


# What is no arithmetic


def letters(fonts: Sequence[FontFile], numbers: range, rng: Rng) -> Iterator[Drawn]:
    """Draw words of three to ten random letters."""
    dice = Dice(rng)
    for _ in numbers:
        word = "".join(dice.pick(ascii_letters) for _ in range(3 + dice.number(8)))
        font = ImageFont.truetype(dice.pick(fonts).path, 20 + dice.number(29))
        left, top, right, bottom = font.getbbox(word, anchor="lt")
        across, down = 4 + dice.number(16), 4 + dice.number(16)
        ink, ground = _colors(rng)
        size = (round(right - left) + 2 * across, round(bottom - top) + 2 * down)
        picture = Image.new("RGB", size, ground)
        place = (across - left, down - top)
        ImageDraw.Draw(picture).text(place, word, ink, font, anchor="lt")
        yield "", picture


def blank(numbers: range, rng: Rng) -> Iterator[Drawn]:
    """Draw grounds of one color, and in every other picture one that turns into another."""
    for number in numbers:
        width, height = _size(rng)
        colors = rng.integers(256, size=(2, 3))
        way = np.linspace(0, number % 2, width)[:, None]
        ground = colors[0] * (1 - way) + colors[1] * way
        yield "", Image.fromarray(np.broadcast_to(ground, (height, width, 3)).astype(np.uint8))


def noise(numbers: range, rng: Rng) -> Iterator[Drawn]:
    """Draw noise, gray or in color, with grains of one to four pixels."""
    dice = Dice(rng)
    for _ in numbers:
        width, height = _size(rng)
        grain = 1 + dice.number(4)
        shape = (-(-height // grain), -(-width // grain), dice.pick((1, 3)))
        values = rng.normal(dice.between((0, 255)), dice.between((5, 100)), shape).clip(0, 255)
        pixels = np.broadcast_to(values, (*shape[:2], 3)).astype(np.uint8)
        yield "", Image.fromarray(pixels).resize((width, height), dice.number(4))


def _size(rng: Rng) -> tuple[int, int]:
    height = int(rng.integers(20, 121))
    return int(height * rng.uniform(1, 8)), height


def photographs(paths: Sequence[Path], numbers: range, rng: Rng) -> Iterator[Drawn]:
    """Cut lines out of photographs, two to eight times as wide as high."""
    dice = Dice(rng)
    pictures = [load_image(path).convert("RGB") for path in paths]
    for number in numbers:
        picture = pictures[number % len(pictures)]
        height = 16 + dice.number(picture.height // 6)
        width = min(picture.width, int(height * dice.between((2, 8))))
        x = dice.number(picture.width - width + 1)
        y = dice.number(picture.height - height + 1)
        yield "", picture.crop((x, y, x + width, y + height))


def find_photographs() -> list[Path]:
    """Return those of `PHOTOGRAPHS` that are installed."""
    specs = [(find_spec(package), path) for package, path in PHOTOGRAPHS]  # not imported
    paths = [Path(spec.origin).parent / path for spec, path in specs if spec and spec.origin]
    return [path for path in paths if path.is_file()]
