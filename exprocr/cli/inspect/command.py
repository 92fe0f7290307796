"""``exprocr inspect``: show what is in a data set, and what is wrong with it."""

from __future__ import annotations

from typing import Any

import click

from exprocr.cli.options import (
    Session,
    layout_options,
    limit_option,
    map_option,
    model_option,
    pass_session,
    table_options,
)


@click.command(
    epilog="\b\nExamples:\n  exprocr inspect data/\n  exprocr inspect data/ --sheet sheet.png"
    "\n  exprocr inspect data/ --strict --json findings.json",
)
@click.argument("data", type=click.Path())
@layout_options
@table_options
@map_option
@model_option
@click.option(
    "--sheet", type=click.Path(), metavar="FILE", help="Draw a sheet of samples, odd ones first."
)
@limit_option("Most images on the sheet.")
@click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write all findings.")
@click.option("--strict", is_flag=True, help="Exit with 3 if there is anything to mend.")
@pass_session
def inspect(session: Session, /, data: str, **options: Any) -> None:
    """Show what is in DATA, and what is wrong with it: labeled images in any layout.

    Every image is opened. What is to be mended comes first: unreadable images, labels that do not
    fit the width, the same image twice, labels outside the grammar of nearly all others. What is
    only worth a look follows. --model names the network whose frames a label must fit into.
    """
    from exprocr.cli.inspect.run import run

    run(session, data, **options)
