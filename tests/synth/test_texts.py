"""What rendered pictures say: grammars, files and the contest's texts."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from exprocr.core.config.schema import SynthConfig
from exprocr.core.text.charset import num_frames_needed
from exprocr.core.text.grammar.grammars import load_grammar_alone
from exprocr.errors import ConfigError
from exprocr.synth.renderer import load_renderer, sample_rng
from exprocr.synth.texts import LEVEL1, NAMED, load_texts


def drawn(config: SynthConfig, num: int) -> list[str]:
    texts = load_texts(config)
    rng = np.random.default_rng(0)
    return [texts.draw(rng) for _ in range(num)]


@pytest.mark.parametrize("config", [SynthConfig(), SynthConfig(texts_like="level1")])
def test_the_default_draws_as_before_there_were_others(config: SynthConfig) -> None:
    texts = load_renderer(config)[0].texts[""]
    digest = hashlib.sha256()
    for index in range(500):
        rng = sample_rng(7, index % 5, index)
        # The number after it is the first that the picture is drawn with.
        digest.update(f"{texts.draw(rng)} {rng.integers(2**62)}\n".encode())
    expected = "9f9bc63c5e7481ffb53347e6edecb75e56f551ee0c8aaf537529311dba248767"
    assert digest.hexdigest() == expected


def test_the_contests_texts_are_those_of_their_grammar() -> None:
    grammar = load_grammar_alone("level1")
    rng = np.random.default_rng(0)
    assert all(grammar.accepts(LEVEL1.draw(rng)) for _ in range(500))
    assert LEVEL1.characters == grammar.charset.characters
    assert LEVEL1.is_within(grammar)
    assert LEVEL1.is_within(load_grammar_alone("expression"))
    assert not LEVEL1.is_within(load_grammar_alone("regex:[0-9][-+*][0-9][-+*][0-9]"))


def test_texts_of_a_grammar() -> None:
    texts = load_texts(SynthConfig(grammar="regex:[AB]{2}-[0-9]{4}c{0}"))
    assert texts.characters == "-0123456789AB"
    assert texts.max_frames == 7 + 1 + 3
    grammar = load_grammar_alone("regex:[AB]{2}-[0-9]{4}")
    found = drawn(SynthConfig(grammar=grammar.name), 300)
    assert all(map(grammar.accepts, found))
    assert set("".join(found)) == set(texts.characters)
    assert texts.is_within(grammar)
    assert not texts.is_within(load_grammar_alone("regex:AB-[0-9]{4}"))


def test_max_length() -> None:
    lengths = Counter(map(len, drawn(SynthConfig(grammar="digits", max_length=5), 1000)))
    assert lengths.keys() == {1, 2, 3, 4, 5}
    assert load_texts(SynthConfig(grammar="digits", max_length=5)).max_frames == 9
    assert max(map(len, drawn(SynthConfig(grammar="digits"), 1000))) == 24


def test_lines_of_a_file_are_as_frequent_as_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "texts.txt"
    file.write_text("\ufeffA 1\n\n  77 \r\nA 1\n\u00d7\n", encoding="utf-8")
    config = SynthConfig(texts=str(file))
    texts = load_texts(config)
    assert (texts.characters, texts.max_frames) == (" 17A\u00d7", 3)
    counts = Counter(drawn(config, 4000))
    assert counts.keys() == {"A 1", "77", "\u00d7"}
    assert abs(counts["A 1"] - 2000) < 6 * math.sqrt(1000)
    assert abs(counts["77"] - 1000) < 6 * math.sqrt(750)
    assert texts.is_within(load_grammar_alone("regex:(A 1|77|\u00d7)+"))
    assert not texts.is_within(load_grammar_alone("regex:A 1|77"))


@pytest.mark.parametrize("name", NAMED)
def test_named_distributions_say_what_they_have(name: str) -> None:
    texts = load_texts(SynthConfig(texts_like=name))
    found = drawn(SynthConfig(texts_like=name), 5000)
    assert "".join(sorted(set("".join(found)))) == texts.characters
    assert max(map(num_frames_needed, found)) <= texts.max_frames
    assert len(set(found)) > (1500 if name != "unknown" else 8)


@pytest.mark.parametrize(
    ("grammar", "message"),
    [
        ("regex: a", "grammar regex: a: expected texts without a blank at either end"),
        ("regex:a( b?)", "expected texts without a blank at either end"),
        ("regex:(a\\t)", "expected visible characters and blanks, found '\\\\t'"),
        ("regex:a\u3000b", "expected visible characters and blanks"),
        ("regex:a{25}b*", "expected texts of 1 to 24 characters, found none"),
        ("none", "grammar none: expected a grammar that names its characters"),
    ],
)
def test_grammars_that_cannot_be_drawn(grammar: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_texts(SynthConfig(grammar=grammar))
    assert message.replace("\\\\", "\\") in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "texts: {file}: expected one text per line, found none"),
        (b"1\n\xff", "texts: {file}: expected UTF-8 text, found other bytes"),
        (b"1\n2\t2\n", "texts: {file}: expected visible characters and blanks, found '2\\t2'"),
        (b"1" * 1001, "texts: {file}, line 1: expected at most 1,000 characters, found 1,001"),
    ],
)
def test_files_that_cannot_be_drawn(tmp_path: Path, content: bytes, message: str) -> None:
    file = tmp_path / "t.txt"
    file.write_bytes(content)
    with pytest.raises(ConfigError) as error:
        load_texts(SynthConfig(texts=str(file)))
    assert str(error.value) == message.format(file=file)


def test_settings_name_one_source() -> None:
    with pytest.raises(ConfigError, match=r"synth.texts_like: expected one of grammar, texts, "):
        SynthConfig(grammar="digits", texts_like="captcha")
    with pytest.raises(ConfigError, match="unknown distribution; did you mean 'worksheet'"):
        SynthConfig(texts_like="worksheets")
    with pytest.raises(ConfigError, match="max_length: expected 1 to 1000, found 0"):
        SynthConfig(max_length=0)
