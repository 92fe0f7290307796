"""``exprocr predict``: inputs, formats, and what cannot be read."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import pytest
from click.testing import CliRunner

from exprocr.cli import group
from exprocr.cli.inputs import numeric_order
from exprocr.cli.options import Session
from exprocr.cli.predict.partial import open_lines
from exprocr.core.reading.prediction import Prediction
from exprocr.core.reading.recognizer import Recognizer
from exprocr.core.text.expression import format_value
from exprocr.errors import OutputError
from exprocr.words import format_confidence
from tests.support.predict_runs import Predict, draw, tsv


def test_folder_in_numeric_order_as_the_api_reads_it(
    predict: Predict, images: Path, tiny_model: Path
) -> None:
    result = predict(images)
    assert (result.exit_code, result.stderr) == (0, "")
    paths = [str(images / f"{number}.png") for number in (0, 2, 10)]
    expected = Recognizer.load(tiny_model).predict(paths)
    assert tsv(result) == [
        [p.path, p.text, format_value(p.value), format_confidence(p.confidence), ""]
        for p in expected
    ]


def test_numeric_order() -> None:
    names = ["b1", "10.png", "2.png", "a", "02.png", "a10", "a9"]
    assert sorted(names, key=numeric_order) == ["2.png", "02.png", "10.png", "a", "a9", "a10", "b1"]


def test_globs_and_names_with_brackets(predict: Predict, images: Path) -> None:
    odd = draw(images / "x[2].png")
    assert [row[0] for row in tsv(predict(odd))] == [str(odd)]
    result = predict(f"{images}/[0-9]*.png")
    assert [Path(row[0]).name for row in tsv(result)] == ["0.png", "2.png", "10.png"]


def test_stdin(predict: Predict, images: Path) -> None:
    picture = (images / "2.png").read_bytes()
    [from_file], [from_stdin] = tsv(predict(images / "2.png")), tsv(predict("-", stdin=picture))
    assert from_stdin == ["-", *from_file[1:]]


@pytest.mark.parametrize(
    ("content", "found"), [(b"", "found nothing"), (b"words", "no known image format")]
)
def test_stdin_that_is_no_image(predict: Predict, content: bytes, found: str) -> None:
    result = predict("-", stdin=content)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("exprocr: standard input: expected a picture")
    assert found in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_bad_images_are_reported_and_the_others_read(predict: Predict, images: Path) -> None:
    picture = (images / "0.png").read_bytes()
    (images / "3.png").write_bytes(b"")
    (images / "4.png").write_bytes(picture[: len(picture) // 2])
    (images / "5.png").symlink_to("nowhere")
    missing, pattern = images / "missing.png", images / "*.jpg"
    (images / "empty").mkdir()
    result = predict(missing, images, pattern, images / "empty")
    assert result.exit_code == 1
    assert [Path(row[0]).name for row in tsv(result)] == ["0.png", "2.png", "10.png"]
    lines = result.stderr.splitlines()
    bad = [missing, pattern, images / "empty", *(images / f"{n}.png" for n in (3, 4, 5))]
    assert len(lines) == len(bad)
    for line, path in zip(lines, bad, strict=True):
        assert line.startswith(f"exprocr: {path}: ")


def test_nothing_to_read_does_not_load_a_model(tmp_path: Path) -> None:
    args = ["predict", "--model", str(tmp_path / "no-model"), str(tmp_path / "no.png")]
    result = CliRunner().invoke(group, args)
    assert result.exit_code == 1
    assert "no-model" not in result.stderr


def test_folder_without_images(predict: Predict, tmp_path: Path) -> None:
    (tmp_path / "notes.md").write_text("x")
    result = predict(tmp_path)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"exprocr: {tmp_path}: expected images")


@pytest.mark.parametrize("content", [None, b"no safetensors"])
def test_no_model(images: Path, content: bytes | None, tmp_path: Path) -> None:
    model = tmp_path / "m.safetensors"
    if content:
        model.write_bytes(content)
    result = CliRunner().invoke(group, ["predict", "--model", str(model), str(images)])
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith(f"exprocr: {model}: expected a")


def test_contest_format(predict: Predict, images: Path) -> None:
    (images / "12.png").write_bytes(b"")
    result = predict("--format", "contest", images)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert len(lines) == 13
    texts = {int(Path(row[0]).stem): row[1:3] for row in tsv(predict(images))}
    for number, line in enumerate(lines):
        assert line == " ".join(texts.get(number, [])).rstrip()


def test_contest_format_leaves_the_lines_of_missing_images_empty(
    predict: Predict, images: Path
) -> None:
    missing = [images / name for name in ("7.png", "cover.png", "8*.png")]
    result = predict("--format", "contest", images / "0.png", *missing)
    assert result.exit_code == 1
    lines = result.stdout.splitlines()
    assert len(lines) == 8
    assert lines[0]
    assert lines[1:] == [""] * 7
    assert len(result.stderr.splitlines()) == 3


def test_contest_format_wants_numbers_once(predict: Predict, images: Path, tmp_path: Path) -> None:
    result = predict("--format", "contest", images, draw(tmp_path / "2.png"))
    assert (result.exit_code, result.stdout) == (1, "")
    assert str(images / "2.png") in result.stderr
    result = predict("--format", "contest", draw(images / "cover.png"))
    assert result.exit_code == 1
    assert "cover.png" in result.stderr


@pytest.mark.parametrize(
    ("name", "start"),
    [("o.csv", "path,text,value,confidence,holds\n"), ("o.jsonl", '{"path": '), ("o.out", "")],
)
def test_output_file(predict: Predict, images: Path, tmp_path: Path, name: str, start: str) -> None:
    file = tmp_path / "new" / name
    result = predict(images, "--output", file, quiet=False)
    assert (result.exit_code, result.stdout) == (0, "")
    assert f"Written to {file}." in result.stderr
    content = file.read_text()
    assert content.startswith(start)
    assert len(content.splitlines()) == 3 + (name == "o.csv")
    if name == "o.out":
        assert content == predict(images).stdout
    assert os.listdir(file.parent) == [name]


@pytest.mark.parametrize(
    ("error", "exit_code", "said"),
    [
        (KeyboardInterrupt(), 130, "exprocr: interrupted"),
        (OSError(errno.EIO, "no device", "/dev/x"), 1, "exprocr: /dev/x: no device"),
    ],
)
@pytest.mark.parametrize(("format_", "num"), [("tsv", 2), ("csv", 3), ("contest", 3), ("table", 4)])
def test_what_was_read_before_a_failure_is_kept(
    predict: Predict,
    images: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    exit_code: int,
    said: str,
    format_: str,
    num: int,
) -> None:
    def stream(_self: Recognizer, _sources: object) -> Iterator[Prediction]:
        yield from [Prediction(text="3", value=Fraction(3), confidence=0.5)] * 2
        raise error

    monkeypatch.setattr(Recognizer, "stream", stream)
    monkeypatch.setenv("COLUMNS", "1000")  # a table's rows are lines then
    file = tmp_path / "out" / "o.txt"
    result = predict(images, "--output", file, "--format", format_)
    assert result.exit_code == exit_code
    partial = file.with_name("o.txt.partial")
    assert [line for line in result.stderr.splitlines() if line] == [
        f"What was written so far, {num} lines, is in {partial}",
        said,
    ]
    assert os.listdir(file.parent) == [partial.name]
    assert len(partial.read_text().splitlines()) == num


def write_lines(file: Path) -> None:
    with open_lines(file, Session()) as stream:
        for number in range(10_000):
            stream.write(f"line {number}\n")


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of a file's size there")
def test_a_full_disk_leaves_the_complete_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import resource

    file = tmp_path / "o.tsv"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(OutputError) as caught:
            write_lines(file)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert str(caught.value).startswith(f"{file}: cannot be written: ")
    lines = (tmp_path / "o.tsv.partial").read_text().splitlines()
    assert lines == [f"line {number}" for number in range(len(lines))]
    assert len(lines) > 100
    assert f"{len(lines)} lines" in capsys.readouterr().err
    assert os.listdir(tmp_path) == ["o.tsv.partial"]


def test_verbose_says_what_reads(images: Path, tiny_model: Path) -> None:
    line = ["-v", "predict", "--model", str(tiny_model), "--decoder", "beam", str(images)]
    result = CliRunner().invoke(group, [*line, "--threads", "1"])
    assert result.exit_code == 0
    (said,) = result.stderr.splitlines()
    assert said.startswith(
        f"{tiny_model}: characters ()*+-0123456789, grammar none, decoder beam of width 10, "
        "temperature 1.000, "
    )
    assert re.search(r"temperature 1\.000, ONNX Runtime [0-9.]+ on cpu$", said)
    result = CliRunner().invoke(group, [*line, "--threads", "1", "--engine", "torch"])
    assert re.search(r"temperature 1\.000, PyTorch \S+ on cpu, threads: 1$", result.stderr.strip())


def test_output_that_cannot_be_written(predict: Predict, images: Path) -> None:
    result = predict(images, "--output", images / "0.png" / "o.tsv")
    assert result.exit_code == 1
    assert len(result.stderr.splitlines()) == 1


def test_table_ends_with_a_remark_unless_quiet(predict: Predict, images: Path) -> None:
    result = predict(images, "--format", "table", quiet=False)
    assert re.fullmatch(r"Read 3 images in .* s \(.* per second\) with .*\n", result.stderr)
    assert predict(images, "--format", "table").stderr == ""
    assert "image" in result.stdout.splitlines()[0]


@pytest.mark.parametrize(
    "option",
    [
        *("--beam-width=0", "--beam-width=1001", "--threads=0", "--device=tpu", "--format=x"),
        *("--n-best=0", "--n-best=1001", "--decoder=best"),
        *("--min-confidence=-0.1", "--min-confidence=1.1", "--min-confidence=nan"),
    ],
)
def test_usage_errors(predict: Predict, images: Path, option: str) -> None:
    assert predict(images, option).exit_code == 2


@pytest.mark.skipif(sys.platform == "win32", reason="file names are text there")
def test_process_passes_file_names_through(images: Path, tiny_model: Path) -> None:
    name = os.fsencode(images) + b"/\xff.png"
    with open(name, "wb") as file:
        file.write((images / "0.png").read_bytes())
    command = [sys.executable, "-m", "exprocr", "predict", "--model", str(tiny_model)]
    done = subprocess.run([*command, str(images)], capture_output=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, b"")
    paths = [line.split(b"\t")[0] for line in done.stdout.splitlines()]
    assert paths == [*(os.fsencode(images / f"{n}.png") for n in (0, 2, 10)), name]
    picture = (images / "0.png").read_bytes()
    done = subprocess.run([*command, "-"], input=picture, capture_output=True, timeout=120)
    assert done.stdout.startswith(b"-\t")
