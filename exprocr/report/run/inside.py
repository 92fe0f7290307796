"""A look inside a run's network, with two of its images: one that is easy, one that is hard."""

from __future__ import annotations

from dataclasses import dataclass, replace

from exprocr.core.decode.decoder import Decoder
from exprocr.core.evaluation.measure import Example
from exprocr.core.model.capture import capture
from exprocr.core.model.geometry import CONV_LAYERS, LAYERS
from exprocr.core.reading.recognizer import Recognizer
from exprocr.report.page import Block, Figure, Section, Table, figure
from exprocr.report.run.context import Run
from exprocr.report.run.evaluation import Validation
from exprocr.viz.alignment.frames import frames_of
from exprocr.viz.alignment.page import draw_alignment
from exprocr.viz.architecture.page import draw_architecture
from exprocr.viz.architecture.profile import measure
from exprocr.viz.architecture.stages import STAGE_COLUMNS
from exprocr.viz.canvas.geometry import geometry_of
from exprocr.viz.features.channels import feature_stats
from exprocr.viz.features.page import draw_grid
from exprocr.viz.saliency.explanation import draw_explanation, explain
from exprocr.viz.subject import Subject, read_subject, render_subject

NUM_TEXTS = 5
"""Most probable texts of an image that are shown."""

MEANINGS = {
    "conv1": "the first convolutions: edges and strokes",
    "conv2": "the second convolutions: larger pieces of strokes",
    "conv3": "the third convolutions: parts of characters, in columns that become frames",
    "fc1": "the first fully connected layer: a frame sums up a column of conv3",
    "gru1": "the first recurrent layer: each frame in the light of those left and right of it",
    "gru2": "the second recurrent layer",
    "fc2": "the last layer: logits of the characters and the blank in each frame",
}


@dataclass(frozen=True)
class Subjects:
    """The images that are looked into, with their most probable texts; perhaps the same one."""

    typical: Subject
    """One that is read right, if any is."""

    hardest: Subject
    """The one that is read wrong with the most confidence, or right with the least."""

    truths: tuple[str, str] | None = None
    """What they say; None where nobody knows."""


def pick_subjects(run: Run, found: Validation | None) -> Subjects:
    """Pick two of the validation images; where they are gone, render one.

    Raises:
        FontError: They are gone, and no font is usable to render one.
        ImageError: One cannot be read any more.
    """
    if found is None:
        sample = render_subject(_reader_of_several(run.recognizer))
        return Subjects(sample, sample)
    wrong, doubted = list(found.wrong), list(found.doubted)
    typical, hardest = (found.typical or wrong)[0], (wrong or doubted)[0]
    return Subjects(
        _subject_of(run, typical),
        _subject_of(run, hardest),
        (typical.picture.text, hardest.picture.text),
    )


def _subject_of(run: Run, example: Example) -> Subject:
    picture = example.picture
    subject = read_subject(_reader_of_several(run.recognizer), picture.source, picture.name)
    if subject.prediction.text != example.prediction.text:
        # The search for several texts was cut off at another place.
        subject = replace(subject, prediction=example.prediction)
    return subject


def _reader_of_several(recognizer: Recognizer) -> Recognizer:
    """Return a recognizer that finds the most probable texts beside the first."""
    decoder = recognizer.decoder
    several = Decoder(
        decoder.grammar,
        method=decoder.method,
        beam_width=decoder.beam_width,
        num_best=NUM_TEXTS,
        temperature=decoder.temperature,
    )
    return Recognizer(recognizer.engine, recognizer.preprocess, several, recognizer.frame_axis)


def explanation_section(run: Run, subjects: Subjects) -> Section:
    """Return the section on how an easy image and a hard one were read."""
    blocks = [
        *run.attempt("how images were read", lambda: _alignments(subjects)),
        *run.attempt("the pixels that mattered", lambda: [_saliency(subjects)]),
    ]
    return Section(
        "explanation",
        "Why it reads what it reads",
        blocks,
        "The network looks at narrow columns of the image, the frames, from left to right. For "
        "each it gives the probability of every character, and of none: the blank. The reading "
        "is the most probable text for all frames together.",
    )


def _alignments(subjects: Subjects) -> list[Figure]:
    typical, hardest = subjects.typical, subjects.hardest
    if subjects.truths is None:
        return [_alignment(typical, "A rendered image")]
    pairs = zip((typical, hardest), subjects.truths, strict=True)
    # By name, as they are the same one where there is only one, or none that is read right.
    titles = {subject.name: (subject, _title(subject, truth)) for subject, truth in pairs}
    return [_alignment(subject, title) for subject, title in titles.values()]


def _saliency(subjects: Subjects) -> Figure:
    subject = subjects.hardest
    found = explain(subject)
    return figure(
        draw_explanation(found),
        f"Maps of the pixels that an image read as {subject.reading} rests on.",
        "Maps over the image: where there is color, the pixels speak for the reading, or against "
        "it. Grad-CAM shows the regions, by what a late layer makes of them; integrated gradients "
        "show the single pixels. Do not trust a reading that rests on dots or on the edge of the "
        "image.",
        f"What {subject.prediction.text or 'nothing'} rests on",
    )


def _title(subject: Subject, truth: str) -> str:
    read = subject.prediction.text
    return f"{truth} read right" if read == truth else f"{truth} read as {read or 'nothing'}"


def _alignment(subject: Subject, title: str) -> Figure:
    prediction = subject.prediction
    return figure(
        draw_alignment(subject.picture, prediction, subject.reading, frames_of(subject)),
        f"The frames of an image read as {subject.reading}: the probability of each class in each "
        "frame, and the characters with their confidences.",
        "Below the image, a column for each frame and a line for each character: the lighter, the "
        "more probable. A sure reading has one light cell for each character; where two are "
        "light in one column, the network was not sure which of them is there.",
        title,
    )


def architecture_section(run: Run, subjects: Subjects) -> Section:
    """Return the section with the stages, and what they cost."""
    return Section(
        "architecture",
        "How it is built",
        run.attempt("the architecture", lambda: _architecture(subjects.typical)),
        "The stages of the network in the order they run, from the image to the reading.",
    )


def _architecture(subject: Subject) -> list[Block]:
    profile = measure(subject.engine.network, subject.ink, subject.engine.device)
    return [
        figure(
            draw_architecture(profile, subject.picture, subject.ink, subject.reading),
            f"The stages of the network: {', '.join(stage.name for stage in profile.stages)}, with "
            "their outputs for one image, parameters, multiply-adds and times.",
            "From top to bottom, what each stage makes of the image above. Bars compare the "
            "stages' parameters, their work and their time.",
        ),
        Table(
            STAGE_COLUMNS,
            profile.rows(),
            "Output: channels x rows x columns, or frames x units. Sees: rows x columns of the "
            f"input that one value of the output depends on. Time: share of an image's, "
            f"{profile.place}.",
            "The stages in figures",
            right=STAGE_COLUMNS[2:],
        ),
    ]


def features_section(run: Run, subjects: Subjects) -> Section:
    """Return the section with every channel of every layer for one image."""
    return Section(
        "features",
        "What each layer sees",
        run.attempt("the feature maps", lambda: _features(subjects.typical)),
        f"Every channel of every layer for one image, {subjects.typical.name}. Light is much, dark "
        "is little. A channel whose values are all equal is crossed out, such a unit is dashed: it "
        "tells nothing about this image.",
    )


def _features(subject: Subject) -> list[Figure]:
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
            f"One tile for each {noun}, laid out as the image is."
            if is_map
            else f"One line for each {noun}; each frame is under the columns of the image that it "
            "belongs to."
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
