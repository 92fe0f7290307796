"""Data sets as Hugging Face's own package writes and reads them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exprocr.core.data.dataset import load_dataset
from exprocr.core.image.preprocess import load_image
from tests.support.data_sets import TEXTS, write_image

datasets = pytest.importorskip("datasets", reason="the package datasets is not installed")

# It leaves files open that it has read.
pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    datasets.disable_progress_bars()
    yield
    gc.collect()  # so that what it leaves open is not found in a later test


def pictures() -> list[Image.Image]:
    drawn = np.random.default_rng(0)
    return [Image.fromarray(drawn.integers(256, size=(20, 60), dtype=np.uint8)) for _ in TEXTS]


def test_parquet_with_the_pictures(tmp_path: Path) -> None:
    images = pictures()
    written = datasets.Dataset.from_dict({"image": images, "text": TEXTS})
    written.to_parquet(path := tmp_path / "train.parquet")
    samples = load_dataset(path).parts["all"]
    assert [sample.text for sample in samples] == TEXTS
    for sample, image in zip(samples, images, strict=True):
        np.testing.assert_array_equal(np.asarray(load_image(sample.source)), np.asarray(image))


def test_parquet_with_paths(tmp_path: Path) -> None:
    """Pictures that come from files are not put in, but named by their absolute paths."""
    for index in range(len(TEXTS)):
        write_image(tmp_path / f"{index}.png")
    paths = [str(tmp_path / f"{index}.png") for index in range(len(TEXTS))]
    written = datasets.Dataset.from_dict({"image": paths, "text": TEXTS})
    written.cast_column("image", datasets.Image()).to_parquet(path := tmp_path / "a.parquet")
    with pytest.raises(Exception, match="give --allow-outside"):
        load_dataset(path)


@pytest.mark.parametrize("suffix", [".csv", ".jsonl"])
def test_an_image_folder_is_read_as_they_read_it(tmp_path: Path, suffix: str) -> None:
    folder = tmp_path / "set"
    for part in ("train", "validation"):
        (folder / part).mkdir(parents=True)
        for index in range(len(TEXTS)):
            write_image(folder / part / f"{index}.png", shade=10 * index)
        rows = datasets.Dataset.from_dict(
            {"file_name": [f"{index}.png" for index in range(len(TEXTS))], "text": TEXTS}
        )
        file = folder / part / f"metadata{suffix}"
        rows.to_csv(file) if suffix == ".csv" else rows.to_json(file)
    theirs = datasets.load_dataset(
        "imagefolder", data_dir=str(folder), cache_dir=str(tmp_path / "cache")
    )
    ours = load_dataset(folder)
    for part, name in (("train", "train"), ("val", "validation")):
        assert [s.text for s in ours.parts[part]] == theirs[name]["text"][:] == TEXTS
        for sample, image in zip(ours.parts[part], theirs[name]["image"], strict=True):
            np.testing.assert_array_equal(np.asarray(load_image(sample.path)), np.asarray(image))
