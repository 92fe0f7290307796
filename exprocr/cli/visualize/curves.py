"""How one or more runs learned."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from exprocr.cli.output import cell, new_table, print_table, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.core.runs.summary import RunSummary, read_run, summarize
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.plots.curves import MAX_RUNS, draw_curves
from exprocr.words import format_duration

NONE = "-"
"""Stands in a table for what is not recorded."""


def show(request: Request) -> None:
    """Draw the curves of the runs over one another."""
    runs = name_runs(request.runs)
    if len(runs) > MAX_RUNS:
        raise click.UsageError(f"--kind curves draws at most {MAX_RUNS} runs, found {len(runs)}.")
    records = {name: read_run(run) for name, run in runs.items()}
    summaries = {name: summarize(of_run) for name, of_run in records.items()}
    for name, summary in summaries.items():
        if request.over == "time" and summary.elapsed_s is None:
            request.session.note(f"{runs[name]}: no time is recorded yet, so it is not drawn")
        elif summary.best is None:
            request.session.note(f"{runs[name]}: not evaluated yet; drawn as far as it is")
    path = request.path()
    save_picture(draw_curves(records, request.over), path)
    _print(summaries)
    print_table(summary_table([("picture", path)]))


def name_runs(run_dirs: Sequence[Path]) -> dict[str, Path]:
    """Return the runs, each once, by the shortest ends of their paths that tell them apart."""
    different: dict[Path, Path] = {}
    for run in run_dirs:
        different.setdefault(run.resolve(), run)
    paths = {run: Path(os.path.abspath(run)) for run in different.values()}
    names = {}
    for run, path in paths.items():
        ends = (path.parts[-num:] for num in range(1, len(path.parts) + 1))
        others = [other.parts for other in paths.values() if other != path]
        end = next(e for e in ends if all(other[-len(e) :] != e for other in others))
        names[str(Path(*end))] = run
    return names


def _print(runs: dict[str, RunSummary]) -> None:
    right: Any = (
        "steps", "epochs", "images", "time", "best\nepoch", "exact\nmatch", "edit\ndistance",
        "last\nloss", "images\n/s",
    )  # fmt: skip
    table = new_table("run", *right, right=right)
    for name, run in runs.items():
        best = run.best or {}
        table.add_row(
            cell(name),
            cell(f"{run.num_steps:,}"),
            cell(f"{run.num_epochs:,}"),
            _figure(run.num_images, ","),
            cell(NONE if run.elapsed_s is None else format_duration(run.elapsed_s)),
            _figure(best.get("epoch"), ","),
            _figure(best.get("val_exact_match"), ".2%"),
            _figure(best.get("val_normalized_edit_distance"), ".4f"),
            _figure(run.last_loss, ".4f"),
            _figure(run.images_per_s, ",.0f"),
        )
    print_table(table, fold_first=True)


def _figure(value: float | None, form: str) -> Any:
    return cell(NONE if value is None else format(value, form))
