"""Batches of pictures, as programs give them that read tables on many machines."""

from __future__ import annotations

import csv
import io
import os
import pickle
import shutil
import subprocess
import sys
from collections import UserDict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import exprocr
from exprocr import BatchRecognizer
from exprocr.core.reading.recognizer import Recognizer
from exprocr.errors import ConfigError, DataError
from tests.support.predict_runs import draw, predict_with

NEW = ["text", "value", "confidence", "error"]


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Return files of pictures, one of which is damaged."""
    folder = tmp_path_factory.mktemp("scans")
    paths = [draw(folder / f"{number}.png", f"({number}+1)*2") for number in range(5)]
    paths[2].write_bytes(paths[2].read_bytes()[:100])
    return paths


@pytest.fixture(scope="module")
def recognizer(tiny_model: Path) -> BatchRecognizer:
    return BatchRecognizer(tiny_model)


def objects(values: list[Any]) -> NDArray[np.object_]:
    column = np.empty(len(values), object)
    column[:] = values
    return column


def columns(result: Any) -> dict[str, list[Any]]:
    return {name: list(result[name]) for name in NEW}


def sources(scans: list[Path]) -> dict[str, Any]:
    contents = [path.read_bytes() for path in scans]
    images = [Image.open(io.BytesIO(c)) if i != 2 else scans[2] for i, c in enumerate(contents)]
    arrays = [np.asarray(image) if i != 2 else scans[2] for i, image in enumerate(images)]
    return {
        "paths": list(map(str, scans)),
        "pathlib": scans,
        "numpy paths": np.array(list(map(str, scans))),
        "bytes": contents,
        "numpy bytes": objects(contents),
        "memory": [memoryview(c) if i % 2 else bytearray(c) for i, c in enumerate(contents)],
        "arrays": objects(arrays),
        "Pillow": images,
        "stored bytes": [{"bytes": c, "path": "no-such-file.png"} for c in contents],
        "stored paths": [{"bytes": None, "path": str(p)} for p in scans],
        "only paths": [{"path": str(p)} for p in scans],
    }


KINDS = [*("paths", "pathlib", "numpy paths", "bytes", "numpy bytes", "memory", "arrays"),
         *("Pillow", "stored bytes", "stored paths", "only paths")]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_picture_is_read_as_predict_reads_it(
    recognizer: BatchRecognizer, tiny_model: Path, scans: list[Path], kind: str
) -> None:
    given = {"id": np.arange(5), "image": sources(scans)[kind]}
    result = recognizer(given)
    assert list(given) == ["id", "image"]  # the batch itself stays as it is
    assert list(result) == ["id", "image", *NEW]
    assert all(result[name] is given[name] for name in given)
    assert [result[name].dtype for name in NEW] == [object, object, np.float64, object]
    expected = list(Recognizer.load(tiny_model).stream(scans))
    for i, reading in enumerate(expected):
        if i == 2:
            assert (result["text"][i], result["value"][i]) == (None, None)
            assert np.isnan(result["confidence"][i])
            assert "expected a readable picture" in result["error"][i]
        else:
            assert isinstance(reading, exprocr.Prediction)
            assert result["text"][i] == reading.text
            assert result["confidence"][i] == reading.confidence
            assert result["error"][i] == ""


def test_the_columns_are_those_of_predict(scans: list[Path], tiny_model: Path) -> None:
    options: dict[str, Any] = {"grammar": "expression", "decoder": "beam", "beam_width": 5}
    line = ["--format", "csv", "--grammar", "expression", "--decoder", "beam", "--beam-width", 5]
    written = predict_with(tiny_model, *scans, *line)
    assert written.exit_code == 1
    result = BatchRecognizer(tiny_model, **options)({"path": scans})
    rows = {row["path"]: row for row in csv.DictReader(io.StringIO(written.stdout))}
    assert len(rows) == 4
    for i, path in enumerate(scans):
        if row := rows.get(str(path)):
            assert row["text"] == result["text"][i]
            assert row["value"] == (result["value"][i] or "")
            assert float(row["confidence"]) == pytest.approx(result["confidence"][i], abs=1e-4)
        else:
            assert f"exprocr: {result['error'][i]}\n" == written.stderr
    assert any(result["value"])


@pytest.mark.parametrize(("text", "value"), [("7-9", "-2"), ("12", "12"), ("7-", None)])
def test_a_text_without_a_value_has_none(
    tiny_model: Path, scans: list[Path], tmp_path: Path, text: str, value: str | None
) -> None:
    lexicon = tmp_path / "one.txt"
    lexicon.write_text(text)
    result = BatchRecognizer(tiny_model, grammar=f"lexicon:{lexicon}")({"path": scans[:1]})
    assert (result["text"][0], result["value"][0], result["error"][0]) == (text, value, "")


@pytest.mark.parametrize(
    ("cell", "found"),
    [
        (None, "expected a picture, found none"),
        (float("nan"), "expected a picture, found float"),
        ({}, "expected a picture, found none"),
        ({"bytes": None, "path": None}, "expected a picture, found none"),
        (b"", "found a file in no known image format"),
        ("", "expected a picture, found"),
        ("no-such-file.png", "no-such-file.png: expected a picture, found no such file"),
        (np.zeros((60, 180), np.float32), "expected an array of uint8, found float32"),
        (np.zeros((2, 3, 4, 5), np.uint8), "expected a readable picture"),
        (np.zeros((0, 0), np.uint8), "expected"),
    ],
)
def test_what_is_no_picture_is_an_error_in_its_row(
    recognizer: BatchRecognizer, scans: list[Path], cell: object, found: str
) -> None:
    result = recognizer({"image": objects([str(scans[0]), cell, str(scans[1])])})
    assert found in result["error"][1]
    assert [error == "" for error in result["error"]] == [True, False, True]
    assert [text is None for text in result["text"]] == [False, True, False]


@pytest.mark.parametrize("num", [0, 1])
def test_batches_of_nothing_and_of_bad_pictures_alone(
    recognizer: BatchRecognizer, num: int
) -> None:
    result = recognizer({"image": [None] * num})
    assert [len(result[name]) for name in NEW] == [num] * 4


def test_a_batch_of_one_array(recognizer: BatchRecognizer, scans: list[Path]) -> None:
    """As Ray gives pictures of one size."""
    stacked = np.stack(
        [np.asarray(Image.open(io.BytesIO(path.read_bytes()))) for path in scans[:2]]
    )
    assert stacked.shape == (2, 60, 180, 3)
    assert columns(recognizer({"image": stacked})) == columns(recognizer({"image": scans[:2]}))


def test_the_column_of_pictures(recognizer: BatchRecognizer, scans: list[Path]) -> None:
    content = scans[0].read_bytes()
    expected = columns(recognizer({"image": [content]}))
    for other in ({"bytes": [content], "path": ["s3://x"]}, {"Image": [content], "path": [0]},
                  {"filename": [str(scans[0])]}):  # fmt: skip
        assert columns(recognizer(other)) == expected
    named = BatchRecognizer(recognizer.options["model"], column="scan")
    assert columns(named({"image": [b""], "scan": [content]})) == expected
    with pytest.raises(DataError, match=r"batch: expected a column 'scan', found 'image'"):
        named({"image": [content]})
    with pytest.raises(DataError, match=r"expected a column 'image' or 'bytes' or .*, found none"):
        recognizer({})


def test_columns_that_are_there_are_kept(recognizer: BatchRecognizer, scans: list[Path]) -> None:
    labeled = {"image": scans[:1], "text": ["1+2"]}
    with pytest.raises(DataError, match="batch: expected no column 'text', which is added"):
        recognizer(labeled)
    prefixed = BatchRecognizer(recognizer.options["model"], prefix="read_")
    assert list(prefixed(labeled)) == ["image", "text", *(f"read_{name}" for name in NEW)]


class Lazy(UserDict[str, Any]):
    """A batch as Hugging Face gives it: a column that is looked at is decoded."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.decoded: list[str] = []

    def __getitem__(self, key: str) -> Any:
        if key not in NEW:
            self.decoded = [*self.decoded, key]
        return super().__getitem__(key)


def test_a_batch_that_decodes_pictures_is_not_decoded(
    recognizer: BatchRecognizer, scans: list[Path]
) -> None:
    given = Lazy({"image": scans[:1], "other": [1]})
    result = recognizer(given)
    assert isinstance(result, Lazy)
    assert (given.decoded, result.decoded) == ([], [])
    assert list(result) == ["image", "other", *NEW]


def count_loads(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    loads: list[Any] = []
    load = Recognizer.load

    def counting(model: Any = None, **options: Any) -> Recognizer:
        loads.append(model)
        return load(model, **options)

    monkeypatch.setattr(Recognizer, "load", counting)
    return loads


def test_it_is_pickled_small_and_loads_once_in_a_process(
    tiny_model: Path, scans: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = count_loads(monkeypatch)
    for suffix in (".safetensors", ".onnx"):
        shutil.copy(tiny_model.with_suffix(suffix), tmp_path / f"own{suffix}")
    model = tmp_path / "own.safetensors"
    first = BatchRecognizer(model, threads=1)
    content = pickle.dumps(first)
    assert len(content) < 1000
    assert loads == []  # not before the first batch
    given = {"image": scans}
    with ThreadPoolExecutor(4) as pool:
        many = [pickle.loads(content) for _ in range(8)]
        results = list(pool.map(lambda each: columns(each(given)), many))
    assert loads == [model]
    assert all(repr(result) == repr(results[0]) for result in results)
    assert len(pickle.dumps(first)) == len(content)  # the model is not in it
    BatchRecognizer(model, threads=1, decoder="beam")(given)
    assert loads == [model] * 2


FORKING = """
import os, sys
from exprocr import BatchRecognizer
from exprocr.core.reading.recognizer import Recognizer

recognizer, given = BatchRecognizer(sys.argv[1], threads=2), {"image": sys.argv[2:] * 100}
here = recognizer(given)
loads = []
load = Recognizer.load
Recognizer.load = lambda *args, **options: loads.append(1) or load(*args, **options)
child = os.fork()
if not child:
    there = recognizer(given)
    os._exit(0 if (list(there["text"]), loads) == (list(here["text"]), [1]) else 1)
print(os.waitpid(child, 0)[1], loads)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork there")
def test_a_forked_process_loads_its_own(tiny_model: Path, scans: list[Path]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORKING, str(tiny_model), str(scans[0])],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.stdout == "0 []\n", done.stderr


def test_wrong_arguments_are_errors_at_the_first_batch(scans: list[Path]) -> None:
    with pytest.raises(ConfigError, match="device"):
        BatchRecognizer(device="tpu")({"image": scans})
    with pytest.raises(TypeError, match="no_such"):
        BatchRecognizer(no_such=1)({"image": scans})
