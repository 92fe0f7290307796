"""Subjects: a picture, the network's input, and the reading are those of the recognizer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exprocr.core.config.schema import SynthConfig
from exprocr.core.image.preprocess import load
from exprocr.core.reading.recognizer import Recognizer
from exprocr.errors import ImageError
from exprocr.synth import fonts
from exprocr.synth.renderer import SAMPLE_STREAM, Renderer
from exprocr.viz.subject import read_subject, render_subject
from tests.support.tiny_runs import BUILT_IN


@pytest.fixture(scope="module")
def recognizer(tiny_model: Path) -> Recognizer:
    return Recognizer.load(tiny_model, engine="torch", device="cpu", threads=1)


def test_a_file_is_read_as_by_the_recognizer(recognizer: Recognizer, image: Path) -> None:
    subject = read_subject(recognizer, image, "mine")
    (reading,) = recognizer.predict([image])
    assert subject.name == "mine"
    assert subject.picture.size == (180, 60)
    np.testing.assert_array_equal(subject.ink, load(image, recognizer.preprocess).ink)
    found = subject.prediction
    assert (found.text, found.characters) == (reading.text, reading.characters)
    assert subject.reading.startswith(reading.text)
    assert subject.engine is recognizer.engine


def test_an_error_names_the_picture(recognizer: Recognizer, tmp_path: Path) -> None:
    wide = tmp_path / "wide.png"
    Image.new("L", (2000, 3)).save(wide)
    with pytest.raises(ImageError, match=f"^{wide}: expected"):
        read_subject(recognizer, wide, "a name")


@pytest.mark.parametrize("config", [None, SynthConfig(degraded_share=1.0)])
def test_rendered_samples_follow_from_seed_and_config(
    recognizer: Recognizer, config: SynthConfig | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fonts, "system_font_folders", list)  # the built-in font alone
    for seed in (0, 7):
        _, expected = Renderer([BUILT_IN], config).sample(seed, SAMPLE_STREAM, 0)
        subject = render_subject(recognizer, seed, config)
        assert subject.picture.tobytes() == expected.tobytes()
        assert subject.name == "a rendered sample"
