"""The network's stages: what they put out, what they are made of, and what they cost."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from exprocr.cli.output import cell, new_table, print_table, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.viz.canvas.picture import save_picture

if TYPE_CHECKING:
    from exprocr.cli.visualize.subject import Subject
    from exprocr.viz.architecture.stages import Profile


def show(request: Request) -> None:
    """Run the network on a rendered sample, and draw what its stages do."""
    from exprocr.viz.architecture.page import draw_architecture
    from exprocr.viz.architecture.profile import measure

    subject = _load(request)
    request.session.note(f"{subject.name}: {subject.reading}")
    profile = measure(subject.engine.network, subject.ink, subject.engine.device)
    path = request.path()
    picture = draw_architecture(profile, subject.picture, subject.ink, subject.reading)
    save_picture(picture, path)
    _print(profile, path)


def _load(request: Request) -> Subject:
    """Load the model, and read a rendered sample with it, neither faint nor degraded.

    Raises:
        ModelFileError: The file is no usable model.
    """
    from exprocr.cli.visualize.subject import Subject, load_recognizer
    from exprocr.core.config.schema import SynthConfig
    from exprocr.core.image.preprocess import preprocess
    from exprocr.synth.fonts import find_fonts
    from exprocr.synth.renderer import CHARACTERS, SAMPLE_STREAM, Renderer

    recognizer = load_recognizer(request)
    looks = SynthConfig(faint_share=0, degraded_share=0)
    renderer = Renderer(find_fonts([], CHARACTERS).usable, looks)
    picture = renderer.sample(request.seed, SAMPLE_STREAM, 0)[1]
    ink = preprocess(picture, recognizer.preprocess)
    (prediction,) = recognizer.read([ink], [picture.size])
    return Subject(recognizer, "a rendered sample", picture, ink, prediction)


def _print(profile: Profile, path: Path) -> None:
    from exprocr.words import format_seconds, format_shape, format_share

    columns = ("stage", "made of", "output", "sees", "parameters", "multiply-adds", "time")
    table = new_table(*columns, right=columns[2:])
    table.add_row(cell("input"), cell(""), cell(format_shape(profile.input_shape)))
    times = profile.shares(lambda stage: stage.seconds)
    for stage, share in zip(profile.stages, times, strict=True):
        table.add_row(
            cell(stage.name),
            cell(stage.made_of),
            cell(format_shape(stage.shape)),
            cell(format_shape(stage.sees)),
            cell(f"{stage.num_parameters:,}"),
            cell(f"{stage.multiply_adds:,}"),
            cell(format_share(share)),
        )
    table.add_section()
    table.add_row(
        cell("all"),
        cell(""),
        cell(""),
        cell(""),
        cell(f"{profile.num_parameters:,}"),
        cell(f"{profile.multiply_adds:,}"),
        cell(format_seconds(profile.seconds)),
    )
    print_table(table)
    print_table(summary_table([("time", profile.timing), ("picture", path)]))
