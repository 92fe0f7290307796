"""``exprocr info``: show a model's card."""

from __future__ import annotations

from typing import Any

import click

from exprocr.cli.options import Session, pass_session


@click.command(
    epilog="\b\nExamples:\n  exprocr info bundled\n  exprocr info runs/a --markdown card.md"
)
@click.argument("model", metavar="MODEL", type=click.Path())
@click.option("--json", "json_file", type=click.Path(), metavar="FILE", help="Write the card.")
@click.option("--markdown", type=click.Path(), metavar="FILE", help="Write it as a page.")
@pass_session
def info(session: Session, /, model: str, **options: Any) -> None:
    """Show the card of MODEL: a model file, a run directory, bundled or contest.

    It says what network it is, what it reads, what it was trained on and comes from, and how well
    it read the images it was validated on.
    """
    from exprocr.cli.info.run import run

    run(session, model, **options)
