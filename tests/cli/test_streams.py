"""The standard streams closed, full, or unread: what is on standard output, and the exit codes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.support.data_sets import contest
from tests.support.predict_runs import draw
from tests.support.processes import closing, run

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="closes streams as a shell does")


@pytest.mark.parametrize("closed", [(2,), (0, 1, 2)], ids=["stderr", "all"])
def test_predict_with_closed_streams(closed: tuple[int, ...], image: Path, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.png"
    damaged.write_text("no picture")
    file = tmp_path / "o.tsv"
    code, stdout, _ = run(
        *("predict", damaged, image, damaged, "--output", file), preexec_fn=closing(*closed)
    )
    assert (code, stdout) == (1, "")
    (line,) = file.read_text().splitlines()
    assert line.split("\t")[0] == str(image)


def test_eval_with_closed_stderr(tmp_path: Path) -> None:
    data = contest(tmp_path / "data", "(7+5)+4 16\n1-2*3 -5\n", num_images=2)
    done = run("eval", data, "--json", tmp_path / "closed.json", preexec_fn=closing(2))
    assert done[0] == 0
    assert done[1].startswith("Evaluation")
    assert (tmp_path / "closed.json").exists()


def test_a_bar_of_the_user_is_still_an_exit_code(image: Path) -> None:
    code, stdout, _ = run(
        "predict", image, "--min-confidence", "1", "--format", "tsv", preexec_fn=closing(2)
    )
    assert code == 3
    assert len(stdout.splitlines()) == 1


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
@pytest.mark.parametrize("kind", ["full", "unread"])
def test_stderr_that_cannot_be_written(kind: str, tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    draw(tmp_path / "1.png")
    names = ["0.png", "1.png", "2.png"]  # the first and the last are missing
    with open("/dev/full" if kind == "full" else writer, "w") as stderr:
        code, stdout, _ = run("-v", "predict", *names, cwd=tmp_path, stderr=stderr)
        assert code == 1
        assert [line.split("\t")[0] for line in stdout.splitlines()] == ["1.png"]
        assert run("predict", "--nonsense", stderr=stderr)[:2] == (2, "")
    if kind == "full":
        os.close(writer)


def test_closed_stdin_and_stdout(tmp_path: Path) -> None:
    code, _, stderr = run("predict", "-", preexec_fn=closing(0))
    assert (code, stderr) == (1, "exprocr: standard input: expected a picture, found nothing\n")
    assert run("--version", preexec_fn=closing(1)) == (0, "", "")
