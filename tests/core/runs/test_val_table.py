"""A run's own table of validation files: which table is taken for one."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from exprocr.core.data.dataset import load_dataset
from exprocr.core.runs.layout import SPLIT_NAME, VAL_NAME
from exprocr.core.runs.val_table import is_val_table, load_labeled
from exprocr.errors import DataError
from exprocr.training.run import RunSpec, read_data, write_run_files
from tests.support.data_sets import contest, write_image
from tests.support.tiny_runs import tiny_settings


def new_run(run: Path, data: Path) -> Path:
    """Write the files of a run on a data set; return its table."""
    run.mkdir()
    spec = RunSpec(settings=tiny_settings(val_fraction=0.5), data=str(data))
    write_run_files(run, *read_data(spec))
    return run / VAL_NAME


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return new_run(tmp_path / "run", contest(tmp_path / "data"))


def refused(path: Path) -> None:
    assert not is_val_table(path)
    with pytest.raises(DataError, match=r"line \d: image: expected a path inside"):
        load_labeled(path)


def test_what_a_run_wrote_leads_to_its_data(own: Path, tmp_path: Path) -> None:
    assert {sample.path.parent for sample in load_labeled(own).parts["all"]} == {tmp_path / "data"}
    with pytest.raises(DataError):
        load_dataset(own)


@pytest.mark.skipif("os.name == 'nt'", reason="no such file names")
@pytest.mark.parametrize("name", ["a\rb", "a\nb", "a\r\nb", 'a"b', "a,b", "a\u2028b", "=a", "-a"])
def test_folders_with_odd_names(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for start in (tmp_path, Path()):  # absolute, and beginning with the odd name
        data = contest(start / name)
        own = new_run(tmp_path / f"run{len(start.parts)}", data)
        found = load_labeled(own) if start.parts else load_dataset(own.rename("table.csv"))
        assert len(found.parts["all"]) == 2
        assert {sample.path.parent.resolve() for sample in found.parts["all"]} == {data.resolve()}


def test_a_table_that_was_added_to(own: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "mine.png")
    with own.open("a") as file:
        file.write(f"{tmp_path / 'mine.png'},1+1\n")
    refused(own)


def test_a_table_that_names_another_file(own: Path, tmp_path: Path) -> None:
    write_image(tmp_path / "mine.png")
    header, _, last = own.read_text().splitlines()
    own.write_text(f"{header}\n{tmp_path / 'mine.png'},1+1\n{last}\n")
    refused(own)


def test_a_table_elsewhere_or_of_another_name(own: Path, tmp_path: Path) -> None:
    for place in (own.with_name("labels.csv"), tmp_path / VAL_NAME):
        shutil.copy(own, place)
        refused(place)


def test_beside_another_split(own: Path) -> None:
    own.with_name(SPLIT_NAME).write_text('{"val": []}')
    refused(own)


@pytest.mark.parametrize(
    "split", ["", "{", "[]", "{}", "1", '{"val": 1}', '{"val": [1, null]}', "[" * 100_000, "\0"]
)
def test_beside_a_damaged_split(own: Path, split: str) -> None:
    path = own.with_name(SPLIT_NAME)
    path.write_text(split)
    with pytest.raises(DataError, match=SPLIT_NAME) as caught:
        load_labeled(own)
    assert str(caught.value).startswith(f"{path}")
