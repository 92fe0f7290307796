"""How a run's network is built, and what each of its layers makes of an image."""

from __future__ import annotations

from exprocr.cli.visualize.subject import Subject
from exprocr.core.model.geometry import CONV_LAYERS, LAYERS
from exprocr.report.page import Block, Figure, Section, Table, figure
from exprocr.report.run.context import Run
from exprocr.report.run.subjects import Subjects
from exprocr.viz.canvas.geometry import geometry_of
from exprocr.viz.features.channels import feature_stats
from exprocr.viz.features.page import draw_grid
from exprocr.words import format_shape, format_share

MEANINGS = {
    "conv1": "the first convolutions: edges and strokes",
    "conv2": "the second convolutions: larger pieces of strokes",
    "conv3": "the third convolutions: parts of characters, in columns that become frames",
    "fc1": "the first fully connected layer: a frame sums up a column of conv3",
    "gru1": "the first recurrent layer: each frame in the light of those left and right of it",
    "gru2": "the second recurrent layer",
    "fc2": "the last layer: logits of the characters and the blank in each frame",
}


def architecture_section(run: Run, subjects: Subjects) -> Section:
    """Show the stages, and what they cost."""
    return Section(
        "architecture",
        "How it is built",
        run.attempt("the architecture", lambda: _architecture(subjects.typical)),
        "The stages of the network in the order they run, from the image to the reading.",
    )


def _architecture(subject: Subject) -> list[Block]:
    from exprocr.viz.architecture.page import draw_architecture
    from exprocr.viz.architecture.profile import measure

    profile = measure(subject.engine.network, subject.ink, subject.engine.device)
    columns = ("stage", "made of", "output", "sees, px", "parameters", "multiply-adds", "time")
    rows = [
        (
            stage.name,
            stage.made_of,
            format_shape(stage.shape),
            format_shape(stage.sees),
            f"{stage.num_parameters:,}",
            f"{stage.multiply_adds:,}",
            format_share(share),
        )
        for stage, share in zip(
            profile.stages, profile.shares(lambda stage: stage.seconds), strict=True
        )
    ]
    return [
        figure(
            draw_architecture(profile, subject.picture, subject.ink, subject.reading),
            f"The stages of the network: {', '.join(stage.name for stage in profile.stages)}, with "
            "their outputs for one image, parameters, multiply-adds and times.",
            "From top to bottom, what each stage makes of the image above. Bars compare the "
            "stages' parameters, their work and their time.",
        ),
        Table(
            columns,
            rows,
            "Output: channels x rows x columns, or frames x units. Sees: rows x columns of the "
            f"input that one value of the output depends on. Time: share of an image's, "
            f"{profile.place}.",
            "The stages in figures",
            right=columns[2:],
        ),
    ]


def features_section(run: Run, subjects: Subjects) -> Section:
    """Show what every channel of every layer makes of an image."""
    return Section(
        "features",
        "What each layer sees",
        run.attempt("the feature maps", lambda: _features(subjects.typical)),
        f"Every channel of every layer for one image, {subjects.typical.name}. Light is much, dark "
        "is little. A channel that is the same all over is crossed out, a unit dashed: it has "
        "nothing to say here.",
    )


def _features(subject: Subject) -> list[Figure]:
    from exprocr.core.model.capture import capture

    recognizer, engine = subject.recognizer, subject.engine
    maps = capture(engine.network, subject.ink, LAYERS, engine.device)
    figures = []
    for layer in LAYERS:
        grid = draw_grid(
            layer,
            maps[layer],
            subject.picture,
            subject.reading,
            geometry=geometry_of(
                layer, subject.picture.size, engine.network.config, recognizer.preprocess
            ),
            ink=subject.ink,
            row_labels=["blank", *recognizer.charset.characters] if layer == "fc2" else None,
        )
        dead = len(feature_stats(layer, maps[layer]).dead)
        is_map = layer in CONV_LAYERS
        noun = "map" if is_map else "unit"
        how = (
            f"One tile a {noun}, laid out as the image is."
            if is_map
            else f"One line a {noun}; each frame stands under the columns of the image it belongs "
            "to."
        )
        figures.append(
            figure(
                grid,
                f"{len(maps[layer])} {noun}s of {layer} for an image read as {subject.reading}; "
                f"{dead} of them dead.",
                how,
                f"{layer}, {MEANINGS[layer]}",
            )
        )
    return figures
