"""``exprocr predict``: read expressions in images."""

from __future__ import annotations

from typing import Any

import click

from exprocr.choices import FORMATS, MAX_NUM_BEST
from exprocr.cli.options import (
    FiniteRange,
    Session,
    check_decoder,
    decoder_options,
    model_option,
    pass_session,
    reading_options,
)
from exprocr.cli.shard import ShardType


@click.command(
    epilog="\b\nExamples:\n"
    "  exprocr predict img.png\n"
    "  exprocr predict images/ --output readings.csv\n"
    "  cat img.png | exprocr predict -\n"
    "  find scans/ -name '*.png' | exprocr predict --from-file -\n"
    "  exprocr predict scans/ --shard 3/100 --output 3.jsonl --resume"
)
@click.argument("paths", metavar="PATH...", nargs=-1)
@click.option(
    "--from-file",
    type=click.Path(),
    metavar="FILE",
    help="Read the images that FILE lists too, one path a line; - is stdin.",
)
@click.option(
    "--shard",
    type=ShardType(),
    metavar="K/N",
    help="Read the K-th of N about equal shares of the images: a share for each of N machines. An "
    "image's share depends on its path below DIR alone.",
)
@model_option
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    help="table: for people; tsv, csv: lines with tabs or commas; json: JSON Lines; contest: "
    "EXPR VALUE, in the line whose number is the image's.  [default: by the name of --output; "
    "without one, table on a terminal, else tsv]",
)
@click.option("-o", "--output", type=click.Path(), metavar="FILE", help="Write to a file.")
@click.option(
    "--resume",
    is_flag=True,
    help="Keep what a run to the same FILE.jsonl that was stopped or killed has read, and read the "
    "rest, with the same model and options.",
)
@click.option(
    "--min-confidence",
    type=FiniteRange(0, 1),
    metavar="P",
    help="Mark readings with less confidence as rejected; exit with 3 if there are any.",
)
@click.option(
    "--only-wrong",
    is_flag=True,
    help="Write only equations that do not hold, and those that are unsure: below "
    "--min-confidence, or without an answer; exit with 3 if there are any.",
)
@click.option(
    "--n-best",
    type=click.IntRange(1, MAX_NUM_BEST),
    metavar="K",
    default=1,
    show_default=True,
    help="Write the K most probable texts (or values), with their probabilities.",
)
@decoder_options
@reading_options
@pass_session
def predict(session: Session, /, **options: Any) -> int:
    """Read expressions in images: files, folders, globs, or - for one image on stdin.

    Writes the path, the expression, its value, the confidence, 0 to 1, and whether an equation
    holds: true, false, or nothing where there is none. The value is an integer or p/q, or a decimal
    if the text has one; of an equation, it is that of the left side. It is empty where the text is
    no expression or divides by zero. In JSON an integer is a number, another value is a string, and
    what is missing is null. An image that cannot be read is reported, the others are still read,
    and the exit code is 1.
    """
    if not options["paths"] and options["from_file"] is None:
        raise click.MissingParameter(param_hint="'PATH...'", param_type="argument")
    if "-" in options["paths"] and options["from_file"] == "-":
        raise click.UsageError("- and --from-file - both read stdin; give one of them.")
    if options["shard"]:
        if "-" in options["paths"]:
            raise click.UsageError("--shard expects files, found -, which is one image.")
        if options["format_"] == "contest":
            raise click.UsageError(
                "--shard expects --format table, tsv, csv or json, found contest, which has a line "
                "for every image."
            )
    if options["resume"]:
        if "-" in options["paths"]:
            raise click.UsageError("--resume expects files, found -, which is read only once.")
        if options["only_wrong"]:
            raise click.UsageError(
                "--resume expects a line for each reading; --only-wrong leaves some out."
            )
    check_decoder(options["decoder"], by_value=options["by_value"], num_best=options["n_best"])
    if options["only_wrong"] and options["format_"] == "contest":
        raise click.UsageError(
            "--only-wrong expects --format table, tsv, csv or json, found contest, which has a "
            "line for every image."
        )
    from exprocr.cli.predict.run import run

    return run(session, **options)
