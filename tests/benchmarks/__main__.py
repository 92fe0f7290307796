"""Measure speed and accuracy on this machine, and print one table.

    python -m tests.benchmarks [--fast] [--threads 2] [--only reading --only peers]
    python -m tests.benchmarks --real DIR --recipe RECIPE --minutes 3 --minutes 15

Parts: ``training`` (images per second of each preset, and on images rendered meanwhile), ``recipe``
(time to 90, 99 and 99.9% validation exact match; with ``--recipe`` only), ``cold-start``,
``reading`` (very many files, memory, processor time), ``steady`` (training and reading beside
another busy process), ``rendering``, ``decoding``, ``peers``
(exprocr and other tools on the same files: `pip install ddddocr rapidocr pytesseract`, and
Debian's package tesseract-ocr; the table names what is not installed).

Figures are medians of ``--repetitions``; on a shared machine compare ratios within one run, not
runs. An interrupt ends the measuring, and the table shows what there is by then. Into a file it is
written as Markdown.
"""

from __future__ import annotations

import argparse
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

from rich.table import Table

from exprocr.cli.signals import INTERRUPTED
from tests.benchmarks import learning, peers, reading, speed, steady
from tests.benchmarks.measuring import Options, Row, describe_machine, print_table

Part = Callable[[Options], Iterator[Row]]

PARTS: dict[str, Part] = {
    "training": learning.training_rows,
    "recipe": learning.recipe_rows,
    "cold-start": reading.cold_start_rows,
    "reading": reading.reading_rows,
    "steady": steady.rows,
    "rendering": speed.rendering_rows,
    "decoding": speed.decoding_rows,
    "peers": peers.rows,
}


def measure(parts: Mapping[str, Part], options: Options) -> Iterator[tuple[str, Row]]:
    """Yield each part's name and rows; one row where it fails, and the other parts go on."""
    for name, part in parts.items():
        try:
            for row in part(options):
                yield name, row
        except ModuleNotFoundError as error:
            yield name, Row(name, f"not installed: {error.name}")
        except (Exception, SystemExit) as error:  # what was measured so far is kept
            traceback.print_exc()
            yield name, Row(name, f"failed: {type(error).__name__}: {error}")


def fill(table: Table, rows: Iterable[tuple[str, Row]]) -> int:
    """Add rows as they come, print each on stderr, and return 0 or an interrupt's exit code."""
    last = None
    try:
        for part, row in rows:
            print(f"{part}: {row.what}: {row.result}", file=sys.stderr, flush=True)
            table.add_row("" if part == last else part, row.what, row.result)
            last = part
    except KeyboardInterrupt:
        return INTERRUPTED
    return 0


def parse(arguments: list[str] | None = None) -> tuple[dict[str, Part], Options]:
    """Return the parts and options of a command line."""
    default = Options()
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--only", action="append", choices=PARTS, metavar="PART", help=", ".join(PARTS))
    add("--fast", action="store_true", help="a rough table within minutes")
    add("--repetitions", type=int, help=f"[default: {default.repetitions}]")
    add(
        "--seconds",
        type=float,
        help=f"of each training that is timed [default: {default.seconds:g}]",
    )
    add("--num-files", type=int, help=f"that one process reads [default: {default.num_files:,}]")
    add("--num-images", type=int, help=f"that all tools read [default: {default.num_images:,}]")
    add("--threads", type=int, help="[default: what exprocr picks]")
    add("--device", default=default.device, help="where networks are trained")
    add("--model", help="model that reads [default: bundled]")
    add("--real", type=Path, action="append", default=[], help="labeled folder for all tools")
    add("--recipe", type=Path, help="data set to learn from, with train/ and val/")
    add("--minutes", type=float, action="append", help="of a training on it [default: 3 and 15]")
    args = parser.parse_args(arguments)
    rough = Options(repetitions=1, seconds=4, num_files=1000, num_images=100)
    base = rough if args.fast else default

    def given(name: str) -> int | float:
        value: int | float | None = getattr(args, name)
        return getattr(base, name) if value is None else value

    options = Options(
        repetitions=int(given("repetitions")),
        seconds=given("seconds"),
        num_files=int(given("num_files")),
        num_images=int(given("num_images")),
        threads=args.threads,
        device=args.device,
        model=args.model,
        real=tuple(args.real),
        recipe=args.recipe,
        minutes=tuple(args.minutes or default.minutes),
    )
    chosen = args.only or [name for name in PARTS if name != "recipe" or args.recipe]
    return {name: PARTS[name] for name in PARTS if name in chosen}, options


def main() -> None:
    """Print the table."""
    parts, options = parse()
    print("\n".join(describe_machine()))
    table = Table("part", "what", "result")
    code = fill(table, measure(parts, options))
    print_table(table)
    sys.exit(code)


if __name__ == "__main__":
    main()
