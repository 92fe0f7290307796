"""The recogniser: order, batches, errors, laziness, and what a prediction holds."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from exprocr import Prediction, Recognizer
from exprocr.core import recognizer as module
from exprocr.core.artifact import ModelFile
from exprocr.core.decode.decoder import Alternative, Decoder
from exprocr.core.decode.search import METHODS
from exprocr.core.evaluate import LabelledImages, evaluate
from exprocr.core.grammar.grammars import load_grammar
from exprocr.core.preprocess import PreprocessConfig, preprocess
from exprocr.core.torch_engine import TorchEngine
from exprocr.errors import ConfigError, DataError, ImageError, ModelFileError
from tests.scripted import (
    CHARSET,
    FRAME_AXIS,
    ScriptedEngine,
    log_probs_of,
    scripted_recognizer,
)

WIDTHS = (180, 90, 240, 180, 60, 240, 180, 121, 180)


@pytest.fixture(scope="module")
def lively(tiny_model: Path) -> Recognizer:
    """Return the tiny network with outputs spread so that it reads something else everywhere."""
    recognizer = Recognizer.load(tiny_model, engine="torch", device="cpu", threads=1)
    assert isinstance(recognizer.engine, TorchEngine)
    last = recognizer.engine.network.fc2
    with torch.no_grad():
        last.weight.mul_(8)
        inks = [preprocess(pictures()[0], recognizer.preprocess)]
        ((_, log_probs),) = recognizer.log_probs(inks)
        last.bias.sub_(torch.from_numpy(log_probs.mean(axis=(0, 1))))
    return recognizer


def pictures() -> list[Image.Image]:
    result = []
    for number, width in enumerate(WIDTHS):
        image = Image.new("RGB", (width, 60), "white")
        ImageDraw.Draw(image).text((4, 8), f"{number}+(7*{number})", "black", font_size=34)
        result.append(image)
    return result


def check_same(one: Prediction, other: Prediction) -> None:
    assert (one.text, one.value, one.is_proven) == (other.text, other.value, other.is_proven)
    assert places(one) == places(other)
    for name in ("confidence", "posterior", "grammar_mass"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), rel=1e-3)


def places(prediction: Prediction) -> list[tuple[object, ...]]:
    return [(c.text, c.x, c.box, c.frames) for c in prediction.characters]


def test_readings_depend_neither_on_the_batch_nor_on_the_order(lively: Recognizer) -> None:
    images = pictures()
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
    together = lively.predict(pictures())
    monkeypatch.setattr(module, "BATCH_PIXELS", 2 * 60 * 180)
    monkeypatch.setattr(module, "CHUNK_SIZE", 5)
    for one, other in zip(lively.predict(pictures()), together, strict=True):
        check_same(one, other)


def test_batches_hold_one_width_and_at_most_so_many_pixels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "BATCH_PIXELS", 64 * 60 * 40)
    engine = ScriptedEngine([("1", 0.9)] * 200)
    recognizer = Recognizer(
        engine, PreprocessConfig(), Decoder(load_grammar("none", CHARSET)), FRAME_AXIS
    )
    inks = [np.zeros((60, width), np.uint8) for width in (40, 60) * 80 + (2560, 2580) * 2]
    assert len(recognizer.read(inks)) == 164
    assert engine.shapes == [
        *((64, 60, 40), (16, 60, 40)),
        *((42, 60, 60), (38, 60, 60)),
        *((1, 60, 2560), (1, 60, 2560)),  # as many pixels as may be, and more
        *((1, 60, 2580), (1, 60, 2580)),
    ]
    assert recognizer.read([]) == []


def test_errors_stand_in_their_place_and_the_rest_is_read(tmp_path: Path) -> None:
    good = Image.new("L", (180, 60), 255)
    good.save(tmp_path / "good.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    names = ["bad.png", "good.png", "none.png", "good.png", "bad.png"]
    recognizer = scripted_recognizer(("1+2", 0.9), ("3*4", 0.9))
    results = list(recognizer.stream(tmp_path / name for name in names))
    kinds = [type(result) for result in results]
    assert kinds == [ImageError, Prediction, ImageError, Prediction, ImageError]
    for name, result in zip(names, results, strict=True):
        if isinstance(result, Prediction):
            assert result.path == str(tmp_path / name)
        else:
            assert str(result).startswith(f"{tmp_path / name}: ")
    assert [r.text for r in results if isinstance(r, Prediction)] == ["1+2", "3*4"]


def test_characters_are_placed_in_their_own_picture_beside_unreadable_ones() -> None:
    sizes = [(180, 60), (90, 30), (60, 60), (360, 120), (20, 20)]
    pictures: list[Image.Image | bytes] = [Image.new("L", size, 255) for size in sizes]
    for place in (3, 1, 0):
        pictures.insert(place, b"no picture")
    readings = [("1+2", 0.9)] * len(sizes)
    results = list(scripted_recognizer(*readings).stream(pictures))
    predictions = [result for result in results if isinstance(result, Prediction)]
    for (_, height), prediction in zip(sizes, predictions, strict=True):
        # The frames lie at 8, 20 and 32 px of 60 rows.
        marks = [x * height // 60 for x in (8, 20, 32)]
        assert [character.x for character in prediction.characters] == marks
        assert {character.box[3] for character in prediction.characters} == {height}


def test_predict_raises_the_first_error(tmp_path: Path) -> None:
    recognizer = scripted_recognizer(("1+2", 0.9))
    sources: list[Image.Image | Path] = [Image.new("L", (180, 60), 255)]
    sources += [tmp_path / "first.png", tmp_path / "second.png"]
    with pytest.raises(ImageError, match=r"first\.png: expected a picture, found no such file"):
        recognizer.predict(sources)


def test_only_unreadable_pictures() -> None:
    assert [type(r) for r in scripted_recognizer().stream([b"", b"x"])] == [ImageError] * 2


@pytest.mark.parametrize("source", ["0.png", b"0", Path("0.png")])
def test_one_picture_is_no_list(source: str | bytes | Path) -> None:
    with pytest.raises(TypeError, match=r"expected a list .* found one \w+; pass \[source\]"):
        scripted_recognizer().predict(source)  # type: ignore[arg-type]


def test_stream_takes_pictures_as_it_needs_them() -> None:
    pulled = 0

    def sources() -> Iterator[Image.Image]:
        nonlocal pulled
        for _ in range(10_000):
            pulled += 1
            yield Image.new("L", (3, 1), 255)

    recognizer = scripted_recognizer(*[("1", 0.9)] * 1000)
    results = recognizer.stream(sources())
    assert pulled == 0
    for number in range(1, 700):
        next(results)
        assert pulled == -(-number // module.CHUNK_SIZE) * module.CHUNK_SIZE


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
    (prediction,) = scripted_recognizer((text, 0.9)).predict([np.full((60, 180), 255, np.uint8)])
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
    """Return exp(-loss) of torch's CTC loss of each text, (T, N, K) given."""
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
    """Return the recogniser with another decoder."""
    decoder = Decoder(load_grammar(grammar, recognizer.charset), **options)
    return Recognizer(recognizer.engine, recognizer.preprocess, decoder, recognizer.frame_axis)


@pytest.mark.parametrize("grammar", ["none", "expression", "level1"])
@pytest.mark.parametrize("decoder", METHODS)
def test_confidence_is_torchs_probability_of_the_text(
    lively: Recognizer, decoder: str, grammar: str
) -> None:
    recognizer = decoding(lively, grammar, method=decoder)
    inks = [preprocess(image, recognizer.preprocess) for image in pictures() if image.width == 180]
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

    ink = np.zeros((60, 180), np.uint8)
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


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"decoder": "bean"}, "unknown decoder; did you mean 'beam'"),
        ({"beam_width": 0}, "beam_width: expected 1 to 1000, found 0"),
        ({"beam_width": 1001}, "beam_width: expected 1 to 1000, found 1001"),
        ({"n_best": 0}, "n_best: expected 1 to 1000, found 0"),
        ({"decoder": "greedy", "n_best": 2}, "expected auto, beam or exact for several texts"),
        ({"decoder": "greedy", "by_value": True}, "expected auto, beam or exact for several texts"),
        ({"grammar": "levle1"}, "unknown grammar; did you mean 'level1'"),
        ({"grammar": "regex:[0-9]+["}, r"grammar regex:\[0-9\]\+\[: expected a regular expression"),
        ({"grammar": "regex:a+"}, "expected characters of .*0123456789', found 'a'"),
        ({"grammar": "lexicon:/nowhere"}, "grammar: /nowhere: expected a file of one"),
        ({"device": "tpu"}, r"unknown device; did you mean 'cpu'\? \(devices: auto, cpu, cuda"),
        ({"engine": "tensorflow"}, r"unknown engine; did you mean '.*'\? \(engines: onnx, torch\)"),
    ],
)
def test_settings_out_of_range(tiny_model: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Recognizer.load(tiny_model, threads=1, **options)


def test_load_takes_a_file_or_a_run(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(tiny_model.read_bytes())
    image = pictures()[:1]
    expected = Recognizer.load(tiny_model, engine="torch", threads=1).predict(image)
    for place in (str(tiny_model), tmp_path, tmp_path / "model.safetensors"):
        assert Recognizer.load(place, engine="torch", threads=1).predict(image) == expected
    with pytest.raises(ModelFileError, match=r"none\.safetensors: expected a model file"):
        Recognizer.load(tmp_path / "none.safetensors")


def test_load_takes_grammar_and_temperature_from_the_file(tiny_model: Path, tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    model = dataclasses.replace(ModelFile.load(tiny_model), grammar="level1", temperature=2.5)
    model.save(path)
    recognizer = Recognizer.load(path, threads=1)
    assert (recognizer.decoder.grammar.name, recognizer.decoder.temperature) == ("level1", 2.5)
    assert recognizer.decoder.method == "auto"
    assert recognizer.charset == model.charset
    level1 = recognizer.predict(pictures())
    assert all(recognizer.decoder.grammar.accepts(prediction.text) for prediction in level1)
    # A user's grammar wins; the temperature stays, and changes no text.
    digits = Recognizer.load(path, threads=1, grammar="digits")
    assert digits.decoder.temperature == 2.5
    assert all(prediction.text.isdigit() for prediction in digits.predict(pictures()))
    plain = Recognizer.load(tiny_model, threads=1)
    assert (plain.decoder.grammar.name, plain.decoder.temperature) == ("none", 1.0)
    cold = Recognizer.load(tiny_model, threads=1, grammar="level1").predict(pictures())
    assert [prediction.text for prediction in cold] == [prediction.text for prediction in level1]
    assert [p.confidence for p in cold] != pytest.approx([p.confidence for p in level1])


def test_load_hands_the_decoders_options_on(tiny_model: Path) -> None:
    recognizer = Recognizer.load(
        tiny_model, threads=1, grammar="regex:[0-9][+][0-9]", decoder="beam", beam_width=7,
        n_best=4, by_value=True,
    )  # fmt: skip
    decoder = recognizer.decoder
    assert (decoder.method, decoder.beam_width, decoder.num_best) == ("beam", 7, 4)
    (prediction,) = recognizer.predict(pictures()[:1])
    values = [alternative.value for alternative in prediction.alternatives]
    assert len(set(values)) == 4
    assert prediction.uncovered == pytest.approx(0.0, abs=1e-6)
    best = prediction.alternatives[0]
    expected = (best.text, best.value, best.probability)
    assert (prediction.text, prediction.value, prediction.confidence) == expected


def test_alternatives_of_a_character(lively: Recognizer) -> None:
    """Every character's is another one of the charset, or none."""
    found = [c for prediction in lively.predict(pictures()) for c in prediction.characters]
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
    images = LabelledImages(inks, truths, [Fraction(3), Fraction(7), Fraction(1)])
    counts, loss = evaluate(recognizer, images)
    assert (counts.num_images, counts.num_exact, counts.num_both) == (3, 2, 1)
    log_probs = [log_probs_of(text, 0.9) for text in read]
    batch = torch.from_numpy(np.stack(log_probs, axis=1)).double()
    assert loss == pytest.approx(-np.log(torch_probabilities(batch, truths)).mean(), rel=1e-5)
    with pytest.raises(DataError, match="found 'x'"):
        evaluate(scripted_recognizer(), LabelledImages(inks[:1], ["x"], [None]))


def test_the_recogniser_itself_needs_no_torch() -> None:
    code = """
import sys
import numpy as np
from exprocr import Recognizer
from exprocr.core.charset import Charset
from exprocr.core.decode.decoder import Decoder
from exprocr.core.geometry import CellAxis
from exprocr.core.grammar.grammars import load_grammar
from exprocr.core.preprocess import PreprocessConfig

class Engine:
    def log_probs(self, pictures):
        return np.log(np.tile([0.1, 0.9], (5, len(pictures), 1)))

decoder = Decoder(load_grammar("digits", Charset("8")), num_best=2, by_value=True)
one = Recognizer(Engine(), PreprocessConfig(), decoder, CellAxis(2.0, 4.0))
print(one.predict([np.zeros((60, 180), np.uint8)])[0].text)
print([name for name in ("torch", "click", "rich", "tqdm", "matplotlib") if name in sys.modules])
"""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.splitlines() == ["8", "[]"]


def test_a_network_that_gives_nan_is_a_bad_model() -> None:
    class Diverged:
        def log_probs(self, pictures: NDArray[np.uint8]) -> NDArray[np.float32]:
            return np.full((5, len(pictures), CHARSET.num_classes), np.nan, dtype=np.float32)

    recognizer = scripted_recognizer()
    recognizer.engine = Diverged()
    with pytest.raises(ModelFileError, match="found one that gives NaN"):
        recognizer.predict([np.zeros((60, 180), np.uint8)])
