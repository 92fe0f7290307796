"""The page about a run: its sections in order, and its most important figures."""

from __future__ import annotations

import exprocr
from exprocr.core.model.network import num_parameters
from exprocr.core.runs.summary import read_run, summarize
from exprocr.errors import ExprocrError
from exprocr.report.page import Missing, Report, Section
from exprocr.report.run.context import Run
from exprocr.report.run.evaluation import (
    Validation,
    evaluation_section,
    read_validation,
    worst_section,
)
from exprocr.report.run.inside import (
    architecture_section,
    explanation_section,
    features_section,
    pick_subjects,
)
from exprocr.report.run.training import curves_section, settings_section, tensors_section
from exprocr.training.validation import validation_pictures
from exprocr.viz.subject import torch_engine
from exprocr.words import format_duration, quantity


def make_report(run: Run) -> tuple[Report, Validation | None]:
    """Collect what is known of a run.

    Returns:
        The page, and what was read in the validation images; None where they are gone.
    """
    (found,) = run.attempt(
        "the evaluation",
        lambda: [read_validation(run, validation_pictures(run.path, run.paths))],
    )
    validation = None if isinstance(found, Missing) else found
    sections = [curves_section(run)]
    if isinstance(found, Missing):
        sections.append(Section("evaluation", "How well it reads", [found]))
    else:
        sections += [evaluation_section(run, found), worst_section(run, found)]
    (subjects,) = run.attempt("a look inside", lambda: [pick_subjects(run, validation)])
    if isinstance(subjects, Missing):
        sections.append(Section("inside", "What happens inside", [subjects]))
    else:
        sections += [
            explanation_section(run, subjects),
            architecture_section(run, subjects),
            features_section(run, subjects),
        ]
    page = Report(
        f"Training run {run.name}",
        _subtitle(run),
        _headline(run, validation),
        [*sections, tensors_section(run), settings_section(run)],
        f"Written by exprocr {exprocr.__version__}. Everything is in this one file; nothing is "
        "loaded from elsewhere.",
    )
    return page, validation


def _subtitle(run: Run) -> str:
    grammar = str(run.recognizer.decoder.grammar)
    under = "" if grammar == "none" else f", under the grammar {grammar}"
    return (
        "A model that reads pictures of expressions in the characters "
        f"{run.recognizer.charset.characters}{under}: how it learned, how well it reads, what it "
        "reads wrong, and what happens inside it."
    )


def _headline(run: Run, found: Validation | None) -> list[tuple[str, str, str]]:
    """Return the most important figures, with a remark each."""
    figures = []
    if found:
        counts, reliability = found.measurement.counts, found.measurement.reliability
        figures += [
            (
                "Exact match",
                f"{counts.exact_match:.2%}",
                f"of {quantity(counts.num_images, 'validation image')}",
            ),
            ("Character errors", f"{counts.cer:.3%}", f"of {counts.num_chars:,} characters"),
            (
                "Calibration error",
                f"{reliability.ece():.5f}",
                "ECE; 0 is perfect",
            ),
        ]
    number = num_parameters(torch_engine(run.recognizer).network)
    figures.append(("Parameters", f"{number:,}", "trained values"))
    try:
        summary = summarize(read_run(run.path))
    except ExprocrError:  # reported where the curves would be
        return figures
    time = f", {format_duration(summary.elapsed_s)}" if summary.elapsed_s else ""
    remark = f"{quantity(summary.num_epochs, 'epoch')}{time}"
    return [*figures, ("Steps", f"{summary.num_steps:,}", remark)]
