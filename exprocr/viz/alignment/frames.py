"""What a network makes of each frame of a picture."""

from __future__ import annotations

import numpy as np

from exprocr.core.decode.decoder import temper
from exprocr.core.decode.forward import check_log_probs
from exprocr.viz.alignment.posteriors import Frames
from exprocr.viz.canvas.geometry import geometry_of
from exprocr.viz.subject import Subject


def frames_of(subject: Subject) -> Frames:
    """Return each frame's probabilities, at the temperature of the characters' probabilities."""
    recognizer = subject.recognizer
    ((_, log_probs),) = recognizer.log_probs([subject.ink])
    temperature = recognizer.decoder.temperature
    tempered = temper(check_log_probs(log_probs), temperature)
    geometry = geometry_of(
        "conv3", subject.picture.size, subject.engine.network.config, recognizer.preprocess
    )
    classes = ["blank", *recognizer.charset.characters]
    return Frames(np.exp(tempered[:, 0]), classes, geometry, temperature)
