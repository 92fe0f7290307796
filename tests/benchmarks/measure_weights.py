"""What the shipped weights read, on images they were never trained on.

    python -m tests.benchmarks.measure_weights --heldout fonts/heldout [--real DIR]... [--model M]
        [--errors PNG]

Rows: images by the ``captcha`` package in its own font and distortion; the same in sixteen
families with a thin minus; our own renderer in fonts held out from training, as it draws by
default, then without its faint, degraded and mixed images, then in wider ranges than its default;
folders of real images. A second table has each held-out family by itself.
Rendered images are easier than a contest's: these figures are not comparable with its
leaderboard. ``--errors`` draws what is read wrong of the first row.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from itertools import tee
from pathlib import Path

from PIL import Image
from rich.console import Console
from rich.table import Table

from exprocr.core.config.schema import SynthConfig
from exprocr.core.data.dataset import load_dataset
from exprocr.core.evaluation.metrics import Evaluation
from exprocr.core.image.preprocess import load_image
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.expression import value_of
from exprocr.errors import ImageError
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import Renderer
from exprocr.synth.texts import LEVEL1
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.samples import Tile, draw_samples
from tests.benchmarks.captcha_images import draw_images, recipe_fonts

SEED = 20_000
CLEAR = SynthConfig(faint_share=0.0, degraded_share=0.0, mixed_fonts_share=0.0)
WIDE = SynthConfig(
    min_font_size_px=28.0,
    max_overlap=0.3,
    mixed_fonts_share=0.3,
    unstretched_share=0.2,
    stepwise_share=0.7,
    faint_share=0.15,
    degraded_share=0.15,
)
"""Smaller glyphs that overlap more, often of several fonts, nearly invisible or degraded. Nobody
can read all of them."""


def measure(
    recognizer: Recognizer, name: str, images: Iterable[tuple[str, Image.Image]], table: Table
) -> list[Tile]:
    """Read images and add a row; return those read wrong."""
    counts = Evaluation()
    wrong = []
    ours, theirs = tee(images)
    readings = recognizer.stream(image for _, image in ours)
    for number, ((text, image), reading) in enumerate(zip(theirs, readings, strict=True)):
        assert not isinstance(reading, ImageError), reading
        counts.add(text, value_of(text), reading.text, reading.value)
        if reading.text != text:
            tile = Tile(image, f"image {number}", text, reading.text, reading.confidence)
            wrong.append(tile)
    confident_errors = sum(tile.confidence >= 0.9 for tile in wrong)
    table.add_row(
        name,
        f"{counts.num_images:,}",
        f"{counts.num_exact:,}",
        f"{counts.exact_match:.2%}",
        f"{counts.cer:.3%}",
        str(confident_errors),
    )
    return wrong


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--heldout", type=Path, help="folder with fonts held out from training")
    parser.add_argument("--real", type=Path, action="append", default=[])
    parser.add_argument("-n", type=int, default=2000, help="rendered images per row")
    parser.add_argument("--errors", type=Path, help="PNG of what is read wrong of the first row")
    args = parser.parse_args()
    recognizer = Recognizer.load(args.model)
    table, by_family = (
        Table(head, "number", "right", "exact match", "CER", "wrong at 0.9 or more")
        for head in ("images", "family, none faint, degraded or mixed")
    )
    wrong = measure(recognizer, "captcha package", draw_images(args.n, SEED), table)
    if args.errors:
        title = "Images by the captcha package that are read wrong"
        save_picture(draw_samples(wrong, title, f"{len(wrong)} of {args.n:,}"), args.errors)
    thin = draw_images(args.n, SEED, recipe_fonts(), thin_minus=True)
    measure(recognizer, "captcha package, 16 families, thin minus", thin, table)
    if args.heldout:
        fonts = find_fonts([args.heldout], LEVEL1.characters, system=False)
        sets = {"": SynthConfig(), ", none faint, degraded or mixed": CLEAR, ", wider ranges": WIDE}
        for kind, synth in sets.items():
            renderer = Renderer(fonts.usable, synth)
            drawn = (renderer.sample(SEED, 0, i) for i in range(args.n))
            name = f"own renderer, {len(fonts.families)} held-out families{kind}"
            measure(recognizer, name, drawn, table)
        for family in fonts.families:
            renderer = Renderer([font for font in fonts.usable if font.family == family], CLEAR)
            drawn = (renderer.sample(SEED, 0, i) for i in range(args.n // 10))
            measure(recognizer, family, drawn, by_family)
    for folder in args.real:
        samples = load_dataset(folder).parts["all"]
        images = ((sample.text, load_image(sample.path)) for sample in samples)
        measure(recognizer, folder.name, images, table)
    console = Console()
    console.print(table)
    if args.heldout:
        console.print(by_family)


if __name__ == "__main__":
    main()
