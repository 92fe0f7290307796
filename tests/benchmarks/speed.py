"""Rendering and decoding: images per second of processor time, which is what one core does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from itertools import count, islice, product
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from numpy.typing import NDArray

from exprocr.choices import LOOKS
from exprocr.core.config.schema import SynthConfig
from exprocr.core.decode.decoder import Decoder
from exprocr.core.image.preprocess import preprocess
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.charset import BLANK, Charset
from exprocr.core.text.grammar.grammars import load_grammar
from exprocr.synth.contest.look import MASTER_SIZES_PX
from exprocr.synth.contest.painter import prepare
from exprocr.synth.fonts import find_fonts
from exprocr.synth.renderer import Renderer
from exprocr.synth.texts import LEVEL1, ListedTexts
from tests.benchmarks.measuring import (
    SEED,
    Options,
    Row,
    draw_captchas,
    median_rate,
    per_second,
    version_of,
)
from tests.support.handwriting import drawn_digits, write_digits

CHUNK = 512
WORKSHEET = Charset("()*+-./0123456789<=>?×÷…")
"""All characters of the grammar ``equation``."""

IMPROBABLE = -25.0
"""Log-probability of characters that a network does not know."""

WARM_UP = 2_000
SUMS = ListedTexts([f"{a}+{b}={a + b}" for a in range(1, 100) for b in range(1, 100)])
"""Texts of 5 to 9 characters."""


def rendering_rows(options: Options) -> Iterator[Row]:
    """Draw pictures, without encoding them: our own looks, and those of the ``captcha`` package."""
    fonts = find_fonts([], LEVEL1.characters).usable
    for font, character, size_px in product(fonts, LEVEL1.characters, MASTER_SIZES_PX):
        prepare(font, character, size_px)
    rate = rendering_rate(Renderer(fonts), options)
    yield Row(f"exprocr, {len(fonts)} fonts, one core", per_second(rate))
    with TemporaryDirectory() as folder:
        digits = str(write_digits(Path(folder), *drawn_digits(100)))
        for look in LOOKS[1:]:
            config = SynthConfig(looks=(look,), digits=digits)
            renderer = Renderer(fonts, config, SUMS)
            for number in range(WARM_UP):  # glyphs are kept once they are drawn
                renderer.sample(SEED, 1, number)
            rate = rendering_rate(renderer, options)
            yield Row(f"look {look}, texts of about 8 characters, one core", per_second(rate))
    what = "captcha package, its own font, one core"
    if version_of("captcha") == "not installed":
        yield Row(what, "not installed")
        return
    rate = _core_rate(lambda: list(draw_captchas(CHUNK)), options)
    yield Row(what, per_second(rate))


def rendering_rate(renderer: Renderer, options: Options) -> float:
    """Return images per second of processor time, each image a new one."""
    numbers = count()

    def draw() -> None:
        for number in islice(numbers, CHUNK):
            renderer.sample(SEED, 0, number)

    return _core_rate(draw, options)


def decoding_rows(options: Options) -> Iterator[Row]:
    """Turn log-probabilities into readings with confidence and positions."""
    recognizer = Recognizer.load(options.model, threads=options.threads)
    inks = [preprocess(image, recognizer.preprocess) for _, image in draw_captchas(CHUNK)]
    log_probs = np.concatenate([part for _, part in recognizer.log_probs(inks)], axis=1)
    decoder = recognizer.decoder
    rate = _core_rate(lambda: decoder(log_probs), options)
    what = "confidences and positions, one core"
    yield Row(f"grammar {decoder.grammar}, {what}", per_second(rate))
    wider = Decoder(load_grammar("equation", WORKSHEET), temperature=decoder.temperature)
    padded = _padded(log_probs, recognizer.charset, WORKSHEET)
    slower = _core_rate(lambda: wider(padded), options)
    yield Row(
        f"the same under grammar equation, {WORKSHEET.num_classes} classes, {what}",
        f"{per_second(slower)}, {rate / slower:.2f} times as long",
    )


def _padded(
    log_probs: NDArray[np.float32], charset: Charset, wider: Charset
) -> NDArray[np.float32]:
    """Return log-probabilities (T, N, C) with classes more, which are as good as impossible."""
    result = np.full((*log_probs.shape[:2], wider.num_classes), IMPROBABLE, np.float32)
    result[:, :, [BLANK, *wider.encode(charset.characters)]] = log_probs
    return result


def _core_rate(work: Callable[[], object], options: Options) -> float:
    clock = time.process_time
    return median_rate(CHUNK, work, repetitions=options.repetitions, clock=clock)
