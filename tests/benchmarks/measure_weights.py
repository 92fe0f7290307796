"""What the shipped weights read, on images they were never trained on.

    python -m tests.benchmarks.measure_weights --heldout fonts/heldout [--real DIR]... [--model M]

Rows: images by the ``captcha`` package in its own font and distortion; the same in sixteen
families with a thin minus; our own renderer in fonts held out from training; folders of real
images. Rendered images are easier than a contest's: these figures are not comparable with its
leaderboard.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from exprocr.core.dataset import load_dataset
from exprocr.core.expression import value_of
from exprocr.core.metrics import Evaluation
from exprocr.core.preprocess import load_image, preprocess
from exprocr.core.recognizer import Recognizer
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import CHARACTERS, Renderer
from tests.benchmarks.captcha_images import draw_images, recipe_fonts

SEED = 20_000


def measure(
    recognizer: Recognizer, name: str, images: Iterable[tuple[str, Image.Image]], table: Table
) -> None:
    """Read images and add a row."""
    texts, inks = [], []
    for text, image in images:
        texts.append(text)
        inks.append(preprocess(image, recognizer.preprocess))
    counts = Evaluation()
    confident_errors = 0
    for text, reading in zip(texts, recognizer.read(inks), strict=True):
        counts.add(text, value_of(text), reading.text, reading.value)
        confident_errors += reading.text != text and reading.confidence >= 0.9
    table.add_row(
        name,
        f"{counts.num_images:,}",
        f"{counts.num_exact:,}",
        f"{counts.exact_match:.2%}",
        f"{counts.cer:.3%}",
        str(confident_errors),
    )


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--heldout", type=Path, help="folder with fonts held out from training")
    parser.add_argument("--real", type=Path, action="append", default=[])
    parser.add_argument("-n", type=int, default=2000, help="rendered images a row")
    args = parser.parse_args()
    recognizer = Recognizer.load(args.model)
    table = Table("images", "number", "right", "exact match", "CER", "wrong at 0.9 or more")
    measure(recognizer, "captcha package", draw_images(args.n, SEED), table)
    thin = draw_images(args.n, SEED, recipe_fonts(), thin_minus=True)
    measure(recognizer, "captcha package, 16 families, thin minus", thin, table)
    if args.heldout:
        fonts = find_fonts([args.heldout], CHARACTERS, system=False)
        renderer = Renderer(fonts.usable)
        drawn = (renderer.sample(SEED, 0, i) for i in range(args.n))
        measure(recognizer, f"own renderer, {len(fonts.families)} held-out families", drawn, table)
    for folder in args.real:
        samples = load_dataset(folder).parts["all"]
        images = ((sample.text, load_image(sample.path)) for sample in samples)
        measure(recognizer, folder.name, images, table)
    Console().print(table)


if __name__ == "__main__":
    main()
