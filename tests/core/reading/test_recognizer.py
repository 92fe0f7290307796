"""The recognizer: order, batches, and the content of predictions."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from exprocr import Prediction, Recognizer
from exprocr.choices import DECODERS
from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.decode.decoder import Alternative, Decoder
from exprocr.core.evaluation.measure import LabeledImages, evaluate
from exprocr.core.image.preprocess import preprocess
from exprocr.core.model.torch_engine import TorchEngine
from exprocr.core.reading import recognizer as module
from exprocr.core.text.grammar.grammars import load_grammar
from exprocr.errors import ModelFileError
from tests.support.pictures import expressions, with_a_mark
from tests.support.scripted import (
    CHARSET,
    FRAME_AXIS,
    ScriptedEngine,
    log_probs_of,
    scripted_recognizer,
)


@pytest.fixture(scope="module")
def lively(tiny_model: Path) -> Recognizer:
    """Return a tiny network that reads different texts in different pictures."""
    recognizer = Recognizer.load(tiny_model, engine="torch", device="cpu", threads=1)
    assert isinstance(recognizer.engine, TorchEngine)
    last = recognizer.engine.network.fc2
    with torch.no_grad():
        last.weight.mul_(8)
        inks = [preprocess(expressions()[0], recognizer.preprocess)]
        ((_, log_probs),) = recognizer.log_probs(inks)
        last.bias.sub_(torch.from_numpy(log_probs.mean(axis=(0, 1))))
    return recognizer


def check_same(one: Prediction, other: Prediction) -> None:
    assert (one.text, one.value, one.is_proven) == (other.text, other.value, other.is_proven)
    assert places(one) == places(other)
    for name in ("confidence", "posterior", "grammar_mass"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-3)


def places(prediction: Prediction) -> list[tuple[object, ...]]:
    return [(c.text, c.x, c.box, c.frames) for c in prediction.characters]


def test_readings_depend_neither_on_the_batch_nor_on_the_order(lively: Recognizer) -> None:
    images = expressions()
    together = lively.predict(images)
    assert len({prediction.text for prediction in together}) > 4
    for image, prediction in zip(images, together, strict=True):
        check_same(lively.predict([image])[0], prediction)
    for order in (range(8, -1, -1), np.random.default_rng(0).permutation(9).tolist()):
        shuffled = lively.predict([images[i] for i in order])
        for i, prediction in zip(order, shuffled, strict=True):
            check_same(prediction, together[i])


def test_small_batches_and_chunks_change_nothing(
    lively: Recognizer, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = lively.predict(expressions())
    monkeypatch.setattr(module, "BATCH_PIXELS", 2 * 60 * 180)
    monkeypatch.setattr(module, "CHUNK_SIZE", 5)
    for one, other in zip(lively.predict(expressions()), together, strict=True):
        check_same(one, other)


def test_batches_have_one_width_and_a_limited_number_of_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BATCH_PIXELS", 64 * 60 * 40)
    engine = ScriptedEngine([("1", 0.9)] * 200)
    recognizer = Recognizer(
        engine, PreprocessConfig(), Decoder(load_grammar("none", CHARSET)), FRAME_AXIS
    )
    inks = [np.ones((60, width), np.uint8) for width in (40, 60) * 80 + (2560, 2580) * 2]
    assert len(recognizer.read(inks)) == 164
    assert engine.shapes == [
        *((64, 60, 40), (16, 60, 40)),
        *((42, 60, 60), (38, 60, 60)),
        *((1, 60, 2560), (1, 60, 2560)),  # exactly the limit, and more
        *((1, 60, 2580), (1, 60, 2580)),
    ]
    assert recognizer.read([]) == []


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("(7+5)-4", Fraction(8)),
        ("3-9*2", Fraction(-15)),
        ("", None),
        ("3+", None),
        (")(", None),
        ("1-+1", None),
        ("007", Fraction(7)),
    ],
)
def test_predictions(text: str, value: Fraction | None) -> None:
    (prediction,) = scripted_recognizer((text, 0.9)).predict([np.asarray(with_a_mark(180, 60))])
    assert prediction.text == text
    assert prediction.value == value
    assert prediction.value is None or type(prediction.value) is Fraction
    assert prediction.path == "<ndarray>"
    assert prediction.confidence == pytest.approx(torch_probability(text, 0.9), rel=1e-4)
    assert prediction.grammar_mass == pytest.approx(1.0)
    assert prediction.posterior == pytest.approx(prediction.confidence)
    assert prediction.alternatives == (
        Alternative(text=text, value=value, probability=prediction.confidence),
    )
    assert [character.text for character in prediction.characters] == list(text)
    frames = [(2 * i + 1, 2 * i + 1) for i in range(len(text))]
    assert [character.frames for character in prediction.characters] == frames
    assert [character.x for character in prediction.characters] == list(
        range(8, 12 * len(text), 12)
    )
    assert prediction.uncovered is None
    assert not any(name in repr(prediction) for name in ("frames", "characters", "alternatives"))


def torch_probability(text: str, certainty: float) -> float:
    log_probs = torch.from_numpy(log_probs_of(text, certainty))[:, None].double()
    return float(torch_probabilities(log_probs, [text])[0])


def torch_probabilities(log_probs: torch.Tensor, texts: list[str]) -> NDArray[np.float64]:
    """Return exp(-loss) for torch's CTC loss of each text; log_probs are (T, N, K)."""
    targets = [torch.tensor(CHARSET.encode(text), dtype=torch.long) for text in texts]
    losses = torch.nn.functional.ctc_loss(
        log_probs,
        torch.cat(targets),
        torch.full((len(texts),), len(log_probs)),
        torch.tensor([len(target) for target in targets]),
        reduction="none",
    )
    return np.asarray(np.exp(-losses.numpy()))


def decoding(recognizer: Recognizer, grammar: str = "none", **options: Any) -> Recognizer:
    """Return the recognizer with another decoder."""
    decoder = Decoder(load_grammar(grammar, recognizer.charset), **options)
    return Recognizer(recognizer.engine, recognizer.preprocess, decoder, recognizer.frame_axis)


@pytest.mark.parametrize("grammar", ["none", "expression", "level1"])
@pytest.mark.parametrize("decoder", DECODERS)
def test_confidence_is_torchs_probability_of_the_text(
    lively: Recognizer, decoder: str, grammar: str
) -> None:
    recognizer = decoding(lively, grammar, method=decoder)
    inks = [
        preprocess(image, recognizer.preprocess) for image in expressions() if image.width == 180
    ]
    readings = recognizer.read(inks)
    ((_, log_probs),) = recognizer.log_probs(inks)
    expected = torch_probabilities(
        torch.from_numpy(log_probs).double(), [reading.text for reading in readings]
    )
    found = [reading.confidence for reading in readings]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    assert all(0 < confidence <= 1 for confidence in found)
    products = [reading.posterior * reading.grammar_mass for reading in readings]
    assert found == pytest.approx(products, rel=1e-6)
    accepts = recognizer.decoder.grammar.accepts
    assert all(accepts(reading.text) for reading in readings)


def test_beam_search_is_used_and_finds_what_the_best_path_misses() -> None:
    class TwoFrames:
        def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
            # Blank 0.6, "7" 0.4, twice: the path of blanks has 0.36, but the text "7" 0.64.
            probs = np.full((2, len(pictures), CHARSET.num_classes), 1e-12, dtype=np.float32)
            probs[:, :, 0], probs[:, :, CHARSET.encode("7")[0]] = 0.6, 0.4
            return np.log(probs)

    ink = np.ones((60, 180), np.uint8)
    for decoder, text, confidence in (("greedy", "", 0.36), ("beam", "7", 0.64)):
        one = Recognizer(
            TwoFrames(),
            PreprocessConfig(),
            Decoder(load_grammar("none", CHARSET), method=decoder, beam_width=2),
            FRAME_AXIS,
        )
        (reading,) = one.read([ink])
        assert reading.text == text
        assert reading.confidence == pytest.approx(confidence, rel=1e-5)


def test_alternatives_of_a_character(lively: Recognizer) -> None:
    """Each is a different character of the charset, or empty."""
    found = [c for prediction in lively.predict(expressions()) for c in prediction.characters]
    assert found
    for character in found:
        assert character.alternative != character.text
        assert character.alternative == "" or character.alternative in lively.charset.characters
        assert 0 < character.alternative_probability < 1
        assert 0 < character.probability <= 1
        assert character.probability + character.alternative_probability <= 1 + 1e-9
    assert {len(character.alternative) for character in found} == {0, 1}


def test_evaluate_counts_and_averages_torchs_loss() -> None:
    truths = ["1+2", "3*4-5", "6-6"]
    read = ["1+2", "3*4+5", "6-6"]
    recognizer = scripted_recognizer(*[(text, 0.9) for text in read])
    inks = [np.zeros((60, 180), np.uint8)] * 3
    images = LabeledImages(inks, truths, [Fraction(3), Fraction(7), Fraction(1)])
    counts, loss = evaluate(recognizer, images)
    assert (counts.num_images, counts.num_exact, counts.num_both) == (3, 2, 1)
    log_probs = [log_probs_of(text, 0.9) for text in read]
    batch = torch.from_numpy(np.stack(log_probs, axis=1)).double()
    assert loss == pytest.approx(-np.log(torch_probabilities(batch, truths)).mean(), rel=1e-5)


def test_a_text_of_unknown_characters_is_wrong_and_has_no_loss() -> None:
    inks = [np.ones((60, 180), np.uint8)] * 3
    read = [("1+2", 0.9), ("6", 0.9), ("1", 0.8)]
    images = LabeledImages(inks, ["1+2", "6x=", "1"], [Fraction(3), None, Fraction(1)])
    counts, loss = evaluate(scripted_recognizer(*read), images)
    assert (counts.num_images, counts.num_exact) == (3, 2)
    assert (counts.deletions, counts.num_chars) == (2, 7)
    known = LabeledImages(inks[:2], ["1+2", "1"], images.values[::2])
    assert loss == evaluate(scripted_recognizer(*read[::2]), known)[1]


def test_the_recognizer_itself_needs_no_torch() -> None:
    code = """
import sys
import numpy as np
from exprocr import Recognizer
from exprocr.core.text.charset import Charset
from exprocr.core.decode.decoder import Decoder
from exprocr.core.model.geometry import CellAxis
from exprocr.core.text.grammar.grammars import load_grammar
from exprocr.core.config.schema import (PreprocessConfig)

class Engine:
    def log_probs(self, pictures):
        return np.log(np.tile([0.1, 0.9], (5, len(pictures), 1)))

decoder = Decoder(load_grammar("digits", Charset("8")), num_best=2, by_value=True)
one = Recognizer(Engine(), PreprocessConfig(), decoder, CellAxis(2.0, 4.0))
print(one.read([np.ones((60, 180), np.uint8)])[0].text)
print([name for name in ("torch", "click", "rich", "tqdm", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["8", "[]"]


@pytest.mark.parametrize(
    ("value", "frames", "classes", "message"),
    [
        (np.nan, 5, CHARSET.num_classes, "probabilities, found one that gives NaN"),
        (np.inf, 5, CHARSET.num_classes, "probabilities, found one that gives infinities"),
        (-np.inf, 5, CHARSET.num_classes, "probabilities, found one that gives infinities"),
        (-1, 0, CHARSET.num_classes, r"found one that gives \(0, 1, 16\)"),
        (-1, 5, 3, r"gives \(frames, 1, 16\) probabilities, found one that gives \(5, 1, 3\)"),
    ],
)
def test_a_network_that_gives_no_probabilities_is_a_bad_model(
    value: float, frames: int, classes: int, message: str
) -> None:
    class Broken:
        def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.full((frames, len(pictures), classes), value, dtype=np.float32)

    recognizer = scripted_recognizer()
    recognizer.engine = Broken()
    with pytest.raises(ModelFileError, match=message):
        recognizer.predict([np.asarray(with_a_mark(180, 60))])
