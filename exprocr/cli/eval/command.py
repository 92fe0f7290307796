"""``exprocr eval``: measure a model on labeled images."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from exprocr.cli.options import (
    BAD_INPUT,
    BELOW_BAR,
    FiniteRange,
    Session,
    check_decoder,
    decoder_options,
    model_option,
    pass_session,
    reading_options,
)

if TYPE_CHECKING:
    from exprocr.cli.eval.report import Measurement
    from exprocr.core.data.labels import Sample
    from exprocr.core.reading.recognizer import Recognizer
    from exprocr.core.text.grammar.grammars import Grammar


@click.command(
    "eval",
    epilog="\b\nExamples:\n  exprocr eval data/\n  exprocr eval data/ --model runs/a --json a.json"
    "\n  exprocr eval data/ --min-exact 0.99",
)
@click.argument("data", type=click.Path())
@model_option
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
@click.pass_context
def eval_command(
    ctx: click.Context,
    session: Session,
    /,
    data: str,
    json_file: str | None,
    errors: str | None,
    min_exact: float | None,
    **options: Any,
) -> None:
    """Measure a model on DATA: labeled images in any layout `exprocr train` reads.

    Of a data set with train/ and val/, val/ is measured. An image is right in the contest's sense
    if both its expression and its value are.
    """
    from contextlib import ExitStack
    from pathlib import Path

    from exprocr.cli.eval.report import print_report, write_errors, write_json
    from exprocr.cli.output import note_remark, note_unproven
    from exprocr.core.data.dataset import check_charset
    from exprocr.core.reading.recognizer import Recognizer

    # The options that are not named above are those of `Recognizer.load`.
    check_decoder(options["decoder"], by_value=options["by_value"])
    samples = _load(session, data)
    recognizer = Recognizer.load(**options)
    note_remark(session, recognizer)
    check_charset(samples, recognizer.charset)
    measurement = _measure(session, recognizer, samples)
    # All are tried, even if one fails, and in the reverse order: the files come before the tables,
    # which nobody may be there to read.
    with ExitStack() as outputs:
        outputs.callback(note_unproven, session, recognizer.decoder, measurement.num_unproven)
        outputs.callback(
            print_report, session, measurement, options["model"], listed=errors is not None
        )
        if json_file is not None:
            facts = {"data": data, "model": options["model"] or "bundled"}
            outputs.callback(write_json, Path(json_file), measurement, facts)
        if errors is not None:
            outputs.callback(write_errors, Path(errors), measurement)
    if measurement.num_unreadable:
        ctx.exit(BAD_INPUT)
    exact = measurement.counts.exact_match
    if min_exact is not None and exact < min_exact:
        session.report(f"exprocr: exact match {exact:.4%} is below --min-exact {min_exact:.4%}")
        ctx.exit(BELOW_BAR)


def _load(session: Session, data: str) -> list[Sample]:
    """Find the images to measure on, and say which they are."""
    from pathlib import Path

    from exprocr.core.data.dataset import load_dataset

    found = load_dataset(Path(data))
    part = "val" if "val" in found.parts else "all"
    session.note(f"{data}: {found.layout}" + (", measuring val" if part == "val" else ""))
    for warning in found.warnings:
        session.report(f"warning: {warning}")
    return found.parts[part]


def _count_outside(session: Session, grammar: Grammar, samples: list[Sample]) -> int:
    """Count the labels that the grammar does not accept, and warn of them."""
    from exprocr.words import quantity

    outside = [sample for sample in samples if not grammar.accepts(sample.text)]
    if outside:
        session.report(
            f"warning: grammar {grammar} excludes {len(outside):,} of "
            f"{quantity(len(samples), 'label')}, which can only be read wrong; the first is "
            f"{outside[0].text!r} in {outside[0].where}"
        )
    return len(outside)


def _measure(session: Session, recognizer: Recognizer, samples: list[Sample]) -> Measurement:
    """Read all images and count what is right."""
    import time

    from exprocr.cli.eval.report import Measurement
    from exprocr.cli.output import progress
    from exprocr.core.text.expression import value_of
    from exprocr.errors import ImageError

    decoder = recognizer.decoder
    result = Measurement(decoder, _count_outside(session, decoder.grammar, samples))
    started = time.perf_counter()
    with progress(session, len(samples), description="reading") as bar:
        readings = recognizer.stream(sample.path for sample in samples)
        for sample, reading in zip(samples, readings, strict=True):
            bar.update()
            if isinstance(reading, ImageError):
                session.problem(str(reading))
                result.num_unreadable += 1
                continue
            truth = value_of(sample.text) if sample.value is None else sample.value
            result.add(sample, truth, reading)
    result.seconds = time.perf_counter() - started
    return result
