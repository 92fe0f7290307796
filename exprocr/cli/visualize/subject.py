"""The model and the picture that a request names."""

from __future__ import annotations

from exprocr.cli.inputs import STDIN, read_stdin
from exprocr.cli.output import note_frames
from exprocr.cli.visualize.kinds import Request
from exprocr.core.config.schema import SynthConfig
from exprocr.core.reading.recognizer import Recognizer
from exprocr.viz.subject import Subject, read_subject, render_subject


def load_recognizer(request: Request, *, n_best: int = 1) -> Recognizer:
    """Load the model that was asked for, with PyTorch.

    Args:
        request: What is asked for.
        n_best: Length of `Prediction.alternatives`.

    Raises:
        ModelFileError: The file is no usable model.
        ConfigError: The device is not there.
    """
    model = str(request.runs[0]) if request.runs else request.model
    return Recognizer.load(
        model, engine="torch", device=request.device, threads=request.threads, n_best=n_best
    )


def subject_of(
    request: Request, recognizer: Recognizer, config: SynthConfig | None = None
) -> Subject:
    """Load the picture that was asked for, or render one; read it, and print what is read.

    Args:
        request: What is asked for.
        recognizer: What reads it.
        config: How a rendered one may look; None is the default.

    Raises:
        ImageError: The picture cannot be read.
        ModelFileError: The network gives NaN.
    """
    if request.image is None:
        subject = render_subject(recognizer, request.seed, config)
    else:
        source = read_stdin() if request.image == STDIN else request.image
        subject = read_subject(recognizer, source, request.image)
    note_frames(request.session, subject.prediction)
    request.session.note(f"{subject.name}: {subject.reading}")
    return subject
