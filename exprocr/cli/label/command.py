"""``exprocr label``: a page on which a person types what is in images, beginning with a reading."""

from __future__ import annotations

from typing import Any

import click

from exprocr.cli.options import (
    Session,
    compute_options,
    layout_options,
    model_option,
    pass_session,
    table_options,
)


@click.command(
    epilog="\b\nExamples:\n"
    "  exprocr label images/ -o page.html\n"
    "  exprocr label --labels data.csv -o page.html",
)
@click.argument("paths", metavar="[IMAGES]...", nargs=-1)
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE",
    default="label.html",
    show_default=True,
    help="The page.",
)
@click.option(
    "--labels",
    type=click.Path(),
    metavar="DATA",
    help="Labels to check: a folder or a table, as `exprocr train` takes it. Without IMAGES, all "
    "its images are shown.",
)
@layout_options
@table_options
@model_option
@click.option(
    "--grammar",
    metavar="GRAMMAR",
    help="Texts that may be read, as for `exprocr predict`; you may type any.  [default: the "
    "model's own]",
)
@compute_options
@pass_session
def label(session: Session, /, paths: tuple[str, ...], **options: Any) -> int:
    """Write a page for labeling IMAGES: files, folders or globs.

    Open it in a browser. It shows each image with what a model reads in it, the least certain
    first, and marks doubtful characters. Type the right text, or press Enter to accept. "Save"
    writes labels.csv, which `train` and `eval` take with --images. The page needs no other file and
    no network, and keeps what you type when you close it.

    With --labels, it checks labels that are there: where a label and the reading differ, the
    surest reading first. An image that cannot be read is listed, and the exit code is 1.
    """
    if not paths and options["labels"] is None:
        raise click.UsageError("Give IMAGES, or labels to check (--labels).")
    for name in ("images", "layout", "label_pattern"):
        if options["labels"] is None and options[name] is not None:
            option = "--" + name.replace("_", "-")
            raise click.UsageError(f"{option} is for --labels: it says how they are stored.")
    if "-" in paths:
        raise click.UsageError("IMAGES: expected files and folders, found - (standard input).")
    from exprocr.cli.label.run import run

    return run(session, paths, **options)
