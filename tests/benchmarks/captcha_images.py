"""Contest-style images drawn by the PyPI package ``captcha``, not by our own renderer.

    python -m tests.benchmarks.captcha_images OUT -n 20000 --val 2000 --thin-minus --families
    python -m tests.benchmarks.captcha_images OUT -n 2000

The first line writes the recipe that training is timed on: sixteen font families, the minus
thin as in the contest, no spaces, no curve. The second writes what the shipped weights are
measured on: the package's own font and its own distortion throughout.

The package draws its random numbers from ``secrets``; here a seeded generator takes its place,
so that the same command gives the same images.
"""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import captcha.image as package
import numpy as np
from captcha.image import ImageCaptcha
from PIL import Image, ImageDraw, ImageFilter

from exprocr.core.text.expression import evaluate
from exprocr.synth.dice import Range
from exprocr.synth.fonts import system_font_folders
from exprocr.synth.texts import LEVEL1, Texts

FONTS = (
    "Caladea-Regular.ttf",
    "Cantarell-Regular.otf",
    "Carlito-Regular.ttf",
    "ComicNeue-Regular.otf",
    "Courier Prime.otf",
    "DejaVuSans.ttf",
    "DejaVuSerif.ttf",
    "FreeSans.ttf",
    "Inconsolata.otf",
    "Lato-Regular.ttf",
    "LiberationSans-Regular.ttf",
    "LiberationSerif-Regular.ttf",
    "NotoSans-Regular.ttf",
    "OpenSans-Regular.ttf",
    "PTS55F.ttf",
    "Roboto-Regular.ttf",
)
"""Of Debian's packages fonts-crosextra-caladea fonts-cantarell fonts-crosextra-carlito
fonts-comic-neue fonts-courier-prime fonts-dejavu-core fonts-freefont-ttf fonts-inconsolata
fonts-lato fonts-liberation2 fonts-noto-core fonts-open-sans fonts-paratype
fonts-roboto-unhinted."""


class SeededSecrets:
    """The three functions of ``secrets`` that the package uses, from a seeded generator."""

    def __init__(self, seed: int) -> None:
        generator = random.Random(seed)
        self.choice = generator.choice
        self.randbits = generator.getrandbits
        self.randbelow = generator.randrange


class _ThinMinus(ImageCaptcha):
    """Rotates the minus without stretching or warping it, as the contest's images show it."""

    def _draw_character(self, c: str, draw: ImageDraw.ImageDraw, color: Any) -> Image.Image:
        if c != "-":
            drawn: Image.Image = super()._draw_character(c, draw, color)
            return drawn
        font = vars(package)["secrets"].choice(self.truefonts)
        _, _, right, bottom = draw.textbbox((0, 0), c, font=font)
        image = Image.new("RGBA", (int(right) + 1, int(bottom) + 1))
        ImageDraw.Draw(image).text((0, 0), c, font=font, fill=color)
        angle = vars(package)["secrets"].randbelow(61) - 30
        turned = image.crop(image.getbbox())
        return turned.rotate(angle, Image.Resampling.BILINEAR, expand=True)


def draw_images(
    num_images: int,
    seed: int,
    fonts: list[str] | None = None,
    *,
    thin_minus: bool = False,
    texts: Texts = LEVEL1,
    px_per_character: Range | None = None,
    as_called: bool = False,
) -> Iterator[tuple[str, Image.Image]]:
    """Yield expressions and their RGB images, 60 px high.

    Args:
        num_images: How many.
        seed: Seed of texts and images.
        fonts: Font files; None is the package's own font.
        thin_minus: Whether the minus is left unstretched.
        texts: What they say.
        px_per_character: Range of the images' widths, by the number of characters; None makes all
            180 px wide.
        as_called: Whether they have spaces and the curve, as the package's ``generate_image`` draws
            them.
    """
    setattr(package, "secrets", SeededSecrets(seed))  # noqa: B010 - the package exports no such name
    kind = _ThinMinus if thin_minus else ImageCaptcha
    artist = kind(180, 60, fonts)
    rng = np.random.default_rng(seed)
    for _ in range(num_images):
        text = texts.draw(rng)
        if px_per_character:
            artist = kind(round(len(text) * rng.uniform(*px_per_character)), 60, fonts)
        if as_called:
            yield text, artist.generate_image(text)
            continue
        artist.word_space_probability = 1
        background = package.random_color(238, 255)
        # From 10, as in the package: a black text would have no opacity at all.
        color = package.random_color(10, 200, int(rng.integers(220, 256)))
        image = artist.create_captcha_image(text, color, background)
        artist.create_noise_dots(image, color)
        yield text, image.filter(ImageFilter.SMOOTH)


def recipe_fonts() -> list[str]:
    """Return the paths of `FONTS`."""
    there = {p.name: str(p) for folder in system_font_folders() for p in folder.rglob("*.?t?")}
    if missing := [name for name in FONTS if name not in there]:
        raise SystemExit(f"these fonts are not installed: {', '.join(missing)}")
    return [there[name] for name in FONTS]


def write(folder: Path, images: Iterator[tuple[str, Image.Image]]) -> None:
    """Write a folder in the contest's layout."""
    folder.mkdir(parents=True)
    with (folder / "labels.txt").open("w") as labels:
        for number, (text, image) in enumerate(images):
            image.save(folder / f"{number}.png", compress_level=1)
            labels.write(f"{text} {evaluate(text)}\n")


def main() -> None:
    """Write OUT, or OUT/train and OUT/val."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("-n", type=int, required=True)
    parser.add_argument("--val", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--thin-minus", action="store_true")
    parser.add_argument("--families", action="store_true")
    args = parser.parse_args()
    fonts = recipe_fonts() if args.families else None
    parts = {args.out: (args.n, args.seed)}
    if args.val:
        parts = {
            args.out / "train": (args.n, args.seed),
            args.out / "val": (args.val, args.seed + 1),
        }
    for folder, (num, seed) in parts.items():
        write(folder, draw_images(num, seed, fonts, thin_minus=args.thin_minus))


if __name__ == "__main__":
    main()
