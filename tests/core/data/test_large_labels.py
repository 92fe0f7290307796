"""Label files with very long or very many rows."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from exprocr.core.data import labels
from exprocr.core.data.dataset import load_dataset
from exprocr.core.data.labels import TablePaths
from exprocr.errors import DataError


def table(tmp_path: Path, rows: str) -> Path:
    path = tmp_path / "a.csv"
    path.write_text(f"image,text,value\n{rows}")
    return path


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            "a.png," + "1" * 1001 + ",",
            "line 2: text: expected at most 1,000 characters, found 1,001",
        ),
        ("a.png," + "1" * 10**6 + ",", "line 2: expected at most 100,000 bytes, found more"),
        (
            "a.png," + "1\u3000" * 10_000 + ",",
            "expected visible characters, with blanks only between them, found '1\\u30001",
        ),
        (
            f"a.png,1,{'x' * 50_000}",
            "value: expected an integer, a decimal or a fraction p/q, found 'xxx",
        ),
        (f"{'a' * 50_000}.png,1,1\n", "1 of 1 labels have no image: aaa"),
    ],
)
def test_long_rows_are_refused_in_a_short_message(tmp_path: Path, rows: str, message: str) -> None:
    with pytest.raises(DataError) as error:
        load_dataset(table(tmp_path, rows))
    assert message in str(error.value)
    assert len(str(error.value)) < len(str(tmp_path)) + 300


def test_the_longest_label(tmp_path: Path) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "a.png")
    text = "1+" * 499 + "10"
    data = load_dataset(table(tmp_path, f"a.png,{text},1\n"))
    assert [sample.text for sample in data.parts["all"]] == [text]
    (warning,) = data.warnings
    assert "line 2: 1+1+1+" in warning
    assert len(warning) < len(str(tmp_path)) + 300


def test_too_many_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(labels, "MAX_LABELS", 5)
    path = table(tmp_path, "a.png,1,1\n" * 5)
    with pytest.raises(DataError, match=r"a\.csv: expected at most 5 lines, found more"):
        load_dataset(path)


def test_many_pictures_are_found_as_few_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Links, folders, other names of a folder and missing files are as if looked up one by one."""
    inside = tmp_path / "in"
    (inside / "folder.png").mkdir(parents=True)
    for name in ("a.png", "b.png"):
        Image.new("L", (2, 2)).save(inside / name)
    (inside / "link.png").symlink_to("a.png")
    (inside / "broken.png").symlink_to("none.png")
    (tmp_path / "in2").symlink_to("in")
    Image.new("L", (2, 2)).save(tmp_path / "c.png")
    names = ["in/a.png", "in2/b.png", "in/link.png", "in//b.png", "in/../c.png", "c.png"]
    names += [str(inside / "a.png"), "./c.png"]
    missing = ["in/folder.png", "in/broken.png", "in/d.png", "none/a.png", "c.png/a.png"]
    path = table(tmp_path, "".join(f"{name},1,1\n" for name in [*names, *missing]))
    expected = load_dataset(path, TablePaths(allow_outside=True))
    assert [sample.path for sample in expected.parts["all"]] == [tmp_path / name for name in names]
    monkeypatch.setattr(labels, "MANY", 1)
    assert load_dataset(path, TablePaths(allow_outside=True)) == expected
    assert "5 of 13 labels have no image: in/folder.png" in expected.warnings[0]
