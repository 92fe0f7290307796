"""Data sets written by hand with Pillow, and what loading them says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import pytest
from PIL import Image

from exprocr.core.data.dataset import Sample, TablePaths, load_dataset
from exprocr.errors import DataError

TEXTS = ["(7+5)+4", "1-2*3", "9*9-(1+2)", "4/2+1"]
VALUES = [Fraction(16), Fraction(-5), Fraction(78), Fraction(3)]
LABELS = "".join(f"{t} {v}\n" for t, v in zip(TEXTS, VALUES, strict=True))


def write_image(path: Path, width: int = 180, shade: int = 20) -> None:
    image = Image.new("RGB", (width, 60), "white")
    image.paste((shade,) * 3, (10, 10, 30, 50))
    image.save(path)


def write_images(folder: Path, num_images: int = len(TEXTS), suffix: str = ".png") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(num_images):
        write_image(folder / f"{index}{suffix}")
    return folder


def contest(folder: Path, labels: str | bytes = LABELS, num_images: int = len(TEXTS)) -> Path:
    write_images(folder, num_images)
    data = labels.encode() if isinstance(labels, str) else labels
    (folder / "labels.txt").write_bytes(data)
    return folder


def table(folder: Path, suffix: str, values: bool = True) -> Path:
    """A table without the csv module: image, text and, optionally, value."""
    write_images(folder / "pictures")
    names = [f"pictures/{i}.png" for i in range(len(TEXTS))]
    columns = [["image", *names], ["text", *TEXTS], ["value", *map(str, VALUES)]]
    rows = list(zip(*(columns if values else columns[:2]), strict=True))
    if suffix == ".jsonl":
        lines = [json.dumps(dict(zip(rows[0], row, strict=True))) for row in rows[1:]]
    else:
        lines = [("\t" if suffix == ".tsv" else ",").join(row) for row in rows]
    path = folder / f"labels{suffix}"
    path.write_text("\n".join(lines) + "\n")
    return path


def error_of(path: Path, paths: TablePaths | None = None) -> str:
    with pytest.raises(DataError) as caught:
        load_dataset(path, paths)
    message = str(caught.value)
    assert "\n" not in message
    return message


def assert_complete(samples: Sequence[Sample], num_samples: int = len(TEXTS)) -> None:
    assert [s.text for s in samples] == TEXTS[:num_samples]
    assert [s.value for s in samples] == VALUES[:num_samples]
    assert [s.path.stem for s in samples] == [str(i) for i in range(num_samples)]
    assert all(s.path.is_file() for s in samples)


def numbered(num_samples: int, text: str = "1+1") -> list[Sample]:
    return [Sample(Path(f"{i}.png"), text, f"labels.txt, line {i + 1}") for i in range(num_samples)]
