"""Parquet files and LMDB folders: pictures without files of their own."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exprocr.core.config.schema import PreprocessConfig
from exprocr.core.data import image_reader, parquet_file
from exprocr.core.data.dataset import DataSet, TablePaths, load_dataset
from exprocr.core.data.image_reader import load_images
from exprocr.core.data.labels import Sample
from exprocr.core.image.preprocess import load
from exprocr.core.runs.layout import VAL_NAME
from exprocr.core.runs.val_table import load_labeled
from exprocr.errors import DataError
from exprocr.training.run import RunSpec, read_data, write_run_files
from tests.support.data_sets import error_of, write_image, write_images
from tests.support.label_pages import data_of, label
from tests.support.tiny_runs import invoke, tiny_settings

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed")
pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow is not installed")
lmdb = pytest.importorskip("lmdb", reason="lmdb is not installed")

TEXTS = [f"{i}+{i + 1}" for i in range(10)]


def picture(index: int) -> bytes:
    """A picture of its own for each number."""
    image = Image.new("L", (60, 20), 255)
    image.paste(0, (5 * index, 2, 5 * index + 4, 18))
    image.save(file := io.BytesIO(), "PNG")
    return file.getvalue()


def write_parquet(
    path: Path, cells: Sequence[Any], texts: Sequence[Any] = TEXTS, group: int = 4, **names: str
) -> Path:
    """Write pictures as Hugging Face's structure; bytes alone where it is told a type."""
    path.parent.mkdir(parents=True, exist_ok=True)
    columns = {names.get("image", "image"): cells, names.get("text", "text"): texts}
    pq.write_table(pa.table(columns), path, row_group_size=group)
    return path


def hugging_face(num: int = len(TEXTS)) -> list[dict[str, Any]]:
    return [{"bytes": picture(i), "path": f"{i}.png"} for i in range(num)]


def write_lmdb(folder: Path, values: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    environment = lmdb.open(str(folder), map_size=2**24)
    with environment.begin(write=True) as writer:
        for key, value in values.items():
            writer.put(key.encode(), value)
    environment.close()
    return folder


def samples_of_lmdb(num: int = len(TEXTS)) -> dict[str, bytes]:
    """As deep-text-recognition-benchmark's create_lmdb_dataset.py writes them."""
    found = {f"image-{i + 1:09d}": picture(i) for i in range(num)}
    found |= {f"label-{i + 1:09d}": TEXTS[i].encode() for i in range(num)}
    return found | {"num-samples": str(num).encode()}


def a_parquet_file(folder: Path) -> Path:
    return write_parquet(folder / "data.parquet", hugging_face())


def an_lmdb_folder(folder: Path) -> Path:
    return write_lmdb(folder / "lmdb", samples_of_lmdb())


both = pytest.mark.parametrize("make", [a_parquet_file, an_lmdb_folder])
Make = Callable[[Path], Path]


def assert_all(samples: Sequence[Sample], indices: Sequence[int] = range(len(TEXTS))) -> None:
    config = PreprocessConfig(height=20)
    assert [sample.text for sample in samples] == [TEXTS[i] for i in indices]
    for sample, index in zip(samples, indices, strict=True):
        expected = load(picture(index), config).ink
        np.testing.assert_array_equal(load(sample.source, config).ink, expected)


@both
def test_pictures_are_read_where_they_are(tmp_path: Path, make: Make) -> None:
    path = make(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    data = load_dataset(path)
    assert_all(data.parts["all"])
    order = [7, 2, 9, 0, 1, 1, 4, 3]
    assert_all([data.parts["all"][i] for i in order], order)
    assert sorted(tmp_path.rglob("*")) == before
    names = {"data.parquet": "data.parquet/3", "lmdb": "lmdb/image-000000004"}
    assert str(data.parts["all"][3].path) == str(tmp_path / names[path.name])


@both
def test_pictures_are_read_by_processes(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(image_reader, "FEW", 0)
    monkeypatch.setattr(image_reader, "CHUNK_SIZE", 3)
    config = PreprocessConfig(height=20)
    inks = load_images(load_dataset(make(tmp_path)).parts["all"], config, workers=2)
    for index, ink in enumerate(inks):
        np.testing.assert_array_equal(ink, load(picture(index), config).ink)


@both
def test_a_run_on_them(tmp_path: Path, make: Make) -> None:
    """Its split names them, its table of validation files leads to them, and it can go on."""
    path = make(tmp_path)
    spec, data = read_data(RunSpec(settings=tiny_settings(val_fraction=0.3), data=str(path)))
    run = tmp_path / "run"
    run.mkdir()
    write_run_files(run, spec, data)
    found = load_labeled(run / VAL_NAME).parts["all"]
    assert [(s.path, s.text, s.stored) for s in found] == [
        (s.path, s.text, s.stored) for s in data.val
    ]
    assert_all(found, [TEXTS.index(sample.text) for sample in data.val])
    assert read_data(spec)[0].data_digest == spec.data_digest
    with (path / "data.mdb" if path.is_dir() else path).open("ab") as file:
        file.write(bytes(4096))
    if path.is_dir():
        with pytest.raises(DataError, match="found a changed one"):
            read_data(spec)


@both
def test_a_damaged_picture_is_named(tmp_path: Path, make: Make, request: Any) -> None:
    if make is a_parquet_file:
        cells = hugging_face()
        cells[5]["bytes"] = b"GIF89a"
        path = write_parquet(tmp_path / "data.parquet", cells)
        name = path / "5"
    else:
        path = write_lmdb(tmp_path / "l", samples_of_lmdb() | {"image-000000006": b"GIF89a"})
        name = path / "image-000000006"
    with pytest.raises(DataError, match="1 of 10 images cannot be read") as error:
        load_images(load_dataset(path).parts["all"], PreprocessConfig(height=20))
    assert f"cannot be read: {name}: expected a" in str(error.value)


# Parquet


@pytest.mark.parametrize("kind", ["binary", "large_binary"])
def test_a_column_of_bytes(tmp_path: Path, kind: str) -> None:
    cells = pa.array([picture(i) for i in range(10)], getattr(pa, kind)())
    path = write_parquet(tmp_path / "a.parquet", cells, image="Image", text="words")
    data = load_dataset(path)
    assert_all(data.parts["all"])
    assert data.layout == "Parquet file a.parquet; columns 'Image' and 'words'"


@pytest.mark.parametrize("structure", [False, True])
def test_paths_in_place_of_pictures(tmp_path: Path, structure: bool) -> None:
    write_images(tmp_path / "in", 2)
    names = ["in/0.png", "in/1.png"]
    cells: list[Any] = [{"bytes": None, "path": n} for n in names] if structure else [*names]
    path = write_parquet(tmp_path / "a.parquet", cells, TEXTS[:2])
    found = load_dataset(path).parts["all"]
    assert [sample.path for sample in found] == [tmp_path / name for name in names]
    write_image(tmp_path / "0.png")
    moved = path.rename(tmp_path / "in" / "a.parquet")
    cells[0] = {"bytes": None, "path": "../0.png"} if structure else "../0.png"
    write_parquet(moved, cells, TEXTS[:2])
    assert "row 0: image: expected a path inside" in error_of(moved)
    assert load_dataset(moved, TablePaths(images=tmp_path, allow_outside=True))


def test_parts_of_a_folder(tmp_path: Path) -> None:
    for name, num in (("train-00000-of-00002", 3), ("train-00001-of-00002", 2),
                      ("validation-00000-of-00001", 4), ("test-00000-of-00001", 1)):  # fmt: skip
        write_parquet(tmp_path / "data" / f"{name}.parquet", hugging_face(num), TEXTS[:num])
    data = load_dataset(tmp_path)
    assert_all(data.parts["train"], [0, 1, 2, 0, 1])
    assert_all(data.parts["val"], range(4))
    assert data.layout == "folder of 4 Parquet files, of which 2 for train and 1 for val"
    assert "not read: test-00000-of-00001.parquet" in data.warnings[0]
    for file in (tmp_path / "data").glob("train*"):
        file.unlink()
    assert load_dataset(tmp_path).layout == "folder of 2 Parquet files"


def test_rows_without_a_picture(tmp_path: Path) -> None:
    cells = hugging_face()
    cells[1] = {"bytes": None, "path": None}
    data = load_dataset(path := write_parquet(tmp_path / "a.parquet", cells))
    assert data.warnings == [f"{path}: 1 of 10 labels have no image: row 1 of a.parquet"]
    assert_all(data.parts["all"], [0, *range(2, 10)])


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        ({"image": [b"x"]}, "expected a column 'text', found 'image'"),
        ({"text": ["x"]}, "expected a column 'image', found 'text'"),
        ({"image": [b"x"], "text": [12]}, "row 0: text: expected visible characters"),
        ({"image": [b"x"], "text": [None]}, "row 0: text: expected visible characters"),
        ({"image": [3], "text": ["x"]}, "row 0: image: expected the bytes of a picture or a path"),
        ({"image": [[b"x"]], "text": ["x"]}, "row 0: image: expected the bytes of a picture or"),
        ({"image": [b"x"], "text": ["1" * 1001]}, "expected at most 1,000 characters"),
        ({"image": [b""][:0], "text": [""][:0]}, "expected labels, found none"),
    ],
)
def test_other_tables(tmp_path: Path, columns: dict[str, Any], expected: str) -> None:
    pq.write_table(pa.table(columns), path := tmp_path / "a.parquet")
    assert expected in error_of(path)


def test_a_damaged_parquet_file_is_one_line(tmp_path: Path) -> None:
    """Whatever is cut off or changed."""
    content = bytearray(a_parquet_file(tmp_path).read_bytes())
    path = tmp_path / "b.parquet"
    drawn = np.random.default_rng(0)
    path.write_bytes(b"PAR1" * 9)
    assert f"{path}: expected a readable Parquet file, found: " in error_of(path)
    for _ in range(60):
        damaged = content.copy()
        for position in drawn.integers(len(content), size=4):
            damaged[position] = drawn.integers(256)
        path.write_bytes(damaged[: drawn.integers(len(content)) if drawn.random() < 0.3 else None])
        with suppress(DataError):
            load_images(load_dataset(path).parts["all"], PreprocessConfig(height=20))


def test_one_huge_value_in_all_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Parquet stores it once: all rows together would take hundreds of times the file's size."""
    num = 400
    one = {"bytes": bytes(10**6), "path": None}
    path = write_parquet(tmp_path / "a.parquet", [one] * num, ["1"] * num, group=num)
    assert path.stat().st_size < 10**5
    monkeypatch.setattr(parquet_file, "MAX_BATCH_BYTES", 20 * 10**6)
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    try:
        samples = load_dataset(path).parts["all"]
        content = samples[300].source.content()  # type: ignore[union-attr]
    finally:
        pa.set_memory_pool(usual)
    assert (len(samples), len(content)) == (num, 10**6)
    assert 10**6 < pool.max_memory() < 60 * 10**6


def test_a_package_that_is_not_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path, package, extra in (
        (a_parquet_file(tmp_path), "pyarrow.parquet", "parquet"),
        (an_lmdb_folder(tmp_path), "lmdb", "lmdb"),
    ):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, package, None)
            message = error_of(path)
        assert message.startswith(f"{path}: reading ")
        assert message.endswith(f": pip install 'exprocr[{extra}]'")


# LMDB


def test_parts_in_lmdb(tmp_path: Path) -> None:
    for name in ("training", "validation"):
        write_lmdb(tmp_path / name, samples_of_lmdb(3))
    data = load_dataset(tmp_path)
    assert_all(data.parts["train"], range(3))
    assert_all(data.parts["val"], range(3))


def test_samples_that_are_incomplete(tmp_path: Path) -> None:
    values = samples_of_lmdb()
    del values["label-000000002"], values["image-000000004"]
    data: DataSet = load_dataset(path := write_lmdb(tmp_path / "l", values))
    assert data.warnings == [
        f"{path}: 1 of 10 images have no label: image-000000002",
        f"{path}: 1 of 10 labels have no image: image-000000004",
    ]
    assert_all(data.parts["all"], [0, 2, *range(4, 10)])


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({"a": b"1"}, "samples in 'num-samples', found none"),
        ({"num-samples": b"-1"}, "samples in 'num-samples', found '-1'"),
        ({"num-samples": b"99999999999"}, "expected a number of at most 10,000,000 samples"),
        ({"num-samples": b"0"}, "expected labels, found none"),
        ({"num-samples": b"1", "label-000000001": b"\xff"}, "label-000000001: expected UTF-8"),
        (
            {"num-samples": b"1", "label-000000001": b"1" * 9000, "image-000000001": b"x"},
            "label-000000001: text: expected at most 1,000 characters",
        ),
    ],
)
def test_other_lmdb_folders(tmp_path: Path, values: dict[str, bytes], expected: str) -> None:
    assert expected in error_of(write_lmdb(tmp_path / "l", values))


def test_a_damaged_lmdb_folder(tmp_path: Path) -> None:
    path = an_lmdb_folder(tmp_path)
    content = (path / "data.mdb").read_bytes()
    (path / "data.mdb").write_bytes(content[:-4096])
    assert error_of(path).endswith(": it is cut off")
    other = tmp_path / "other"
    other.mkdir()
    (other / "data.mdb").write_bytes(bytes(len(content)))
    assert f"{other}: expected a readable LMDB folder, found: " in error_of(other)


@both
def test_they_are_inspected_and_labeled(tmp_path: Path, make: Make, tiny_model: Path) -> None:
    data = make(tmp_path / "data")
    inspected = invoke(
        "inspect", data, "--sheet", tmp_path / "a.png", "--json", tmp_path / "a.json"
    )
    assert inspected.exit_code == 0, inspected.output
    facts = json.loads((tmp_path / "a.json").read_text())
    assert facts["sizes"] == [{"width": 60, "height": 20, "count": len(TEXTS)}]
    with Image.open(tmp_path / "a.png") as sheet:
        assert sheet.width > 60
    page = tmp_path / "page.html"
    labeled = label(tiny_model, "--labels", data, "-o", page)
    assert labeled.exit_code == 0, labeled.stderr
    found = data_of(page)["pictures"]
    # What the page saves leads to the same pictures.
    (tmp_path / "labels.csv").write_text(
        "image,text\n" + "".join(f"{picture['cell']},{picture['label']}\n" for picture in found)
    )
    paths = TablePaths(images=data if data.is_dir() else data.parent)
    samples = load_dataset(tmp_path / "labels.csv", paths).parts["all"]
    assert_all(sorted(samples, key=lambda sample: TEXTS.index(sample.text)))
