"""What a model reads of all that general weights are to read, none of it trained on.

    python -m tests.benchmarks.measure_weights --heldout fonts/heldout --digits mnist \\
        --dseg fonts/dseg [--real DIR]... [--model M] [--only looks]... [-n 0.1] \\
        [--errors DIR] [--json FILE]

Rows, read with the model's own grammar unless the table names another:

- ``real/...``: labeled folders of real pictures; those of the contest also with ``level1``.
- ``programs/chromium`` (Debian's chromium, and Playwright) and ``programs/pango`` (Debian's
  imagemagick, and libmagickcore-6.q16-6-extra): lines of worksheets and captchas, half each, in
  the fonts that are installed and those of ``--heldout``, if they have all characters.
- ``captcha/...``: images by the ``captcha`` package. ``contest``: contest texts in its own font.
  ``sums``: two to five numbers, any width. ``as-called``: the same with spaces and the curve.
  ``fonts``: contest texts in twelve fonts, one drawn for each glyph; they are of those families of
  ``--heldout`` that the first weights read worst. In half of the images the minus is thin.
- ``looks/...``: looks of our own renderer in fonts of ``--heldout``; ``hand`` has digits 8,000 to
  9,999 of ``--digits``, and ``display`` the typefaces DSEG7 Classic and Modern of ``--dseg``
  (Debian's fonts-dseg).
- ``none/...``: what is no arithmetic. The figure is the share that is read as some text at a
  confidence of 0.9 or more. Photographs are parts of matplotlib's grace_hopper.jpg, and of
  scikit-image's chelsea.png and coffee.png and scikit-learn's china.jpg and flower.jpg where these
  packages are installed.

``-n`` is the share of the pictures of each row; real ones are always read all. The same options
give the same pictures with any number of ``--workers``, if the same fonts are installed.
``--errors`` draws the wrong readings of each row that are most confident. Rendered images are
easier than a contest's: these figures are not comparable with its leaderboard.
"""

from __future__ import annotations

import argparse
import json
import sys
import traceback
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from functools import cache, partial
from pathlib import Path
from string import ascii_letters
from typing import Any

import numpy as np
from rich.table import Table

from exprocr.core.data.dataset import load_dataset
from exprocr.core.evaluation.metrics import Evaluation
from exprocr.core.evaluation.reliability import Reliability
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.system.processes import starting_workers, usable_processors, worker_pool
from exprocr.core.text.expression import value_of
from exprocr.core.text.grammar.grammars import load_grammar_alone
from exprocr.errors import ImageError
from exprocr.synth.exercises import SUMS
from exprocr.synth.texts import NAMED
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.samples import Tile, draw_samples
from tests.benchmarks import image_sets
from tests.benchmarks.image_sets import Draw, Drawn, MissingError
from tests.benchmarks.measuring import print_table
from tests.benchmarks.small_sets import display_painter

SEED = 20_000
CHUNK_SIZE = 200
"""Pictures that are drawn together."""

SURE = 0.9
"""Errors of this confidence or more are confident ones."""

NUM_TILES = 60
"""Errors that are drawn of each row, at most."""

TEST_DIGITS = (8_000, 9_999)
"""Handwritten digits that no training draws."""

ANY_WIDTH = {"texts": SUMS, "px_per_character": (22.0, 45.0)}
"""What users of the package choose; its default width has room for four characters of 40 px."""

NOTHING = "none/"
"""What the names of pictures without arithmetic begin with."""


@dataclass(frozen=True)
class Row:
    """A set of pictures to read."""

    name: str
    number: int
    prepare: Callable[[], Draw]
    """Returns what draws the pictures; raises `MissingError` if something is not there."""

    grammars: tuple[str | None, ...] = (None,)
    """None is the model's own."""


@dataclass
class Result:
    """What was read of a set with one grammar."""

    counts: Evaluation = field(default_factory=Evaluation)
    reliability: Reliability = field(default_factory=Reliability)
    num_sure_errors: int = 0
    worst: list[Tile] = field(default_factory=list)
    """The most confident errors."""

    def add(self, recognizer: Recognizer, chunk: list[Drawn]) -> None:
        """Read some pictures."""
        readings = recognizer.stream(picture for _, picture in chunk)
        for (text, picture), reading in zip(chunk, readings, strict=True):
            assert not isinstance(reading, ImageError), reading
            if reading.text != text:
                number = f"image {self.counts.num_images}"
                self.num_sure_errors += reading.confidence >= SURE
                self.worst.append(Tile(picture, number, text, reading.text, reading.confidence))
            self.counts.add(text, value_of(text), reading.text, reading.value)
            self.reliability.add(reading.confidence, reading.text == text)
        self.worst = sorted(self.worst, key=lambda tile: -tile.confidence)[:NUM_TILES]

    def figures(self) -> dict[str, Any]:
        """Return the figures, by their names in JSON."""
        return {
            "number": self.counts.num_images,
            "exact_match": self.counts.exact_match,
            "cer": self.counts.cer,
            "ece": self.reliability.ece(),
            "sure_errors": self.num_sure_errors,
        }

    def draw_errors(self, folder: Path, name: str, grammar: str) -> None:
        """Write a picture of the worst errors."""
        folder.mkdir(parents=True, exist_ok=True)
        num, num_exact = self.counts.num_images, self.counts.num_exact
        subtitle = f"The most confident of {num - num_exact:,} wrong readings of {num:,} pictures"
        sheet = draw_samples(self.worst, f"{name}, grammar {grammar}", subtitle)
        save_picture(sheet, folder / f"{name}-{grammar}.png".replace("/", "-"))


def all_rows(args: argparse.Namespace) -> list[Row]:
    """Return all sets, with as many pictures as the options say."""

    def heldout() -> Path:
        return _given(args.heldout, "--heldout")

    def hand() -> Draw:
        digits = str(_given(args.digits, "--digits"))
        return image_sets.rendered(heldout(), "hand", digits=digits, digit_range=TEST_DIGITS)

    def displays() -> Draw:
        painter = display_painter(_given(args.dseg, "--dseg"), "DSEG7[CM]*.ttf")
        return partial(image_sets.painted, painter, NAMED["readings"])

    def look(name: str) -> Draw:
        return image_sets.rendered(heldout(), f"{name}/worksheet", f"{name}/captcha")

    def by(find: Callable[[], Any], draw: Callable[..., Any]) -> Draw:
        return partial(draw, find(), image_sets.font_families())

    def captchas(**options: Any) -> Draw:
        return partial(image_sets.captchas, **options)

    drawn = [
        Row("programs/chromium", 5_000, lambda: by(image_sets.find_chromium, image_sets.web_pages)),
        Row("programs/pango", 5_000, lambda: by(image_sets.find_imagemagick, image_sets.pango)),
        Row("captcha/contest", 20_000, captchas, (None, "level1")),
        Row("captcha/sums", 5_000, lambda: captchas(**ANY_WIDTH)),
        Row("captcha/as-called", 5_000, lambda: captchas(**ANY_WIDTH, as_called=True)),
        Row(
            "captcha/fonts",
            10_000,
            lambda: partial(image_sets.two_minuses, image_sets.worst_fonts(heldout())),
        ),
        Row("looks/print", 5_000, partial(look, "print")),
        Row("looks/screen", 5_000, partial(look, "screen")),
        Row("looks/hand", 5_000, hand),
        Row("looks/display", 5_000, displays),
        Row(
            "none/letters",
            200,
            lambda: partial(image_sets.letters, image_sets.held_out(heldout(), ascii_letters)),
        ),
        Row("none/blank", 200, lambda: image_sets.blank),
        Row("none/noise", 200, lambda: image_sets.noise),
        Row(
            "none/photographs",
            200,
            lambda: partial(image_sets.photographs, image_sets.find_photographs()),
        ),
    ]
    drawn = [replace(row, number=max(1, round(args.n * row.number))) for row in drawn]
    return [*map(_real, args.real), *drawn]


def _given(path: Path | None, option: str) -> Path:
    if path is None:
        raise MissingError(f"needs {option}")
    return path


def _real(folder: Path) -> Row:
    """Return the set of a labeled folder."""
    samples = [s for part in load_dataset(folder).parts.values() for s in part]
    level1 = load_grammar_alone("level1")
    is_contest = all(level1.accepts(sample.text) for sample in samples)
    grammars = (None, "level1") if is_contest else (None,)
    name = f"real/{folder.resolve().name}"
    return Row(name, len(samples), lambda: partial(image_sets.real, samples), grammars)


def draw_chunk(draw: Draw, name: str, numbers: range) -> list[Drawn]:
    """Return pictures that depend on the set's name and their numbers alone."""
    rng = np.random.default_rng((SEED, zlib.crc32(name.encode()), numbers.start))
    return list(draw(numbers, rng))


def draw_set(row: Row, pool: Executor | None, ahead: int) -> Iterator[list[Drawn]]:
    """Yield a set's pictures, drawn by the workers of a pool while others are read."""
    draw = row.prepare()
    starts = range(0, row.number, CHUNK_SIZE)
    chunks = [range(start, min(start + CHUNK_SIZE, row.number)) for start in starts]
    if pool is None or len(chunks) == 1:
        yield from (draw_chunk(draw, row.name, numbers) for numbers in chunks)
        return
    begun: deque[Future[list[Drawn]]] = deque()
    for numbers in chunks:
        with starting_workers():
            begun.append(pool.submit(draw_chunk, draw, row.name, numbers))
        if len(begun) > ahead:
            yield begun.popleft().result()
    for future in begun:
        yield future.result()


class Report:
    """The table, and the file with all figures."""

    def __init__(self, file: Path | None) -> None:
        self.file = file
        self.lines: list[dict[str, Any]] = []
        head = "images", "grammar", "number", "exact match", "CER", "ECE", "wrong at 0.9 or more"
        self.table = Table(*head)

    def add(self, name: str, grammar: str, figures: dict[str, Any]) -> None:
        """Add a line, and print it on stderr."""
        self.lines.append({"images": name, "grammar": grammar, **figures})
        if self.file:
            self.file.write_text(json.dumps(self.lines, indent=1) + "\n")
        if "problem" in figures:
            cells = [figures["problem"]]
        else:
            number, wrong = figures["number"], figures["sure_errors"]
            cells = [f"{number:,}", "", "", "", f"{wrong / number:.1%}"]
            if not name.startswith(NOTHING):
                cells[1:] = [f"{figures['exact_match']:.2%}", f"{figures['cer']:.3%}"]
                cells += [f"{figures['ece']:.4f}", f"{wrong:,}"]
        print(" | ".join([name, grammar, *cells]), file=sys.stderr, flush=True)
        self.table.add_row(name, grammar, *cells)

    def print(self) -> None:
        """Print the table; into a file, as Markdown."""
        print_table(self.table)


def parse(arguments: list[str] | None = None) -> tuple[argparse.Namespace, list[Row]]:
    """Return the options of a command line, and the sets to read."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--model", help="[default: bundled]")
    add("--real", type=Path, action="append", default=[], help="labeled folder of real pictures")
    add("--heldout", type=Path, help="folder with fonts held out from training")
    add("--digits", type=Path, help="folder with handwritten digits as MNIST publishes them")
    add("--dseg", type=Path, help="folder with the fonts of fonts-dseg")
    add("--only", action="append", metavar="NAME", help="rows whose names begin so")
    add("-n", type=float, default=1.0, metavar="SHARE", help="of the pictures [default: 1]")
    add("--errors", type=Path, metavar="DIR", help="for a PNG of the worst errors of each row")
    add("--json", type=Path, metavar="FILE", help="for all figures")
    add("--workers", type=int, default=usable_processors(), help="processes that draw")
    args = parser.parse_args(arguments)
    names = tuple(args.only or [""])
    rows = [row for row in all_rows(args) if row.name.startswith(names)]
    if not rows:
        parser.error(f"--only: expected a row's name, found {', '.join(names)}")
    return args, rows


def main(arguments: list[str] | None = None) -> None:
    """Read all sets and print the table."""
    args, rows = parse(arguments)
    report = Report(args.json)
    load = cache(lambda grammar: Recognizer.load(args.model, grammar=grammar))
    with ExitStack() as stack:
        stack.enter_context(image_sets.installed_too(args.heldout))
        pool = stack.enter_context(worker_pool(args.workers)) if args.workers > 1 else None
        for row in rows:
            results = [Result() for _ in row.grammars]
            recognizers = [load(grammar) for grammar in row.grammars]
            try:
                for chunk in draw_set(row, pool, 2 * args.workers):
                    for result, recognizer in zip(results, recognizers, strict=True):
                        result.add(recognizer, chunk)
            except MissingError as error:
                report.add(row.name, "", {"problem": str(error)})
                continue
            except Exception as error:  # the other rows are still measured
                traceback.print_exc()
                report.add(row.name, "", {"problem": f"failed: {type(error).__name__}: {error}"})
                continue
            for result, recognizer in zip(results, recognizers, strict=True):
                grammar = str(recognizer.decoder.grammar)
                report.add(row.name, grammar, result.figures())
                if args.errors:
                    result.draw_errors(args.errors, row.name, grammar)
    report.print()


if __name__ == "__main__":
    main()
