"""Training on the texts of a grammar or a file: the charset, the model's grammar, the frames."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from exprocr.core.model.artifact import ModelFile
from exprocr.core.reading.recognizer import Recognizer
from exprocr.errors import ConfigError, DataError
from exprocr.training.run import RunSpec, read_checkpoint
from tests.support.pictures import with_a_mark
from tests.support.tiny_runs import Recorder, check_same, go_on, prepare, start, tiny_settings

pytestmark = pytest.mark.usefixtures("one_font")


def spec_of(data: Path | None = None, *, mix: float = 1.0, **synth: Any) -> RunSpec:
    settings = tiny_settings(synth_mix=mix, epochs=1)
    settings = replace(settings, synth=replace(settings.synth, **synth))
    return RunSpec(settings=settings, data=str(data) if data else None)


def labeled(folder: Path, *texts: str) -> Path:
    folder.mkdir()
    for number in range(len(texts)):
        Image.new("L", (60, 20), 255).save(folder / f"{number}.png")
    (folder / "labels.txt").write_text("".join(f"{text}\n" for text in texts))
    return folder


def test_the_model_reads_under_the_grammar_that_was_drawn(tmp_path: Path) -> None:
    pattern = "regex:[AB]{2}-[0-9]{2}"
    assert start(spec_of(grammar=pattern), tmp_path / "run") == "finished"
    for source in (tmp_path / "run", tmp_path / "run" / "model.onnx"):
        recognizer = Recognizer.load(source, threads=1)
        assert recognizer.decoder.grammar.name == pattern
        assert recognizer.charset.characters == "-0123456789AB"
        (prediction,) = recognizer.predict([with_a_mark(60, 20)])
        assert recognizer.decoder.grammar.accepts(prediction.text)


def test_a_mix_of_texts_has_the_characters_and_the_grammar_of_all(tmp_path: Path) -> None:
    looks = ("contest/level1:3", "contest/captcha", "contest/unknown")
    assert start(spec_of(looks=looks, width=160), tmp_path / "run") == "finished"
    recognizer = Recognizer.load(tmp_path / "run", threads=1)
    assert recognizer.charset.characters == "()*+-/0123456789=?×÷\ufffd"
    assert recognizer.decoder.grammar.name == "equation"
    assert not recognizer.decoder.grammar.accepts("\ufffd")


def test_each_kind_of_pictures_must_fit_its_own_texts(tmp_path: Path) -> None:
    # A contest picture of 60 x 20 px has 15 frames, for texts of 7. The texts that need 40 have
    # pictures as wide as they need, or else cannot be trained on.
    auto = spec_of(looks=("contest/level1", "screen/sums"), width=None, height=60)
    preprocess = replace(auto.settings.preprocess, height=60)
    spec = replace(auto, settings=replace(auto.settings, preprocess=preprocess))
    prepare(spec, tmp_path / "auto")
    with pytest.raises(ConfigError, match=r"wide enough for 40 frames.*, found 60 x 20 px"):
        prepare(spec_of(looks=("contest/level1", "screen/sums")), tmp_path / "narrow")


def test_labels_of_unknown_characters_leave_the_grammar_as_it_is(tmp_path: Path) -> None:
    data = labeled(tmp_path / "data", *["1+2"] * 8, "\ufffd\ufffd")
    assert start(spec_of(data, mix=0.0), tmp_path / "run") == "finished"
    assert ModelFile.load(tmp_path / "run").grammar == "expression"


def test_a_lexicon_needs_no_file_after_training(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("AB\n17\nC D\n")
    run = tmp_path / "run"
    assert start(spec_of(grammar=f"lexicon:{words}"), run) == "finished"
    model = ModelFile.load(run)
    assert (model.grammar, model.lexicon) == ("lexicon:words.txt", ("17", "AB", "C D"))
    words.unlink()
    (prediction,) = Recognizer.load(run, threads=1).predict([with_a_mark(60, 20)])
    assert prediction.text in ("17", "AB", "C D")


@pytest.mark.parametrize(
    ("labels", "grammar"),
    [
        (("12", "3", "45"), "digits"),
        (("4-5", "3", "12"), "digits"),
        (("12", "3", "45"), "regex:[0-9]{2}[+][0-9]"),
        (("12+3", "3+45", "1+1"), "regex:[0-9]+[+][0-9]+"),
    ],
)
def test_the_grammar_that_is_drawn_is_the_models(
    tmp_path: Path, labels: tuple[str, ...], grammar: str
) -> None:
    data = labeled(tmp_path / "data", *labels)
    trainer = prepare(spec_of(data, mix=0.5, grammar=grammar, max_length=6), tmp_path / "run")
    assert trainer.best.grammar.name == grammar


def test_texts_of_a_file(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("12\n7\n7\n")
    trainer = prepare(spec_of(texts=str(texts)), tmp_path / "run")
    assert trainer.charset.characters == "127"
    assert trainer.best.grammar.name == "digits"
    assert set(trainer.validation.texts) == {"12", "7"}


def test_a_run_goes_on_with_the_same_texts_only(tmp_path: Path) -> None:
    texts = tmp_path / "texts.txt"
    texts.write_text("12\n7\n34\n")
    spec = spec_of(texts=str(texts))
    assert start(spec, tmp_path / "straight") == "finished"
    run = tmp_path / "run"
    assert start(spec, run, Recorder(stop_after=2)) == "interrupted"
    texts.write_text("12\n7\n35\n")
    with pytest.raises(DataError, match=rf"{texts}: expected the data set the run began with"):
        go_on(run)
    texts.unlink()
    with pytest.raises(DataError, match=rf"{texts}: expected a file of texts, found: No such"):
        go_on(run)
    texts.write_text("12\n7\n34\n")
    assert go_on(run) == "finished"
    check_same(run, tmp_path / "straight")
    assert read_checkpoint(run)[0].texts_digest is not None


@pytest.mark.parametrize(
    ("synth", "message"),
    [
        # 15 frames: each text of 8 characters fits, but not 8 times the same one in 60 px.
        ({"grammar": "digits", "max_length": 9}, "for 17 frames, which the longest text needs"),
        ({"texts_like": "worksheet"}, "for 30 frames, which the longest text needs"),
        ({"grammar": "none"}, "grammar none: expected a grammar that names its characters"),
    ],
)
def test_what_cannot_be_drawn_is_said_before_training(
    tmp_path: Path, synth: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        prepare(spec_of(**synth), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_lexicon_that_is_too_large_for_a_model_file(tmp_path: Path) -> None:
    words = tmp_path / "words.txt"
    words.write_text("".join(f"{i:08}\n" for i in range(80_000)))
    with pytest.raises(ConfigError, match="draw the lines with --texts, and read with --grammar"):
        prepare(spec_of(grammar=f"lexicon:{words}"), tmp_path / "run")
