"""The images that a page looks into the network with: one that is easy, one that is hard."""

from __future__ import annotations

from dataclasses import dataclass, replace

from exprocr.cli.visualize.subject import Subject
from exprocr.core.decode.decoder import Decoder
from exprocr.core.image.preprocess import load_image, preprocess
from exprocr.core.reading.recognizer import Recognizer
from exprocr.report.run.context import Run
from exprocr.report.run.evaluation import Example, Validation
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import CHARACTERS, SAMPLE_STREAM, Renderer

NUM_TEXTS = 5
"""Readings of an image that are told."""


@dataclass(frozen=True)
class Subjects:
    """Images that are looked into, with the most probable texts; perhaps the same one."""

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
        sample = _rendered_subject(run)
        return Subjects(sample, sample)
    wrong, doubted = list(found.wrong), list(found.doubted)
    typical, hardest = (found.typical or wrong)[0], (wrong or doubted)[0]
    return Subjects(
        _subject_of(run, typical),
        _subject_of(run, hardest),
        (typical.picture.text, hardest.picture.text),
    )


def _subject_of(run: Run, example: Example) -> Subject:
    picture = load_image(example.picture.source)
    ink = preprocess(picture, run.recognizer.preprocess)
    reader = _reader_of_several(run.recognizer)
    (prediction,) = reader.read([ink], [picture.size])
    if prediction.text != example.prediction.text:  # a search that was cut off, cut off elsewhere
        prediction = example.prediction
    prediction = replace(prediction, path=example.picture.name)
    return Subject(reader, example.picture.name, picture, ink, prediction)


def _rendered_subject(run: Run) -> Subject:
    renderer = Renderer(find_fonts([], CHARACTERS).usable)
    picture = renderer.sample(0, SAMPLE_STREAM, 0)[1]
    ink = preprocess(picture, run.recognizer.preprocess)
    reader = _reader_of_several(run.recognizer)
    (prediction,) = reader.read([ink], [picture.size])
    return Subject(reader, "a rendered sample", picture, ink, prediction)


def _reader_of_several(recognizer: Recognizer) -> Recognizer:
    """Return a recognizer that tells the most probable texts beside the first."""
    decoder = recognizer.decoder
    several = Decoder(
        decoder.grammar,
        method=decoder.method,
        beam_width=decoder.beam_width,
        num_best=NUM_TEXTS,
        temperature=decoder.temperature,
    )
    return Recognizer(recognizer.engine, recognizer.preprocess, several, recognizer.frame_axis)
