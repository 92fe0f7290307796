"""The bundled model's confidence: high for expressions, low for other pictures."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.grammar.grammars import load_grammar
from exprocr.synth.fonts import FontFile
from exprocr.synth.renderer import Renderer

SIZE = (60, 180)
NUM_PICTURES = 30
Pictures = Callable[[np.random.Generator], NDArray[np.uint8] | Image.Image]


@lru_cache
def bundled() -> Recognizer:
    return Recognizer.load(grammar="level1", device="cpu", threads=1)


def blank(rng: np.random.Generator) -> Image.Image:
    return Image.new("L", (180, 60), int(rng.integers(256)))


def gradient(rng: np.random.Generator) -> NDArray[np.uint8]:
    low, high = rng.integers(0, 256, 2)
    return np.linspace(low, high, 180).astype(np.uint8)[None].repeat(60, axis=0)


def uniform(rng: np.random.Generator) -> NDArray[np.uint8]:
    return rng.integers(0, 256, SIZE, dtype=np.uint8)


def gaussian(rng: np.random.Generator) -> NDArray[np.uint8]:
    noise = rng.normal(128, rng.uniform(1, 60), SIZE)
    return np.clip(noise, 0, 255).astype(np.uint8)


def salt_and_pepper(rng: np.random.Generator) -> NDArray[np.uint8]:
    picture, where, share = np.full(SIZE, 200, np.uint8), rng.random(SIZE), rng.uniform(0.005, 0.3)
    picture[where < share] = 0
    picture[where > 1 - share] = 255
    return picture


@lru_cache
def renderer() -> Renderer:
    return Renderer([FontFile("Built-in", "Regular", "")])


def rendered(template: str) -> Pictures:
    """Return a function that draws a template, with digits for ``n`` and operators for ``?``."""

    def draw(rng: np.random.Generator) -> Image.Image:
        choices = {"n": "0123456789", "?": "+-*"}
        text = "".join(str(rng.choice(list(choices.get(c, c)))) for c in template)
        return renderer().render(text, rng)

    return draw


# Pictures that show no expression of level1.
FOREIGN: dict[str, Pictures] = {
    "blank": blank,
    "gradient": gradient,
    "uniform noise": uniform,
    "gaussian noise": gaussian,
    "salt and pepper": salt_and_pepper,
    "12+34": rendered("nn?nn"),
    "12+3*45": rendered("nn?n?nn"),
    "digits": rendered("nnnnn"),
    "one digit": rendered("n"),
    "a+b": rendered("n?n"),
    "a+b+c+d": rendered("n?n?n?n"),
    "nested": rendered("((n?n)?n)?n"),
    "(a+b)": rendered("(n?n)"),
    "unfinished": rendered("n?n?"),
}


@pytest.mark.parametrize("kind", FOREIGN)
def test_the_confidence_is_low_for_other_pictures(kind: str) -> None:
    pictures = [FOREIGN[kind](np.random.default_rng((7, i))) for i in range(NUM_PICTURES)]
    predictions = bundled().predict(pictures)
    confidences = [prediction.confidence for prediction in predictions]
    assert np.median(confidences) < 0.5
    # The readings are expressions all the same, but for pictures without ink.
    grammar = load_grammar("level1", bundled().charset)
    texts = {p.text for p in predictions if not grammar.accepts(p.text)}
    assert texts <= ({""} if kind in ("blank", "gradient") else set())


def test_the_confidence_is_high_for_expressions() -> None:
    pictures = [renderer().sample(7, 0, i) for i in range(NUM_PICTURES)]
    predictions = bundled().predict([picture for _, picture in pictures])
    right = [p.text == text for p, (text, _) in zip(predictions, pictures, strict=True)]
    assert np.mean(right) > 0.8
    assert np.median([prediction.confidence for prediction in predictions]) > 0.9


def test_the_samples_are_read_with_confidence() -> None:
    samples = Path(__file__).parents[3] / "docs" / "samples"
    lines = [line.split() for line in (samples / "labels.txt").read_text().splitlines()]
    predictions = bundled().predict([samples / f"{i}.png" for i in range(len(lines))])
    assert [(p.text, str(p.value)) for p in predictions] == [tuple(line) for line in lines]
    for prediction in predictions:
        assert prediction.confidence > 0.5
        product = prediction.posterior * prediction.grammar_mass
        assert prediction.confidence == pytest.approx(product, rel=1e-6)
