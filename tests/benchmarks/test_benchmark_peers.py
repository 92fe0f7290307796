"""exprocr beside other tools: stand-ins take the tools' places, on pictures with known labels."""

from __future__ import annotations

import dataclasses
import os
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from tests.benchmarks import peers, tools
from tests.benchmarks.measuring import Options, Row
from tests.benchmarks.peers import normalize
from tests.benchmarks.tools import TOOLS

STAND_INS = {
    # Allows the frames' right characters only where others are masked.
    "ddddocr": """
import os
assert os.environ["OMP_NUM_THREADS"] == os.environ["OMP_THREAD_LIMIT"] == "1"
assert not hasattr(os, "sched_getaffinity") or len(os.sched_getaffinity(0)) == 1
CHARSET = ["", *"1+2*3-ABCDE"]
class DdddOcr:
    def __init__(self, beta, show_ad):
        self.beta = beta
    def set_ranges(self, characters):
        assert set("0123456789+-*()") <= set(characters)
    def get_charset(self):
        return CHARSET
    def classification(self, image, probability=False):
        assert image.startswith(b"\\x89PNG")
        if not probability:
            return "1 \\uff0b ABC" if self.beta else "ABCDE"
        frames = []
        for character, other in zip(["1", "1", "", "+", "2", "", "*", "3"], "ABCDEABC"):
            frame = [0.0] * len(CHARSET)
            frame[CHARSET.index(character)], frame[CHARSET.index(other)] = 0.3, 0.7
            frames.append([frame])
        return {"probabilities": frames}
""",
    "rapidocr": "raise ModuleNotFoundError('No module named rapidocr', name='rapidocr')",
    "pytesseract": """
class TesseractNotFoundError(Exception): pass
def get_tesseract_version(): return "9"
def image_to_string(image, config):
    raise RuntimeError("out of order")
""",
}


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    """Return a folder of four pictures; what is on them does not matter to the stand-ins."""
    folder = tmp_path / "real"
    folder.mkdir()
    for number in range(4):
        Image.new("RGB", (180, 60), "white").save(folder / f"{number}.png")
    (folder / "labels.txt").write_text("1+2*3 7\n1+2*3 7\n4-1+6 9\n1+2*3 7\n")
    return folder


@pytest.fixture
def stand_ins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "stand_ins"
    folder.mkdir()
    for name, code in STAND_INS.items():
        (folder / f"{name}.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder))
    return folder


def options(labeled: Path) -> Options:
    return Options(repetitions=1, num_images=2, threads=1, real=(labeled,))


def choose(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    monkeypatch.setattr(peers, "TOOLS", {name: TOOLS[name] for name in names})


@pytest.mark.usefixtures("stand_ins")
def test_tools_are_rated_with_their_best_settings_missing_and_broken_ones_named(
    labeled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    choose(monkeypatch, "ddddocr", "rapidocr", "tesseract")
    _, rated, missing, broken = peers.rows(options(labeled))
    assert re.fullmatch(r"ddddocr [\d.]* ?\(masked\): real \(4\)", rated.what)
    # 1+2*3 is read each time: one of four texts is wrong, in five of twenty characters but one.
    wrong = sum(a != b for a, b in zip("4-1+6", "1+2*3", strict=True))
    start = f"exact match 75.00%, CER {wrong / 20:.2%}, "
    assert re.fullmatch(re.escape(start) + r"[\d.]+ ms an image, peak \d+ MB", rated.result)
    assert missing == Row("RapidOCR", "not installed: rapidocr")
    assert broken == Row("Tesseract", "failed: RuntimeError: out of order")


@pytest.mark.usefixtures("stand_ins")
def test_a_program_that_is_missing_is_named(
    labeled: Path, stand_ins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = STAND_INS["pytesseract"].replace('return "9"', "raise TesseractNotFoundError")
    (stand_ins / "pytesseract.py").write_text(code)
    choose(monkeypatch, "tesseract")
    assert list(peers.rows(options(labeled))) == [
        Row("Tesseract", "not installed: the program tesseract")
    ]


@pytest.mark.usefixtures("stand_ins")
def test_boxes_of_text_are_joined_from_left_to_right(
    labeled: Path, stand_ins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (stand_ins / "rapidocr.py").write_text("""
class Answer:
    txts = ("x3=", "1+2")
    boxes = [[(90, 5), (150, 5), (150, 50), (90, 50)], [(7, 9), (80, 9), (80, 50), (7, 50)]]
class Line:
    txts = ("3",)
class RapidOCR:
    def __init__(self, params):
        assert params["EngineConfig.onnxruntime.intra_op_num_threads"] == 1
    def __call__(self, path, use_det=True, use_cls=True):
        assert use_det == use_cls
        return Answer if use_det else Line
""")
    choose(monkeypatch, "rapidocr")
    _, rated = peers.rows(options(labeled))
    assert "(default)" in rated.what
    assert rated.result.startswith("exact match 75.00%")


@pytest.mark.usefixtures("stand_ins")
def test_each_reading_is_compared_with_the_label_of_its_image(
    tmp_path: Path, stand_ins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, texts = tmp_path / "named", ["1+2*3", "(4-5)*6", "7-8-9"]
    folder.mkdir()
    for number, text in enumerate(texts):
        chunks = PngInfo()
        chunks.add_text("truth", text)
        Image.new("L", (9, 9)).save(folder / f"{number}.png", pnginfo=chunks)
    (folder / "labels.txt").write_text("\n".join(texts))
    code = STAND_INS["pytesseract"]
    code = code.replace('raise RuntimeError("out of order")', 'return image.info.get("truth", "")')
    (stand_ins / "pytesseract.py").write_text(code)
    choose(monkeypatch, "tesseract")
    captchas, named = peers.rows(options(folder))
    assert captchas.result.startswith("exact match 0.00%, CER 100.00%")
    assert named.result.startswith("exact match 100.00%, CER 0.00%")


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_exprocr_reads_with_the_engine_of_the_row(
    labeled: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    from exprocr import Recognizer

    given = []
    load = Recognizer.load

    def noting(model: str | None, **arguments: Any) -> Recognizer:
        given.append((model, arguments))
        return load(model, **arguments)

    monkeypatch.setattr(Recognizer, "load", noting)
    path = str(labeled / "0.png")
    result = tools.work(tools.Job(f"exprocr-{engine}", engine, 1, [path]))
    assert given == [(None, {"engine": engine, "threads": 1})]
    assert len(result.texts) == len(result.seconds) == 1


def test_a_tool_has_as_many_processors_as_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    given = []
    monkeypatch.setattr(os, "environ", {})
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {7, 3, 5}, raising=False)
    monkeypatch.setattr(
        os, "sched_setaffinity", lambda pid, cpus: given.append((pid, cpus)), raising=False
    )
    tools.limit_threads(2)
    assert given == [(0, [3, 5])]
    assert set(os.environ.values()) == {"2"}


def test_exprocr_reads_as_predict_does(
    labeled: Path, tiny_model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from exprocr import Recognizer
    from exprocr.core.evaluation.metrics import Evaluation
    from tests.benchmarks.measuring import draw_captchas

    choose(monkeypatch, "exprocr-torch")
    settings = dataclasses.replace(options(labeled), num_images=5, model=str(tiny_model))
    captchas, _ = peers.rows(settings)
    recognizer = Recognizer.load(tiny_model, engine="torch", threads=1)
    counts = Evaluation()
    for text, image in draw_captchas(5):
        counts.add(text, None, recognizer.predict([image])[0].text, None)
    assert captchas.what.endswith("(torch): captcha package (5)")
    start = f"exact match {counts.exact_match:.2%}, CER {counts.cer:.2%}, "
    assert captchas.result.startswith(start)


@pytest.mark.parametrize(
    ("read", "spelled"),
    [
        ("1x2X3\u00d74", "1*2*3*4"),
        ("7\uff0d(8\u22129)", "7-(8-9)"),
        ("\uff08\uff11\uff0b\uff12\uff09\u00d7\uff13", "(1+2)*3"),
        ("1\u20142\u4e003", "1-2-3"),
        (" 1 +\t2\n*3\f", "1+2*3"),
        ("1+2*3=", "1+2*3"),
        ("1+2*3 = ?", "1+2*3"),
        ("1+2*3\uff1d\uff1f", "1+2*3"),
        ("4=1+2", "4=1+2"),
        ("l+O*B", "l+O*B"),
        ("", ""),
    ],
)
def test_spellings_become_those_of_the_labels(read: str, spelled: str) -> None:
    assert normalize(read) == spelled


@given(st.text("0123456789+-*()"))
def test_a_text_that_is_spelled_like_labels_stays_as_it_is(text: str) -> None:
    assert normalize(text) == text


OTHER_SPELLINGS = {
    "*": "*xX\u00d7\u2715\u2716\uff0a\uff58",
    "-": "-\u2212\u2013\u2014\u2010\uff0d\ufe63\u30fc\u4e00",
    "+": "+\uff0b",
    "(": "(\uff08",
    ")": ")\uff09",
} | {digit: digit + chr(0xFF10 + int(digit)) for digit in "0123456789"}


@given(st.data(), st.text("0123456789+-*()"))
def test_any_mixture_of_spellings_is_the_same_text(data: st.DataObject, text: str) -> None:
    spelled = [data.draw(st.sampled_from(OTHER_SPELLINGS[character])) for character in text]
    separator = data.draw(st.sampled_from(["", " ", "\u3000"]))
    assert normalize(separator.join(spelled)) == text
