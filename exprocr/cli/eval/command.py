"""``exprocr eval``: measure a model on labeled images."""

from __future__ import annotations

from typing import Any

import click

from exprocr.cli.options import (
    FiniteRange,
    Session,
    check_decoder,
    decoder_options,
    layout_options,
    map_option,
    model_option,
    pass_session,
    reading_options,
    table_options,
)


@click.command(
    "eval",
    epilog="\b\nExamples:\n  exprocr eval data/\n  exprocr eval data/ --model runs/a --json a.json"
    "\n  exprocr eval data/ --min-exact 0.99",
)
@click.argument("data", type=click.Path())
@model_option
@layout_options
@table_options
@map_option
@decoder_options
@click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write all figures.")
@click.option("--errors", type=click.Path(), metavar="FILE", help="Write every wrong image (CSV).")
@click.option(
    "--min-exact",
    type=FiniteRange(0, 1),
    metavar="P",
    help="Exit with 3 if the exact match is below this.",
)
@reading_options
@pass_session
def eval_command(session: Session, /, data: str, **options: Any) -> None:
    """Measure a model on DATA: labeled images in any layout `exprocr train` reads.

    Of a data set with train/ and val/, val/ is measured. An image is right in the contest's sense
    if both its expression and its value are.
    """
    check_decoder(options["decoder"], by_value=options["by_value"])
    from exprocr.cli.eval.run import run

    run(session, data, **options)
