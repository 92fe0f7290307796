"""Why an image was read as it was: its frames and characters, and the pixels that mattered."""

from __future__ import annotations

from exprocr.cli.visualize.alignment import frames_of
from exprocr.cli.visualize.layers import DEFAULT_LAYER
from exprocr.cli.visualize.saliency import draw_explanation, explain
from exprocr.cli.visualize.subject import Subject
from exprocr.report.page import Figure, Section, figure
from exprocr.report.run.context import Run
from exprocr.report.run.subjects import Subjects
from exprocr.viz.alignment.page import draw_alignment


def explanation_section(run: Run, subjects: Subjects) -> Section:
    """Show how an easy image and a hard one were read."""
    blocks = [
        *run.attempt("how images were read", lambda: _alignments(subjects)),
        *run.attempt("the pixels that mattered", lambda: [_saliency(subjects)]),
    ]
    return Section(
        "explanation",
        "Why it reads what it reads",
        blocks,
        "The network looks at narrow columns of the image from left to right, and says of each "
        "which character it finds there, or none: the blank. What it says of all of them together "
        "is the reading.",
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
        draw_explanation(found, DEFAULT_LAYER),
        f"Maps of the pixels that an image read as {subject.reading} rests on.",
        "Maps over the image: where there is color, the pixels spoke for the reading, or against "
        "it. Grad-CAM tells the regions, by what a late layer made of them; integrated gradients "
        "tell the single pixels. A reading that rests on dots or on the edge of the image is not "
        "to be trusted.",
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
        "more probable. A reading that is sure has one light cell a character; where two are "
        "light in a column, the network doubted between them.",
        title,
    )
