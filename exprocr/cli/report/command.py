"""``exprocr report``: a page with all that is known of a run."""

from __future__ import annotations

from typing import Any

import click

from exprocr.cli.options import (
    Session,
    compute_options,
    limit_option,
    outside_option,
    pass_session,
)


@click.command(
    epilog="\b\nExamples:\n  exprocr report runs/a\n  exprocr report runs/a -o report.html",
)
@click.argument("run_dir", metavar="RUN", type=click.Path())
@click.option(
    "-o",
    "--output",
    type=click.Path(),
    metavar="FILE",
    help="The page.  [default: report.html in RUN]",
)
@limit_option("Images shown of those read wrong, at most.")
@outside_option
@compute_options
@pass_session
def report(session: Session, /, run_dir: str, **options: Any) -> None:
    """Write one page about RUN, a run directory of `exprocr train`: something to send.

    Its settings, learning curves, what its model reads in its validation images and what it reads
    wrong, the network and its layers, its weights. The page needs no other file and no network.
    """
    from exprocr.cli.report.run import run

    run(session, run_dir, **options)
