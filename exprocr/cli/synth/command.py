"""``exprocr synth``: render a labeled set of images."""

from __future__ import annotations

import re
import shlex
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from exprocr.cli.options import INTERRUPTED, FiniteRange, Session, pass_session

if TYPE_CHECKING:
    from rich.table import Table

    from exprocr.core.config.schema import SynthConfig
    from exprocr.synth.fonts import FontReport
    from exprocr.synth.writer import WriteReport

NUM_FAMILIES_NAMED = 8
MIN_SIZE_PX, MAX_SIZE_PX = (20, 20), (6000, 1000)
"""Width and height of an image; `SynthConfig` has the same limits."""


def _parse_size(
    ctx: click.Context, param: click.Parameter, text: str | None
) -> tuple[int, int] | None:
    """Return width and height, px."""
    if text is None:
        return None
    match = re.fullmatch("([0-9]{1,5})[xX]([0-9]{1,5})", text)
    if not match:
        raise click.BadParameter(f"expected WIDTHxHEIGHT, like 180x60, found {text!r}", ctx, param)
    width, height = int(match[1]), int(match[2])
    low, high = MIN_SIZE_PX, MAX_SIZE_PX
    if not (low[0] <= width <= high[0] and low[1] <= height <= high[1]):
        limits = f"{low[0]}x{low[1]} to {high[0]}x{high[1]}"
        raise click.BadParameter(f"expected {limits}, found {text!r}", ctx, param)
    return width, height


@click.command(epilog="\b\nExample:\n  exprocr synth data/ -n 10000 --val-fraction 0.1")
@click.argument("out", metavar="OUT", type=click.Path(path_type=Path))
@click.option(
    "-n",
    "--num-images",
    type=click.IntRange(min=1),
    metavar="N",
    default=10_000,
    show_default=True,
    help="Images, all parts together.",
)
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    metavar="N",
    default=0,
    show_default=True,
    help="Another seed gives other images.",
)
@click.option(
    "--size",
    callback=_parse_size,
    metavar="WxH",
    help="Size of an image, px.  [default: 180x60]",
)
@click.option(
    "--fonts",
    multiple=True,
    type=click.Path(),
    metavar="DIR",
    help="Use the fonts in this folder too; repeatable.",
)
@click.option("--no-system-fonts", is_flag=True, help="Use only the fonts of --fonts.")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Settings in TOML, as for train: [synth] says what the images look like.",
)
@click.option(
    "--val-fraction",
    type=FiniteRange(min=0, max=1, max_open=True),
    metavar="SHARE",
    default=0.0,
    show_default=True,
    help="Write train/ and val/, with this share of the images in val/.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    metavar="N",
    help="Processes to render in.  [default: the processors]",
)
@click.option(
    "--overwrite",
    is_flag=True,
    help="Replace the set in OUT: its numbered PNG files and labels.txt, nothing else.",
)
@pass_session
@click.pass_context
def synth(
    ctx: click.Context,
    session: Session,
    out: Path,
    num_images: int,
    seed: int,
    size: tuple[int, int] | None,
    fonts: tuple[str, ...],
    no_system_fonts: bool,
    config: Path | None,
    val_fraction: float,
    workers: int | None,
    overwrite: bool,
) -> None:
    """Render a labeled set of images into the folder OUT.

    Writes 0.png, 1.png .. and labels.txt, whose line i is the expression in image i, a space, and
    its value. The same seed gives the same files, byte for byte, as long as the fonts are the
    same; the number of processes makes no difference.
    """
    from exprocr.cli.output import print_table
    from exprocr.synth.fonts import find_fonts
    from exprocr.synth.renderer import CHARACTERS, Renderer
    from exprocr.synth.writer import prepare_folder

    parts = _plan(out, num_images, val_fraction)
    looks = _looks(config, size, fonts, system_fonts=not no_system_fonts)
    report = find_fonts([Path(f) for f in looks.fonts], CHARACTERS, system=looks.system_fonts)
    Renderer(report.usable, looks)  # what cannot be drawn is an error before anything is replaced
    prepare_folder(out, overwrite=overwrite)
    start = time.perf_counter()
    written = _write(session, parts, report, looks, seed, workers)
    seconds = time.perf_counter() - start
    num_written = sum(done.num_images for done in written)
    if any(done.interrupted for done in written):
        session.report(
            f"Interrupted: {num_written:,} of {num_images:,} images are in {out}, with their "
            "labels; the same command with --overwrite renders all."
        )
        ctx.exit(INTERRUPTED)
    print_table(_summary(out, parts, written, report, looks, seed, seconds, session))
    session.note(f"Next: exprocr train {shlex.quote(str(out))}")


def _looks(
    config: Path | None, size: tuple[int, int] | None, fonts: tuple[str, ...], *, system_fonts: bool
) -> SynthConfig:
    """Return what the images look like: options over the file over the defaults."""
    from exprocr.core.config.settings import load_settings

    changes: dict[str, object] = {}
    if size is not None:
        changes["width"], changes["height"] = size
    if fonts:
        changes["fonts"] = fonts
    if not system_fonts:
        changes["system_fonts"] = False
    return load_settings("default", config, {"synth": changes}).synth


def _plan(out: Path, num_images: int, val_fraction: float) -> list[tuple[Path, int]]:
    """Return the folders to write and the number of images of each."""
    if not val_fraction:
        return [(out, num_images)]
    num_val = max(1, round(num_images * val_fraction))
    if num_val >= num_images:
        raise click.UsageError(
            f"--val-fraction {val_fraction:g} of {num_images} images leaves none to train on."
        )
    return [(out / "train", num_images - num_val), (out / "val", num_val)]


def _write(
    session: Session,
    parts: list[tuple[Path, int]],
    report: FontReport,
    looks: SynthConfig,
    seed: int,
    workers: int | None,
) -> list[WriteReport]:
    """Render each part, as a stream of its own; after an interrupt no more."""
    from exprocr.cli.output import progress
    from exprocr.core.system.processes import usable_processors
    from exprocr.synth.renderer import FILES_STREAM
    from exprocr.synth.writer import write_samples

    written: list[WriteReport] = []
    with progress(session, sum(num for _, num in parts), description="synth") as bar:
        for stream, (folder, num) in enumerate(parts, start=FILES_STREAM):
            written.append(
                write_samples(
                    folder,
                    report.usable,
                    looks,
                    seed=seed,
                    stream=stream,
                    num_images=num,
                    workers=workers or usable_processors(),
                    on_progress=bar.update,
                )
            )
            if written[-1].interrupted:
                break
    return written


def _summary(
    out: Path,
    parts: list[tuple[Path, int]],
    written: list[WriteReport],
    report: FontReport,
    looks: SynthConfig,
    seed: int,
    seconds: float,
    session: Session,
) -> Table:
    """Return the table at the end."""
    from exprocr.cli.output import summary_table
    from exprocr.words import format_duration, format_rate, quantity

    num = sum(done.num_images for done in written)
    shares = ", ".join(f"{folder.name}: {size:,}" for folder, size in parts)
    families = report.families
    named = families if session.verbose else families[:NUM_FAMILIES_NAMED]
    more = f" and {len(families) - len(named)} more (-v names all)" if families != named else ""
    rows: list[tuple[str, object]] = [
        ("images", f"{num:,}" + (f" ({shares})" if len(parts) > 1 else "")),
        ("folder", out),
        ("size", f"{looks.width} x {looks.height} px"),
        ("seed", seed),
        (
            "fonts",
            f"{quantity(len(report.usable), 'font')} of {len(families)} families: "
            f"{', '.join(named)}{more}",
        ),
        ("fonts left out", len(report.rejected)),
        ("time", f"{format_duration(seconds)} ({format_rate(num, seconds)} images/s)"),
        ("images/s per core", format_rate(num, sum(done.cpu_s for done in written))),
    ]
    if session.verbose:
        rows += [("left out", f"{path}: {reason}") for path, reason in report.rejected]
    return summary_table(rows)
