"""How a run was set up and how it learned: settings, curves, and its tensors over the steps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from exprocr.core.config.settings import load_settings, read_toml
from exprocr.core.runs.journal import EVALUATION
from exprocr.core.runs.layout import CONFIG_NAME, TENSORS_NAME
from exprocr.core.runs.summary import Records, RunSummary, of_kind, read_run, summarize
from exprocr.core.runs.tensor_record import read_tensor_record
from exprocr.errors import ConfigError
from exprocr.report.page import Block, Facts, Missing, Row, Section, figure
from exprocr.report.run.context import Run
from exprocr.viz.plots.curves import draw_curves
from exprocr.viz.plots.distributions import draw_distributions
from exprocr.viz.plots.history import draw_history
from exprocr.words import format_duration

SETTINGS = {
    "model": "Network",
    "preprocess": "Input",
    "training": "Training",
    "augment": "Augmentation",
    "synth": "Rendered images",
}
"""Sections of a configuration, and what a reader would call them."""


def curves_section(run: Run) -> Section:
    """Return the section on how loss and exact match changed over the steps."""
    return Section(
        "curves",
        "How it learned",
        run.attempt("the learning curves", lambda: _curves(run)),
        "The figures of its training images, and of its validation images, which it was not "
        "trained on.",
    )


def _curves(run: Run) -> list[Block]:
    records = read_run(run.path)
    picture = figure(
        draw_curves({run.name: records}),
        f"Curves of run {run.name} over its steps: CTC loss, exact match and edit distance of "
        "training and validation images, learning rate and speed.",
        "The CTC loss should fall and flatten; the exact match, the share of images read without "
        "any error, should rise towards 1, and the edit distance fall towards 0. Where only the "
        "training images keep improving, the network overfits: it learns them by heart.",
    )
    return [Facts(_summary(summarize(records))), *_rest(run, records), picture]


def _rest(run: Run, records: Records) -> list[Missing]:
    """Return what is missing of a run that has not done all its epochs or steps."""
    evaluations = of_kind(records, EVALUATION)
    try:
        training = load_settings("default", run.path / CONFIG_NAME).training
    except ConfigError:  # reported where the settings would be
        return []
    unit, planned = ("step", training.steps) if training.steps else ("epoch", training.epochs)
    done = max((record.get(unit, 0) for record in evaluations), default=0)
    if done >= planned:
        return []
    reason = f"{done:,} of {planned:,} {unit}s are done: it was stopped, or is still in training"
    return [run.missing("the rest of the training", reason)]


def _summary(summary: RunSummary) -> list[tuple[str, str]]:
    """Return how far a run has come, and where it was best."""
    rows = [("steps", f"{summary.num_steps:,}"), ("epochs", f"{summary.num_epochs:,}")]
    if summary.num_images is not None:
        rows.append(("images seen", f"{summary.num_images:,}"))
    if summary.elapsed_s is not None:
        rows.append(("time trained", format_duration(summary.elapsed_s)))
    if summary.images_per_s is not None:
        rows.append(("speed", f"{summary.images_per_s:,.0f} images/s"))
    if summary.last_loss is not None:
        rows.append(("training loss at the end", f"{summary.last_loss:.4f} nats per image"))
    if (best := summary.best) is not None:
        rows.append(
            (
                "best evaluation",
                f"after step {best['step']:,}: {best['val_exact_match']:.2%} of the validation "
                "images read right, without a grammar",
            )
        )
    return rows


def tensors_section(run: Run) -> Section:
    """Return the section on how each tensor changed over the steps."""
    return Section(
        "tensors",
        "How its weights moved",
        run.attempt("how the weights moved", lambda: _tensors(run)),
        "A panel for each parameter tensor of the network: the spread of its values at every "
        "evaluation, first as bands, then as histograms one behind the other.",
    )


def _tensors(run: Run) -> list[Block]:
    record = read_tensor_record(run.path / TENSORS_NAME)
    number = f"{len(record.names)} parameter tensors over {len(record.steps)} evaluations"
    return [
        figure(
            draw_distributions(record, record.names, f"Distributions of {run.name}"),
            f"Bands of percentiles of {number}.",
            "The dark band holds the middle values, the outermost band all of them. Bands that "
            "widen steadily are weights that grow; bands that stay as they began are weights "
            "that learned nothing.",
        ),
        figure(
            draw_history(record, record.names, f"History of {run.name}"),
            f"Histograms of {number}, the oldest at the back.",
            "Each line is a histogram, the first evaluation at the back, the last in front. "
            "Weights begin as a single hill; training widens the hill, or splits it.",
        ),
    ]


def settings_section(run: Run) -> Section:
    """Return the section with all values in force."""
    return Section(
        "configuration",
        "How it was set up",
        run.attempt("the settings", lambda: _settings(run)),
        f"All values in force, as they stand in the run's {CONFIG_NAME}.",
    )


def _settings(run: Run) -> list[Facts | Row]:
    path = run.path / CONFIG_NAME
    load_settings("default", path)  # checks them
    values, text = read_toml(path), path.read_text(encoding="utf-8")
    tables = [
        Facts(list(_flat(section)), SETTINGS.get(name, name))
        for name, section in values.items()
        if isinstance(section, dict) and section
    ]
    model = run.recognizer
    facts = [
        ("run", str(run.path.resolve())),
        ("characters", model.charset.characters),
        ("grammar", str(model.decoder.grammar)),
        ("temperature", f"{model.decoder.temperature:.4g}"),
        *_started_with(text),
    ]
    return [Facts(facts, "The run and its model"), Row(tables)]


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the names and values of a section and of those inside it."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield prefix + name, _shown(value)


def _shown(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(_shown, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _started_with(text: str) -> Iterator[tuple[str, str]]:
    """Yield what stands in the comments at the top: versions, data, device."""
    for line in text.splitlines():
        if not line.startswith("# "):
            return
        name, equals, value = line[2:].partition(" = ")
        if not equals:
            yield "made with", line[2:]
        elif value not in ("{}", "None"):
            yield name.replace("_", " "), value.strip("'")
