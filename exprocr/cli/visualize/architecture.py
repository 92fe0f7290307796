"""The network's stages: what they put out, what they are made of, and what they cost."""

from __future__ import annotations

from pathlib import Path

from exprocr.cli.output import cell, new_table, print_table, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.cli.visualize.subject import load_recognizer, subject_of
from exprocr.core.config.schema import SynthConfig
from exprocr.viz.architecture.page import draw_architecture
from exprocr.viz.architecture.profile import measure
from exprocr.viz.architecture.stages import STAGE_COLUMNS, Profile
from exprocr.viz.canvas.picture import save_picture
from exprocr.words import format_seconds, format_shape

CLEAR = SynthConfig(faint_share=0, degraded_share=0)
"""A rendered sample is neither faint nor degraded, so that the stages' outputs show something."""


def show(request: Request) -> None:
    """Run the network on a picture, and draw what its stages do."""
    subject = subject_of(request, load_recognizer(request), CLEAR)
    profile = measure(subject.engine.network, subject.ink, subject.engine.device)
    path = request.path()
    picture = draw_architecture(profile, subject.picture, subject.ink, subject.reading)
    save_picture(picture, path)
    _print(profile, path)


def _print(profile: Profile, path: Path) -> None:
    table = new_table(*STAGE_COLUMNS, right=STAGE_COLUMNS[2:])
    table.add_row(cell("input"), cell(""), cell(format_shape(profile.input_shape)))
    for row in profile.rows():
        table.add_row(*map(cell, row))
    table.add_section()
    table.add_row(
        cell("all"),
        *[cell("")] * 3,
        cell(f"{profile.num_parameters:,}"),
        cell(f"{profile.multiply_adds:,}"),
        cell(format_seconds(profile.seconds)),
    )
    print_table(table)
    print_table(summary_table([("time", profile.timing), ("picture", path)]))
