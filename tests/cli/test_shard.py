"""Shares of the images, which many machines read together."""

from __future__ import annotations

import os
import subprocess
import sys
from collections import Counter
from itertools import chain
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exprocr.cli.inputs import find_inputs
from exprocr.cli.options import Session
from exprocr.cli.shard import Shard
from tests.support.predict_runs import Predict, draw, tsv

NAMES = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)

HASHES = {
    "0.png": 0x92715666316DB003,
    "1.png": 0x3965601614844FEA,
    "2.png": 0xC7808A285AD2C5CE,
    "3.png": 0x5CF7EB79AA30B70C,
    "4.png": 0x947F84AB7041A2D9,
    "5.png": 0xF58E81A0D6CA834B,
    "6.png": 0x8B285210A05386E2,
    "7.png": 0xE2AFA8665C332C35,
    "a/0.png": 0xD6D521CAD454D62C,
    os.fsdecode(b"a/\xff.png"): 0x0D2746A6C15EEF70,
    os.fsdecode("é/1.png".encode()): 0x7366473CA90A211E,
}
"""What ``printf NAME | b2sum -l 64`` prints."""


def number_of(path: str, total: int) -> int:
    (number,) = (k for k in range(1, total + 1) if Shard(k, total).holds(path))
    return number


@pytest.mark.parametrize("name", HASHES, ids=ascii)
@pytest.mark.parametrize("total", [1, 3, 100, 257])
def test_the_share_is_the_hash_of_the_path(name: str, total: int) -> None:
    assert number_of(name, total) == HASHES[name] % total + 1
    assert number_of(name.replace("/", os.sep), total) == HASHES[name] % total + 1


@pytest.mark.skipif(sys.platform == "win32", reason="file names are text there")
def test_the_share_is_the_same_in_every_process(tmp_path: Path) -> None:
    code = (
        "import sys; from exprocr.cli.shard import Shard\n"
        "print(*(k for n in sys.argv[1:] for k in range(1, 101) if Shard(k, 100).holds(n)))"
    )
    expected = " ".join(str(h % 100 + 1) for h in HASHES.values())
    for settings in ({"PYTHONHASHSEED": "1"}, {"LC_ALL": "C", "PYTHONUTF8": "0"}):
        done = subprocess.run(
            [sys.executable, "-c", code, *HASHES],
            env=os.environ | settings,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert done.stdout.strip() == expected


@given(st.lists(NAMES, max_size=30), st.integers(1, 40))
def test_shares_are_the_whole_and_share_nothing(names: list[str], total: int) -> None:
    shares = [[n for n in names if Shard(k, total).holds(n)] for k in range(1, total + 1)]
    assert Counter(chain.from_iterable(shares)) == Counter(names)
    # `names` may hold one twice: then both are in one share.
    assert sum(len(set(share)) for share in shares) == len(set(names))


@given(st.sets(NAMES, min_size=1), st.integers(1, 40), st.data())
def test_no_image_changes_its_share_when_others_go(
    names: set[str], total: int, data: st.DataObject
) -> None:
    left = data.draw(st.sets(st.sampled_from(sorted(names))))
    for number in range(1, total + 1):
        shard = Shard(number, total)
        assert {n for n in left if shard.holds(n)} == left & {n for n in names if shard.holds(n)}


@pytest.mark.parametrize("pattern", ["{}.png", "scans/{:08}.jpg", "{0}/page-{0}.png"])
def test_shares_are_about_equal(pattern: str) -> None:
    num_names, total = 20_000, 50
    counts = [0] * total
    for i in range(num_names):
        name = pattern.format(i)
        counts[next(k for k in range(total) if Shard(k + 1, total).holds(name))] += 1
    mean = num_names / total
    chi_square = sum((count - mean) ** 2 / mean for count in counts)
    # With 49 degrees of freedom, 0.1% of fair shares are below 24.0, and 0.1% above 85.4.
    assert 24.0 < chi_square < 85.4


@pytest.fixture
def tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder of scans in folders, which is the current one."""
    for folder in ("scans", "scans/a", "scans/b", "scans/a[1]"):
        (tmp_path / folder).mkdir()
        for number in range(8):
            draw(tmp_path / folder / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("paths", "below"),
    [
        (["scans"], "{name}"),
        (["scans/"], "{name}"),
        (["./scans/../scans"], "{name}"),
        (["scans/*.png"], "{name}"),
        (["scans/a", "scans/b/"], "{name}"),
        (["scans/a[[]1]"], "a[1]/{name}"),
        (["scans/?/*.png"], "{folder}/{name}"),
        (["scans/[ab]"], "{folder}/{name}"),
        (["scans/[ab]/"], "{folder}/{name}"),
        (["s*/a"], "scans/a/{name}"),
        (["scans/a/0.png", "scans/b/7.png"], "scans/{folder}/{name}"),
    ],
)
@pytest.mark.usefixtures("tree")
def test_the_path_below_what_was_given(paths: list[str], below: str) -> None:
    found, _, _ = find_inputs(paths, Session())
    assert found
    for item in found:
        *_, folder, name = item.path.split("/")
        assert item.below == below.format(folder=folder, name=name)


def test_a_pattern_from_the_root(tree: Path) -> None:
    found, _, _ = find_inputs([f"{tree}/**/0.png"], Session())
    assert {item.below for item in found} == {
        f"scans{folder}/0.png" for folder in ("", "/a", "/b", "/a[1]")
    }


def test_shares_of_folders_globs_and_lists_are_the_whole(predict: Predict, tree: Path) -> None:
    (tree / "scans" / "5.png").write_bytes(b"no picture")
    listed = ["scans/a/3.png", "scans/no-1.png", "./scans/b/4.png", "scans/no-2.png"]
    (tree / "list.txt").write_text("\n".join(listed))
    line = ["scans", "scans/[ab]/*.png", "scans/b/0.png", "--from-file", "list.txt"]
    whole = predict(*line)
    shares = [predict(*line, "--shard", f"{k}/3") for k in (1, 2, 3)]
    rows = [tsv(share) for share in shares]
    assert all(rows)
    assert Counter(map(tuple, chain.from_iterable(rows))) == Counter(map(tuple, tsv(whole)))
    for share in rows:  # in the order of the whole
        remaining = iter(tsv(whole))
        assert all(row in remaining for row in share)
    # What cannot be read is reported by one share, and counts in its exit code.
    said = [share.stderr.splitlines() for share in shares]
    assert Counter(chain.from_iterable(said)) == Counter(whole.stderr.splitlines())
    assert len(whole.stderr.splitlines()) == 3
    assert [share.exit_code for share in shares] == [int(bool(lines)) for lines in said]


def test_the_share_does_not_depend_on_where_the_folder_is(predict: Predict, tree: Path) -> None:
    expected = [n for n in range(8) if HASHES[f"{n}.png"] % 3 == 1]
    for folder in ("scans/a", f"{tree}/scans/b/", "scans/*.png"):
        rows = tsv(predict(folder, "--shard", "2/3"))
        assert [Path(row[0]).name for row in rows] == [f"{n}.png" for n in expected]


def test_a_share_without_images_has_an_output(predict: Predict, tree: Path) -> None:
    for number in range(1, 6):
        result = predict("scans/0.png", "--shard", f"{number}/5", "--output", f"{number}.tsv")
        assert (result.exit_code, result.stderr) == (0, "")
    sizes = [(tree / f"{number}.tsv").stat().st_size > 0 for number in range(1, 6)]
    assert sum(sizes) == 1
    result = predict("nowhere/*.png", "--shard", "1/2", "--output", "none.tsv")
    assert result.exit_code == 1
    assert not (tree / "none.tsv").exists()


@pytest.mark.parametrize(
    "options",
    [
        *(["--shard", value] for value in ("0/3", "4/3", "3", "a/b", "-1/3", "1/2000000", "1/3/4")),
        ["--shard", "1/3", "-"],
        ["--shard", "1/3", "--format", "contest"],
    ],
)
def test_what_is_no_share(predict: Predict, images: Path, options: list[str]) -> None:
    result = predict(images, *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert "expected" in result.stderr or "expects" in result.stderr
