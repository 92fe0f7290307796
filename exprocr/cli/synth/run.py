"""What ``exprocr synth`` does: render the images, and print what was rendered."""

from __future__ import annotations

import shlex
import time
from pathlib import Path
from typing import Any, Literal

import click
from rich.table import Table

from exprocr.cli import signals
from exprocr.cli.options import Session, check_digits, look_settings, texts_settings
from exprocr.cli.output import print_table, progress, summary_table
from exprocr.core.config.schema import TEXT_SOURCES
from exprocr.core.config.settings import load_settings
from exprocr.core.system.processes import usable_processors
from exprocr.synth.fonts import FontReport
from exprocr.synth.renderer import FILES_STREAM, Renderer, load_renderer
from exprocr.synth.writer import WriteReport, prepare_folder, write_samples
from exprocr.words import format_duration, format_rate, quantity

NUM_FAMILIES_NAMED = 8


def run(
    session: Session,
    *,
    out: Path,
    num_images: int,
    seed: int,
    size: tuple[int | Literal["auto"], int] | None,
    look: tuple[str, ...] | None,
    digits: str | None,
    fonts: tuple[str, ...],
    no_system_fonts: bool,
    config: Path | None,
    val_fraction: float,
    workers: int | None,
    overwrite: bool,
    **texts: Any,
) -> int:
    """Render a set, and return the exit code.

    Args:
        session: Which messages to write.
        out: Folder to write to.
        num_images: Number of images, in all parts together.
        seed: Seed of the images.
        size: Width and height of an image, px; None takes the settings'.
        look: Looks with their shares; None takes the settings'.
        digits: Folder of handwritten digits; None takes the settings'.
        fonts: Folders of fonts; empty takes the settings'.
        no_system_fonts: Use no other fonts.
        config: File of settings, over which the arguments win; None takes the defaults.
        val_fraction: Share of the images in ``val/``; 0 makes no parts.
        workers: Processes to render in; None is one per processor.
        overwrite: Replace a set that is there.
        texts: The options of what the images say; None takes the settings'.
    """
    parts = _plan(out, num_images, val_fraction)
    changes = texts_settings(texts) | look_settings({"look": look, "digits": digits})
    if size is not None:
        changes["width"], changes["height"] = size
    if fonts:
        changes["fonts"] = fonts
    if no_system_fonts:
        changes["system_fonts"] = False
    looks = load_settings("default", config, {"synth": changes}).synth
    check_digits(digits, looks)
    renderer, report = load_renderer(looks)
    prepare_folder(out, overwrite=overwrite)
    start = time.perf_counter()
    written = _write(session, parts, renderer, seed, workers)
    seconds = time.perf_counter() - start
    num_written = sum(done.num_images for done in written)
    if any(done.interrupted for done in written):
        session.report(
            f"Interrupted: {num_written:,} of {num_images:,} images are in {out}, with their "
            "labels; the same command with --overwrite renders all."
        )
        return signals.exit_code()
    print_table(_summary(out, parts, written, report, renderer, seed, seconds, session))
    session.note(f"Next: exprocr train {shlex.quote(str(out))}")
    return 0


def _plan(out: Path, num_images: int, val_fraction: float) -> list[tuple[Path, int]]:
    """Return the folders to write, and the number of images of each."""
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
    renderer: Renderer,
    seed: int,
    workers: int | None,
) -> list[WriteReport]:
    """Render the parts, each from a stream of its own; stop after an interrupt."""
    written: list[WriteReport] = []
    with progress(session, sum(num for _, num in parts), description="synth") as bar:
        for stream, (folder, num) in enumerate(parts, start=FILES_STREAM):
            written.append(
                write_samples(
                    folder,
                    renderer,
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


def _size(renderer: Renderer) -> str:
    """Return the size of an image, in words."""
    height = renderer.config.height
    if renderer.one_width:
        return f"{next(iter(renderer.widths.values()))} x {height} px"
    return f"{height} px high, as wide as the text needs"


def _summary(
    out: Path,
    parts: list[tuple[Path, int]],
    written: list[WriteReport],
    report: FontReport,
    renderer: Renderer,
    seed: int,
    seconds: float,
    session: Session,
) -> Table:
    """Return the table at the end."""
    config = renderer.config
    num = sum(done.num_images for done in written)
    shares = ", ".join(f"{folder.name}: {size:,}" for folder, size in parts)
    families = report.families
    named = families if session.verbose else families[:NUM_FAMILIES_NAMED]
    more = f" and {len(families) - len(named)} more (-v names all)" if families != named else ""
    rows: list[tuple[str, object]] = [
        ("images", f"{num:,}" + (f" ({shares})" if len(parts) > 1 else "")),
        ("folder", out),
        *((n.replace("_", " "), value) for n in TEXT_SOURCES if (value := getattr(config, n))),
        ("look", ", ".join(config.looks)),
        ("size", _size(renderer)),
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
