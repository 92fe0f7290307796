"""How a picture was read: frame by frame, character by character, and what else it could say."""

from __future__ import annotations

from pathlib import Path

from exprocr.cli.output import cell, new_table, print_table, summary_table
from exprocr.cli.visualize.kinds import Request
from exprocr.cli.visualize.subject import load_recognizer, subject_of
from exprocr.core.reading.prediction import Prediction
from exprocr.core.text.expression import format_value
from exprocr.viz.alignment.frames import Frames, frames_of
from exprocr.viz.alignment.page import draw_alignment, rest_of
from exprocr.viz.canvas.picture import save_picture
from exprocr.words import format_confidence, format_probability

NUM_TEXTS = 5


def show(request: Request) -> None:
    """Draw the alignment of one picture."""
    subject = subject_of(request, load_recognizer(request, n_best=NUM_TEXTS))
    frames = frames_of(subject)
    picture = draw_alignment(subject.picture, subject.prediction, subject.reading, frames)
    path = request.path()
    save_picture(picture, path)
    _print(subject.prediction, frames, path)


def _print(prediction: Prediction, frames: Frames, path: Path) -> None:
    """Print the characters, the most probable texts, and where the picture is."""
    columns: tuple[str, ...] = ("x", "box", "frames", "probability", "next best", "of that")
    characters = new_table("character", *columns, right=(*columns[:4], columns[5]))
    for character in prediction.characters:
        first, last = character.frames
        characters.add_row(
            cell(character.text),
            cell(character.x),
            cell(", ".join(map(str, character.box))),
            cell(first if first == last else f"{first} to {last}"),
            cell(format_confidence(character.probability)),
            cell(character.alternative or "(none)"),
            cell(format_probability(character.alternative_probability)),
        )
    print_table(characters)
    columns = ("text", "value", "probability")
    texts = new_table(*columns, right=columns[1:], title="\nMost probable texts")
    for other in prediction.alternatives:
        texts.add_row(
            cell(other.text or "(nothing)"),
            cell(format_value(other.value, other.text)),
            cell(format_probability(other.probability)),
        )
    print_table(texts)
    summary = [(name, format_probability(share)) for name, share in rest_of(prediction)]
    summary += [
        ("frames", f"{frames.number:,}"),
        ("temperature", f"{frames.temperature:.4g}"),
        ("picture", str(path)),
    ]
    print_table(summary_table(summary, title="\nAlignment"))
