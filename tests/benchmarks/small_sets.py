"""The small sets that `tests.benchmarks.measure_finetuning` trains on and measures.

Each function returns the pictures to train on and those to test, from a seed. With the same seed,
fewer to train on are the first ones of more, and those to test of a drawn set are the same.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFont

from exprocr.core.config.schema import SynthConfig
from exprocr.core.data.dataset import load_dataset
from exprocr.core.data.labels import Sample
from exprocr.core.image.preprocess import load_image
from exprocr.core.system.csv_rows import csv_writer
from exprocr.core.text.grammar.grammars import load_grammar_alone
from exprocr.synth.fonts import FontFile, find_fonts
from exprocr.synth.looks import DISPLAY, Display
from exprocr.synth.paint.display import DisplayPainter
from exprocr.synth.renderer import FILES_STREAM, VAL_FILES_STREAM, Renderer
from exprocr.synth.texts import GrammarTexts
from exprocr.synth.typefaces import Typefaces
from tests.benchmarks.image_sets import Drawn, MissingError, Rng

Split = tuple[list[Drawn], list[Drawn]]
"""Pictures to train on, and pictures to test."""

NUM_TEST = 500
"""Pictures of a drawn set that are tested."""

DIGITS_FILE = "datasets/data/digits.csv.gz"
"""In scikit-learn: handwritten digits of the UCI repository, a line each of 8 x 8 levels of ink,
0 to 16, and the digit."""

TEST_DIGITS = 0.3
"""Share of these digits that are kept for testing."""

SCALE = 4
"""Numbers of these digits are enlarged so many times."""

DISPLAY_TEXTS = GrammarTexts(load_grammar_alone(r"regex:[0-9]{3,6}|[0-9]{2,5}\.[0-9]"), 24)
DISPLAY_FACES = {"train": "DSEG7Classic*.ttf", "test": "DSEG7Modern*.ttf"}
"""The faces of the one part are not in the other: Classic and Classic Mini, six styles each, have
slanted ends of the segments; Modern and Modern Mini have pointed ones."""

DISPLAY_HEIGHT = 60

LETTERS = "АВЕКМНОРСТУХ"  # noqa: RUF001 - that they look Latin is why plates have no others
"""Those that Russian plates have, all of them Cyrillic."""

PLATE_TEXTS = GrammarTexts(
    load_grammar_alone(f"regex:[{LETTERS}][0-9]{{3}}[{LETTERS}]{{2}}[0-9]{{2,3}}"), 24
)
PLATE_LOOKS = ("print", "screen")
TEST_FAMILIES = 0.3
"""Share of the kindred of typefaces that are kept for testing."""


def real(folder: Path, num_train: int, seed: int) -> Split:
    """Split a folder of real pictures at random; pictures with the same label stay together.

    Some show the same thing, photographed twice.
    """
    samples = [s for part in load_dataset(folder).parts.values() for s in part]
    alike: defaultdict[str, list[Sample]] = defaultdict(list)
    for sample in samples:
        alike[sample.text].append(sample)
    groups = list(alike.values())
    train: list[Sample] = []
    test: list[Sample] = []
    for i in np.random.default_rng(seed).permutation(len(groups)):
        (train if len(train) + len(groups[i]) <= num_train else test).extend(groups[i])
    if len(train) < num_train or not test:
        raise MissingError(
            f"{folder}: expected {num_train} pictures to train on and others to test, found "
            f"{len(samples)}"
        )
    return list(map(_load, train)), list(map(_load, test))


def _load(sample: Sample) -> Drawn:
    return sample.text, load_image(sample.path)


def numbers(num_train: int, seed: int) -> Split:
    """Put real handwritten digits together to numbers of three to six.

    A random share of the digits is for testing alone. All others are used once before any is used
    twice.
    """
    inks, labels = uci_digits()
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(labels))
    num_held_out = round(TEST_DIGITS * len(order))
    test_rng, train_rng = rng.spawn(2)
    parts = []
    for digits, num, part_rng in (
        (order[num_held_out:], num_train, train_rng),
        (order[:num_held_out], NUM_TEST, test_rng),
    ):
        deck = _dealt(digits, part_rng)
        drawn = []
        for _ in range(num):
            dealt = list(islice(deck, int(part_rng.integers(3, 7))))
            text = "".join(str(labels[i]) for i in dealt)
            drawn.append((text, _side_by_side(inks[dealt], part_rng)))
        parts.append(drawn)
    return parts[0], parts[1]


def uci_digits() -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return the inks of handwritten digits, uint8 (N, 8, 8) of 0 to 16, and what they are.

    They are a file in scikit-learn, which is not imported, so that it does not need what it depends
    on.
    """
    spec = find_spec("sklearn")
    path = Path(spec.origin).parent / DIGITS_FILE if spec and spec.origin else None
    if path is None or not path.is_file():
        raise MissingError("not installed: scikit-learn; pip install --no-deps scikit-learn")
    table = np.loadtxt(path, delimiter=",", dtype=np.uint8)
    return table[:, :-1].reshape(-1, 8, 8), table[:, -1]


def _dealt(digits: NDArray[np.intp], rng: Rng) -> Iterator[int]:
    while True:
        yield from rng.permutation(digits).tolist()


def _side_by_side(inks: NDArray[np.uint8], rng: Rng) -> Image.Image:
    """Return a picture of digits, with small random gaps, some higher and some lower."""
    margins = rng.integers(1, 4, size=4)
    gaps = rng.integers(0, 3, size=len(inks))
    drops = rng.integers(0, 3, size=len(inks))
    width = 8 * len(inks) + int(gaps[1:].sum() + margins[:2].sum())
    page = np.zeros((8 + 2 + int(margins[2:].sum()), width))
    x = int(margins[0]) - int(gaps[0])
    for ink, gap, drop in zip(inks, gaps, drops, strict=True):
        x += int(gap)
        y = int(margins[2] + drop)
        page[y : y + 8, x : x + 8] = ink
        x += 8
    picture = Image.fromarray((255 - page * (255 / 16)).astype(np.uint8))
    size = (picture.width * SCALE, picture.height * SCALE)
    return picture.resize(size, Image.Resampling.BICUBIC)


def displays(folder: Path, num_train: int, seed: int) -> Split:
    """Draw numbers in seven-segment typefaces of a folder, with glare, tilt and all of the look.

    Only its low contrast is left out, with which people guess too.
    """
    parts = []
    look = replace(DISPLAY, light=replace(DISPLAY.light, low_contrast_share=0.0))
    for part, num in (("train", num_train), ("test", NUM_TEST)):
        painter = display_painter(folder, DISPLAY_FACES[part], look)
        drawn = []
        for number in range(num):
            rng = np.random.default_rng((seed, part == "test", number))
            text = DISPLAY_TEXTS.draw(rng)
            drawn.append((text, painter.paint(text, None, rng)))
        parts.append(drawn)
    return parts[0], parts[1]


def display_painter(folder: Path, pattern: str, look: Display = DISPLAY) -> DisplayPainter:
    """Return a painter of numbers, in those typefaces of a folder whose files fit a pattern."""
    paths = sorted(folder.rglob(pattern))
    if not paths:
        raise MissingError(f"{folder}: expected fonts {pattern}, found none")
    typefaces = Typefaces(list(map(_face, paths)), DISPLAY_TEXTS.characters)
    return DisplayPainter(typefaces, DISPLAY_HEIGHT, replace(look, typeface_share=1.0))


def _face(path: Path) -> FontFile:
    """Return a font, also one that `find_fonts` rejects: it finds some segments unlike digits."""
    family, style = ImageFont.truetype(path).getname()
    return FontFile(family or "", style or "", str(path))


def plates(folders: Sequence[Path], num_train: int, seed: int) -> Split:
    """Render plates with Cyrillic letters, in the fonts of the system and of some folders.

    Typefaces whose names begin with the same word, such as DejaVu Sans and DejaVu Serif, are kin:
    they are all in one part.
    """
    fonts = find_fonts(folders, PLATE_TEXTS.characters).usable
    kin = sorted({_kin(font) for font in fonts})
    if len(kin) < 2:
        raise MissingError(f"expected Cyrillic letters in two kinds of typefaces, found {len(kin)}")
    order = [kin[i] for i in np.random.default_rng(seed).permutation(len(kin))]
    held_out = set(order[: max(1, round(TEST_FAMILIES * len(kin)))])

    def draw(num: int, stream: int, usable: Callable[[FontFile], bool]) -> list[Drawn]:
        config = SynthConfig(looks=PLATE_LOOKS)
        renderer = Renderer(list(filter(usable, fonts)), config, PLATE_TEXTS)
        return [renderer.sample(seed, stream, number) for number in range(num)]

    return (
        draw(num_train, FILES_STREAM, lambda font: _kin(font) not in held_out),
        draw(NUM_TEST, VAL_FILES_STREAM, lambda font: _kin(font) in held_out),
    )


def _kin(font: FontFile) -> str:
    return font.family.split()[0]


def write(folder: Path, pictures: Iterable[Drawn]) -> None:
    """Write pictures and ``labels.csv`` into a new folder."""
    folder.mkdir(parents=True)
    with (folder / "labels.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv_writer(file)
        rows.writerow(("image", "text"))
        for number, (text, picture) in enumerate(pictures):
            picture.save(folder / f"{number}.png", compress_level=1)
            rows.writerow((f"{number}.png", text))
