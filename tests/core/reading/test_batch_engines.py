"""Batches as Ray Data, Hugging Face datasets and pandas give them, by the programs in the docs."""

from __future__ import annotations

import importlib.util
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from exprocr import BatchRecognizer, ExprocrError, Prediction, Recognizer
from exprocr.core.text.expression import format_value

ROOT = Path(__file__).parents[3]
NUM_IMAGES = 2_000
BAD = {7: None, 1_500: b"no picture"}

TIMEOUT_S = 600

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
    "HF_HUB_OFFLINE": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",
}
"""Nothing is reported to the makers of the programs, and nothing is looked up. With the second, Ray
stays on the loopback address, as it does on Windows and macOS."""

NEW = ["text", "value", "confidence", "error"]


def needs(package: str, extra: str) -> pytest.MarkDecorator:
    missing = importlib.util.find_spec(package) is None
    return pytest.mark.skipif(missing, reason=f"{package} is not installed: pip install {extra}")


def program(name: str) -> str:
    """Return a program of the docs, by the name in the marker before it."""
    page = (ROOT / "docs" / "scale.md").read_text(encoding="utf-8")
    match = re.search(rf"<!-- program: {name} -->\n```python\n(.*?)```\n", page, re.DOTALL)
    assert match is not None
    return match[1]


@pytest.fixture(scope="module")
def pictures() -> list[bytes | None]:
    samples = [path.read_bytes() for path in sorted((ROOT / "docs" / "samples").glob("*.png"))]
    return [BAD.get(i, samples[i % len(samples)]) for i in range(NUM_IMAGES)]


@pytest.fixture
def place(tmp_path: Path, pictures: list[bytes | None]) -> Path:
    """Return a folder with pictures in Parquet files, as they are stored for many readers."""
    (tmp_path / "scans").mkdir()
    for number, start in enumerate(range(0, NUM_IMAGES, 250)):
        part = pictures[start : start + 250]
        columns = {
            "id": pa.array(range(start, start + 250)),
            "image": pa.array(part, pa.binary()),
        }
        pq.write_table(pa.table(columns), tmp_path / "scans" / f"{number}.parquet")
    return tmp_path


@pytest.fixture
def home() -> Iterator[Path]:
    """Return a folder for what the programs keep; its name is short, as Ray's sockets need it."""
    folder = Path(tempfile.mkdtemp(prefix="exprocr-"))
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def run(code: str, place: Path, home: Path) -> None:
    """Run a program, and check that nothing of it is left."""
    places = {"HOME": str(home), "HF_HOME": str(home / "hf"), "PYTHONPATH": str(ROOT)}
    (place / "program.py").write_text(code)
    try:
        done = subprocess.run(
            [sys.executable, "program.py"],
            cwd=place,
            env=os.environ | QUIET | places,
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        assert until(lambda: not left(home)), left(home)
    finally:
        for pid in left(home):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


def left(home: Path) -> list[int]:
    """Return the processes that name a folder in their command line."""
    found = []
    for file in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            if os.fsencode(home) in file.read_bytes():
                found.append(int(file.parent.name))
    return found


def until(condition: Callable[[], bool]) -> bool:
    end = time.monotonic() + 60
    while not (reached := condition()) and time.monotonic() < end:
        time.sleep(0.1)
    return reached


def check(rows: list[dict[str, Any]], pictures: list[bytes | None]) -> None:
    """Check that the readings are those of `Recognizer`, each beside its own id."""
    assert [row["id"] for row in rows] == list(range(NUM_IMAGES))
    contents = {content for content in pictures if content is not None}
    recognizer = Recognizer.load()
    expected = dict(zip(contents, recognizer.stream(contents), strict=True))
    assert sum(isinstance(each, Prediction) for each in expected.values()) == 6
    for row, picture in zip(rows, pictures, strict=True):
        reading = None if picture is None else expected[picture]
        found = [row[name] for name in NEW]
        if isinstance(reading, Prediction):
            value = format_value(reading.value, reading.text) or None
            assert found == [reading.text, value, reading.confidence, ""]
        else:
            assert found[:2] == [None, None]
            assert math.isnan(found[2])
            assert found[3] == "expected a picture, found none" or (
                isinstance(reading, ExprocrError) and found[3] == str(reading)
            )


RAY = """
import os
import ray
from exprocr import BatchRecognizer

ray.init(num_cpus=3, include_dashboard=False, _temp_dir={home!r})
ray.data.DataContext.get_current().wait_for_min_actors_s = 300

class Noting(BatchRecognizer):
    def __call__(self, batch):
        return super().__call__(batch) | {{"worker": [os.getpid()] * len(batch["id"])}}

{program}
ray.shutdown()
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@needs("ray", "'exprocr[ray]'")
def test_ray_reads_parquet_with_two_workers(
    place: Path, home: Path, pictures: list[bytes | None]
) -> None:
    shown = program("ray").replace("    BatchRecognizer,\n", "    Noting,\n")
    # So few pictures would be one block, for one worker.
    shown = shown.replace("scans.map_batches(", "scans.repartition(8).map_batches(")
    assert "Noting" in shown
    assert "repartition" in shown
    run(RAY.format(home=str(home), program=shown), place, home)
    rows = pq.read_table(place / "readings").to_pylist()
    assert set(rows[0]) == {"id", "worker", *NEW}
    assert len({row["worker"] for row in rows}) == 2
    check(sorted(rows, key=lambda row: row["id"]), pictures)


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@needs("datasets", "datasets")
def test_hugging_face_datasets_with_two_processes(
    place: Path, home: Path, pictures: list[bytes | None]
) -> None:
    run(program("datasets"), place, home)
    check(pq.read_table(place / "readings.parquet").to_pylist(), pictures)


STORED = """
from datasets import Dataset, Features, Image, Value
from exprocr import BatchRecognizer

scans = Dataset.from_parquet("scans/0.parquet")
stored = scans.cast(Features({"id": Value("int64"), "image": Image(decode=False)}))
readings = stored.map(BatchRecognizer(threads=1), batched=True, batch_size=100)
assert readings.features["image"] == stored.features["image"]
assert readings.with_format("arrow")["image"][:] == stored.with_format("arrow")["image"][:]
readings.remove_columns("image").to_parquet("stored.parquet")

decoded = stored.cast_column("image", Image()).select(range(7))
readings = decoded.map(BatchRecognizer(threads=1), batched=True, batch_size=100)
assert readings.with_format("arrow")["image"][:] == decoded.with_format("arrow")["image"][:]
readings.remove_columns("image").to_parquet("decoded.parquet")
"""


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
@needs("datasets", "datasets")
def test_pictures_of_hugging_face_are_read_and_not_encoded_again(
    place: Path, home: Path, pictures: list[bytes | None]
) -> None:
    run(STORED, place, home)
    recognizer = BatchRecognizer()
    for name, number in (("stored", 250), ("decoded", 7)):
        expected = recognizer({"image": pictures[:number]})
        table = pq.read_table(place / f"{name}.parquet")
        for column in NEW:
            assert list(map(repr, table[column].to_pylist())) == [
                repr(x.item() if column == "confidence" else x) for x in expected[column]
            ]


@needs("pandas", "pandas")
def test_pandas_tables(pictures: list[bytes | None]) -> None:
    """As Spark's ``mapInPandas`` gives them."""
    import pandas

    frame = pandas.DataFrame({"id": range(6, 9), "image": pictures[6:9]}, index=[5, 3, 1])
    before = frame.copy()
    (result,) = map(BatchRecognizer(threads=1), [frame])
    pandas.testing.assert_frame_equal(frame, before)
    pandas.testing.assert_frame_equal(result[["id", "image"]], before)
    expected = BatchRecognizer()({"image": pictures[6:9]})
    assert list(result.columns) == ["id", "image", *NEW]
    assert list(result["error"]) == list(expected["error"])
    assert list(result["text"].fillna("none")) == [x or "none" for x in expected["text"]]
    assert list(result["text"].isna()) == [False, True, False]
    assert list(result["confidence"].isna()) == [False, True, False]
