"""Greedy, beam and exact, with and without a grammar, and how far confidences can be trusted.

    python -m tests.benchmarks.measure_decoders --heldout fonts/heldout [--real DIR]... [--model M]

Three tables, one run. The decoders on a hard set, drawn with low contrast and heavy overlap in
fonts held out from training, and on folders of real images. The calibration on images that the
temperature was not fitted to. What the confidence is on pictures of something else.

Images/s are of decoding alone, from the network's log-probabilities to readings with confidence
and positions: the median of several repetitions on one core.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from rich.console import Console
from rich.table import Table

from exprocr.core.config.schema import SynthConfig
from exprocr.core.data.dataset import load_dataset
from exprocr.core.decode.decoder import Decoder, Reading
from exprocr.core.evaluation.metrics import Evaluation
from exprocr.core.evaluation.reliability import Reliability
from exprocr.core.image.preprocess import load_image, preprocess
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.expression import value_of
from exprocr.core.text.grammar.grammars import load_grammar
from exprocr.synth.fonts import FontFile, find_fonts
from exprocr.synth.renderer import CONTEST_WIDTH_PX, Renderer, sample_rng
from exprocr.synth.texts import LEVEL1
from tests.benchmarks.captcha_images import draw_images, recipe_fonts
from tests.benchmarks.measuring import median_rate

SEED = 30_000
HARD = SynthConfig(
    min_font_size_px=28.0,
    max_overlap=0.5,
    mixed_fonts_share=0.3,
    unstretched_share=0.2,
    stepwise_share=0.7,
    faint_share=1.0,
    degraded_share=0.0,
)
"""Nearly invisible, and glyphs that overlap twice as much as they do in training (0.25)."""

HARDER = replace(HARD, max_overlap=0.6)
CHUNK_SIZE = 256

Batches = list[NDArray[np.float32]]


@dataclass
class ImageSet:
    """Images that the network has looked at."""

    name: str
    texts: list[str]
    batches: Batches
    """Log-probabilities (T, N, K), batches of one width, in the order of the texts."""


def look_at(
    recognizer: Recognizer, name: str, images: Iterable[tuple[str, Image.Image]]
) -> ImageSet:
    """Run the network over images."""
    texts, inks = [], []
    for text, image in images:
        texts.append(text)
        inks.append(preprocess(image, recognizer.preprocess))
    by_width: dict[int, list[tuple[int, NDArray[np.float32]]]] = {}
    for indices, log_probs in recognizer.log_probs(inks):
        columns = by_width.setdefault(len(log_probs), [])
        columns += [(i, log_probs[:, n]) for n, i in enumerate(indices)]
    order, batches = [], []
    for columns in by_width.values():
        for start in range(0, len(columns), CHUNK_SIZE):
            part = columns[start : start + CHUNK_SIZE]
            order += [i for i, _ in part]
            batches.append(np.stack([column for _, column in part], axis=1))
    return ImageSet(name, [texts[i] for i in order], batches)


def read(decoder: Decoder, images: ImageSet) -> list[Reading]:
    """Decode all images."""
    return [reading for batch in images.batches for reading in decoder(batch)]


def rate(readings: list[Reading], images: ImageSet) -> tuple[Evaluation, Reliability]:
    """Count what is right, and how sure it is."""
    counts, reliability = Evaluation(), Reliability()
    for truth, reading in zip(images.texts, readings, strict=True):
        best = reading.alternatives[0]
        counts.add(truth, value_of(truth), best.text, best.value)
        reliability.add(best.probability, best.text == truth)
    return counts, reliability


def compare_decoders(recognizer: Recognizer, sets: list[ImageSet]) -> Table:
    """Read each set with each decoder, without a grammar and with level1."""
    table = Table(
        "images", "grammar", "decoder", "exact match", "CER", "ECE", "images/s", title="Decoders"
    )
    for images in sets:
        for grammar in ("none", "level1"):
            for method in ("greedy", "beam", "exact"):
                decoder = Decoder(
                    load_grammar(grammar, recognizer.charset),
                    method=method,
                    temperature=recognizer.decoder.temperature,
                )
                counts, reliability = rate(read(decoder, images), images)
                speed = median_rate(len(images.texts), lambda d=decoder, i=images: read(d, i))  # type: ignore[misc]
                table.add_row(
                    f"{images.name} ({len(images.texts):,})",
                    grammar,
                    method,
                    f"{counts.exact_match:.2%}",
                    f"{counts.cer:.3%}",
                    f"{reliability.ece():.4f}",
                    f"{speed:,.0f}",
                )
    return table


def measure_calibration(recognizer: Recognizer, sets: list[ImageSet]) -> Table:
    """Compare confidence and truth."""
    table = Table("images", "wrong", "ECE", "Brier", "wrong at 99%", "wrong at 95%")
    table.title = f"Calibration, grammar {recognizer.decoder.grammar}"
    for images in sets:
        _, reliability = rate(read(recognizer.decoder, images), images)
        everything, most, many, _ = reliability.risks()
        table.add_row(
            f"{images.name} ({len(images.texts):,})",
            f"{everything.num_wrong:,} ({everything.error_rate:.2%})",
            f"{reliability.ece():.4f}",
            f"{reliability.brier:.4f}",
            f"{most.num_wrong:,}",
            f"{many.num_wrong:,}",
        )
    return table


def draw_other_texts(renderer: Renderer, num: int) -> dict[str, list[Image.Image]]:
    """Draw pictures that level1 excludes: other texts, noise, nothing."""
    rng = np.random.default_rng(SEED)
    characters = list(LEVEL1.characters)

    def digits(count: int) -> str:
        return "".join(map(str, rng.integers(10, size=count)))

    def operator() -> str:
        return str(rng.choice(list("+-*")))

    kinds: dict[str, Callable[[], str]] = {
        "two digits, like 12+34": lambda: digits(2) + operator() + digits(2),
        "one operator, like 1+2": lambda: digits(1) + operator() + digits(1),
        "four operands, like 1+2*3-4": lambda: "".join(
            digits(1) + operator() for _ in range(3)
        ) + digits(1),
        "nested, like ((1+2))": lambda: f"(({digits(1)}{operator()}{digits(1)}))",
        "seven digits": lambda: digits(7),
        "random characters": lambda: "".join(rng.choice(characters, rng.integers(1, 9))),
    }  # fmt: skip
    pictures = {
        name: [renderer.render(text(), sample_rng(SEED, 1, i)) for i in range(num)]
        for name, text in kinds.items()
    }
    shape = (renderer.config.height, CONTEST_WIDTH_PX, 3)
    pictures["noise"] = [
        Image.fromarray(rng.integers(256, size=shape, dtype=np.uint8)) for _ in range(num)
    ]
    pictures["blank"] = [
        Image.fromarray(np.full(shape, rng.integers(256), dtype=np.uint8)) for _ in range(num)
    ]
    return pictures


def measure_others(recognizer: Recognizer, fonts: list[FontFile], num: int) -> Table:
    """Read pictures of something else than the grammar's texts."""
    table = Table("pictures", "median confidence", "posterior", "grammar mass", "at 0.9 or more")
    table.title = f"Something else than {recognizer.decoder.grammar}"
    renderer = Renderer(fonts, SynthConfig(faint_share=0.0, degraded_share=0.0))
    for name, pictures in draw_other_texts(renderer, num).items():
        predictions = recognizer.predict(pictures)
        medians = [
            float(np.median([getattr(p, field) for p in predictions]))
            for field in ("confidence", "posterior", "grammar_mass")
        ]
        sure = sum(p.confidence >= 0.9 for p in predictions) / num
        table.add_row(f"{name} ({num})", *(f"{median:.3f}" for median in medians), f"{sure:.1%}")
    return table


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model")
    parser.add_argument("--heldout", type=Path, required=True, help="fonts held out from training")
    parser.add_argument("--real", type=Path, action="append", default=[])
    parser.add_argument("-n", type=int, default=4000, help="rendered images per set")
    parser.add_argument("--captcha", type=int, default=20_000, help="images by that package")
    args = parser.parse_args()
    recognizer = Recognizer.load(args.model, grammar="level1")
    fonts = find_fonts([args.heldout], LEVEL1.characters, system=False).usable

    def own(name: str, config: SynthConfig) -> ImageSet:
        renderer = Renderer(fonts, config)
        drawn = (renderer.sample(SEED, 0, i) for i in range(args.n))
        return look_at(recognizer, name, drawn)

    hard = own("hard: faint, overlapping", HARD)
    sets = [hard]
    for folder in args.real:
        samples = load_dataset(folder).parts["all"]
        images = ((sample.text, load_image(sample.path)) for sample in samples)
        sets.append(look_at(recognizer, folder.name, images))
    console = Console()
    console.print(compare_decoders(recognizer, sets))
    thin = draw_images(args.captcha, SEED, recipe_fonts(), thin_minus=True)
    calibrated = [
        own("own renderer", SynthConfig()),
        hard,
        own("overlapping even more", HARDER),
        look_at(recognizer, "captcha package, 16 families, thin minus", thin),
        look_at(recognizer, "captcha package", draw_images(args.captcha, SEED)),
    ]
    console.print(measure_calibration(recognizer, calibrated))
    console.print(measure_others(recognizer, fonts, 200))


if __name__ == "__main__":
    main()
