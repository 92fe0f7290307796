"""``exprocr predict --resume``: taking up a run that was stopped or killed."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
import signal
import sys
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from exprocr.core.model.artifact import ModelFile
from exprocr.core.model.onnx_export import write_graph
from exprocr.core.reading.prediction import Prediction
from exprocr.core.reading.recognizer import Recognizer
from exprocr.errors import ImageError
from tests.support.predict_runs import Predict, draw, predict_with
from tests.support.processes import finish, start

Readings = Iterator[Prediction | ImageError]

BAD = (2, 5)
NUM_IMAGES = 8


@pytest.fixture(scope="module")
def scans(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of pictures, two of which are damaged."""
    folder = tmp_path_factory.mktemp("scans")
    for number in range(NUM_IMAGES):
        draw(folder / f"{number}.png", f"{number}+{9 - number}")
    for number in BAD:
        (folder / f"{number}.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every image be a chunk, so that a few images show what is read again.

    Processes that are started have the chunks that users have.
    """
    monkeypatch.setattr("exprocr.cli.predict.resume.CHUNK_SIZE", 1)


class Stop:
    """Stops readings after a number of images, and counts what is read."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.after: int | None = None
        self.read: list[str] = []
        stream = Recognizer.stream

        def stopping(recognizer: Recognizer, sources: Iterable[str]) -> Readings:
            given = list(sources)
            for source, result in zip(given, stream(recognizer, given), strict=True):
                if self.after is not None and len(self.read) == self.after:
                    raise KeyboardInterrupt
                self.read.append(Path(source).name)
                yield result

        monkeypatch.setattr(Recognizer, "stream", stopping)


@pytest.fixture
def stop(monkeypatch: pytest.MonkeyPatch) -> Stop:
    return Stop(monkeypatch)


def names(*numbers: int) -> list[str]:
    return [f"{number}.png" for number in numbers]


def errors(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("exprocr: /")]


def stopped(predict: Predict, stop: Stop, after: int, *args: object) -> Path:
    """Stop a run to the last argument; return what it leaves."""
    out = Path(str(args[-1]))
    stop.read.clear()
    stop.after = after
    assert predict(*args[:-1], "--output", out).exit_code == 130
    stop.after = None
    stop.read.clear()
    return out.with_name(f"{out.name}.partial")


def test_what_was_read_is_not_read_again(
    predict: Predict, scans: Path, tmp_path: Path, stop: Stop
) -> None:
    unbroken, out = tmp_path / "unbroken.jsonl", tmp_path / "out" / "o.jsonl"
    expected = predict(scans, "--output", unbroken)
    assert (expected.exit_code, len(errors(expected))) == (1, 2)
    stop.read.clear()
    partial = stopped(predict, stop, 5, scans, out)
    assert sorted(os.listdir(out.parent)) == ["o.jsonl.partial", "o.jsonl.partial.run"]
    assert partial.read_bytes() == b"".join(unbroken.read_bytes().splitlines(True)[:4])
    result = predict(scans, "--output", out, "--resume", quiet=False)
    assert stop.read == names(2, 5, 6, 7)  # those that could not be read are tried again
    assert (result.exit_code, errors(result)) == (1, errors(expected))
    assert "4 readings of an earlier run are kept" in result.stderr
    assert "Read 2 images in " in result.stderr
    assert out.read_bytes() == unbroken.read_bytes()
    assert os.listdir(out.parent) == ["o.jsonl"]


def test_without_anything_to_take_up_all_is_read(
    predict: Predict, scans: Path, tmp_path: Path, stop: Stop
) -> None:
    out = tmp_path / "o.jsonl"
    out.write_text("earlier\n")
    (tmp_path / "o.jsonl.partial").write_text("nobody knows of what\n")
    result = predict(scans, "--output", out, "--resume")
    assert result.exit_code == 1
    assert stop.read == names(*range(NUM_IMAGES))
    assert len(out.read_text().splitlines()) == 6
    assert sorted(os.listdir(tmp_path)) == ["o.jsonl", "o.jsonl.partial"]


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(where=st.floats(0, 1), torn=st.binary(max_size=40))
@example(where=0.0, torn=b"")
@example(where=1.0, torn=b"")
@example(where=0.5, torn=b"\0" * 40)
@example(where=0.3, torn=b"\n{}\n")
def test_cut_off_anywhere_the_end_is_the_same(
    predict: Predict, scans: Path, tmp_path: Path, stop: Stop, where: float, torn: bytes
) -> None:
    unbroken, out = tmp_path / "unbroken.jsonl", tmp_path / "out" / "o.jsonl"
    if not unbroken.exists():
        assert predict(scans, "--output", unbroken).exit_code == 1
    partial = stopped(predict, stop, NUM_IMAGES - 1, scans, out)
    whole = unbroken.read_bytes()
    begun = whole[: round(where * len(whole))]
    partial.write_bytes(begun + torn)
    result = predict(scans, "--output", out, "--resume")
    assert (result.exit_code, len(errors(result))) == (1, 2)
    assert out.read_bytes() == whole
    assert os.listdir(out.parent) == ["o.jsonl"]
    kept = [
        Path(json.loads(line)["path"]).name for line in begun.splitlines()[: begun.count(b"\n")]
    ]
    assert not set(kept) & set(stop.read)


def test_what_counts_counts_also_where_it_was_read_before(
    predict: Predict, scans: Path, tmp_path: Path, stop: Stop
) -> None:
    for bar, code in ((1.0, 3), (0.0, 0)):
        (tmp_path / str(code)).mkdir()
        out = tmp_path / str(code) / "o.jsonl"
        stopped(predict, stop, 4, f"{scans}/[01346]*", "--min-confidence", bar, out)
        args = (f"{scans}/[01346]*", "--min-confidence", bar, "--output", out, "--resume")
        result = predict(*args)
        assert stop.read == names(6)
        assert result.exit_code == code
        assert ("5 of 5 readings rejected" in result.stderr) == (code == 3)


def test_images_that_appear(predict: Predict, scans: Path, tmp_path: Path, stop: Stop) -> None:
    folder = shutil.copytree(scans, tmp_path / "scans")
    (folder / "1.png").unlink()
    out = tmp_path / "o.jsonl"
    partial = stopped(predict, stop, 5, folder, out)
    assert len(partial.read_text().splitlines()) == 3  # of 0, 3, 4
    draw(folder / "9.png", "1+1")  # after the last line
    predict(folder, "--output", out, "--resume")
    assert stop.read == names(2, 5, 6, 7, 9)
    again = predict(folder, "--output", tmp_path / "again.jsonl")
    assert again.exit_code == 1
    assert out.read_bytes() == (tmp_path / "again.jsonl").read_bytes()
    stopped(predict, stop, 6, folder, out)
    draw(folder / "2.png", "2+2")  # it is sound now
    result = predict(folder, "--output", out, "--resume")
    assert len(errors(result)) == 1
    assert stop.read == names(2, 2, 3, 4, 5, 6, 7, 9)
    predict(folder, "--output", tmp_path / "again.jsonl")
    assert out.read_bytes() == (tmp_path / "again.jsonl").read_bytes()
    assert len(out.read_text().splitlines()) == 7


def test_images_that_vanish_lose_no_reading(
    predict: Predict, scans: Path, tmp_path: Path, stop: Stop
) -> None:
    folder = shutil.copytree(scans, tmp_path / "scans")
    out = tmp_path / "out" / "o.jsonl"
    partial = stopped(predict, stop, 5, folder, out)
    before = partial.read_bytes()
    (folder / "3.png").unlink()
    draw(folder / "2.png", "2+2")
    result = predict(folder, "--output", out, "--resume")
    assert result.exit_code == 1
    assert [line for line in result.stderr.splitlines() if line.startswith("exprocr")] == [
        f"exprocr: {partial}: expected the images that the run began with, in their order; "
        f"{folder}/3.png is not among them; without --resume all images are read anew"
    ]
    assert stop.read == []
    assert partial.read_bytes() == before
    assert len(os.listdir(out.parent)) == 2
    listed = tmp_path / "list.txt"
    listed.write_text("\n".join(f"{scans}/{name}" for name in names(1, 0)))
    partial = stopped(predict, stop, 2, f"{scans}/[01].png", f"{scans}/3.png", out)
    result = predict("--from-file", listed, "--output", out, "--resume")  # in another order
    assert (result.exit_code, stop.read) == (1, [])
    result = predict(scans, "--output", out, quiet=False)
    assert "What an earlier run wrote that did not end is in " in result.stderr
    assert len(out.read_text().splitlines()) == 6
    assert partial.read_bytes()


@pytest.mark.parametrize(
    ("option", "named"),
    [
        ("--grammar=digits", "grammar"),
        ("--grammar=lexicon:LEXICON", "grammar"),
        ("--decoder=greedy", "decoder"),
        ("--beam-width=11", "beam_width"),
        ("--by-value", "by_value"),
        ("--n-best=2", "n_best"),
        ("--min-confidence=0.5", "min_confidence"),
        ("--engine=torch", "engine"),
    ],
)
def test_other_options_are_refused(
    predict: Predict, scans: Path, tmp_path: Path, stop: Stop, option: str, named: str
) -> None:
    lexicon = tmp_path / "lexicon.txt"
    lexicon.write_text("1+2\n")
    option = option.replace("LEXICON", str(lexicon))
    out = tmp_path / "out" / "o.jsonl"
    for before, now in (([], [option]), ([option], [])):
        partial = stopped(predict, stop, 4, scans, *before, out)
        content = partial.read_bytes()
        result = predict(scans, *now, "--output", out, "--resume")
        assert result.exit_code == 1
        assert f"{partial}: expected to go on with {named} " in result.stderr
        assert "without --resume all images are read anew" in result.stderr
        assert stop.read == []
        assert partial.read_bytes() == content
        shutil.rmtree(out.parent)


def test_another_model_is_refused(
    scans: Path, tmp_path: Path, tiny_model: Path, stop: Stop
) -> None:
    model, out = tmp_path / "m.safetensors", tmp_path / "out" / "o.jsonl"
    shutil.copy(tiny_model, model)
    write_graph(ModelFile.load(model), model.with_suffix(".onnx"))
    stop.after = 4
    assert predict_with(model, scans, "--output", out).exit_code == 130
    stop.after = None
    warmer = replace(ModelFile.load(model), temperature=2.0)
    warmer.save(model)
    result = predict_with(model, scans, "--output", out, "--resume")
    assert result.exit_code == 1
    assert "expected to go on with model_digest " in result.stderr


def test_another_lexicon_of_the_same_name_is_refused(
    predict: Predict, scans: Path, tmp_path: Path, stop: Stop
) -> None:
    lexicon, out = tmp_path / "lexicon.txt", tmp_path / "out" / "o.jsonl"
    lexicon.write_text("1+2\n")
    option = f"--grammar=lexicon:{lexicon}"
    stopped(predict, stop, 4, scans, option, out)
    lexicon.write_text("1+3\n")
    result = predict(scans, option, "--output", out, "--resume")
    assert (result.exit_code, stop.read) == (1, [])
    assert "expected to go on with texts_digest " in result.stderr


def test_the_run_that_fits_is_taken_up(
    predict: Predict, scans: Path, tmp_path: Path, stop: Stop
) -> None:
    out = tmp_path / "o.jsonl"
    first = stopped(predict, stop, 4, scans, "--n-best", 2, out)
    stopped(predict, stop, 7, scans, out)
    assert predict(scans, "--output", out, "--resume").exit_code == 1
    assert stop.read == names(2, 5, 7)
    assert sorted(os.listdir(tmp_path)) == ["o.jsonl", first.name, f"{first.name}.run"]
    # Another format takes nothing up, and is never taken up.
    assert predict(scans, "--output", out, "--format", "csv").exit_code == 1
    stop.read.clear()
    assert predict(scans, "--n-best", 2, "--output", out, "--resume").exit_code == 1
    assert stop.read == names(2, 4, 5, 6, 7)
    assert os.listdir(tmp_path) == ["o.jsonl"]


def test_only_wrong_readings_are_not_taken_up(
    predict: Predict, scans: Path, tmp_path: Path, stop: Stop
) -> None:
    out = tmp_path / "o.jsonl"
    stopped(predict, stop, 4, scans, "--only-wrong", out)
    assert predict(scans, "--output", out, "--resume").exit_code == 1
    assert stop.read == names(*range(NUM_IMAGES))


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_a_run_that_goes_on_is_left_alone(
    predict: Predict, scans: Path, tmp_path: Path, stop: Stop
) -> None:
    import fcntl

    out = tmp_path / "o.jsonl"
    partial = stopped(predict, stop, 4, scans, out)
    content = partial.read_bytes()
    with partial.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        result = predict(scans, "--output", out, "--resume")
        assert (result.exit_code, stop.read) == (1, [])
        assert result.stderr == f"exprocr: {partial}: another process is writing it\n"
        assert predict(scans, "--output", out).exit_code == 1  # without it: beside the other
    assert partial.read_bytes() == content
    assert len(out.read_text().splitlines()) == 6


@pytest.mark.skipif(sys.platform == "win32", reason="no locks there")
def test_a_file_system_without_locks(
    predict: Predict, scans: Path, tmp_path: Path, stop: Stop, monkeypatch: pytest.MonkeyPatch
) -> None:
    import fcntl

    def no_locks(*args: object) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    out = tmp_path / "o.jsonl"
    (tmp_path / "o.jsonl.partial").touch()  # another process may have begun it
    stopped(predict, stop, 4, scans, out)
    assert predict(scans, "--output", out, "--resume").exit_code == 1
    assert stop.read == names(2, 4, 5, 6, 7)
    assert sorted(os.listdir(tmp_path)) == ["o.jsonl", "o.jsonl.partial"]
    assert not (tmp_path / "o.jsonl.partial").stat().st_size


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "found standard output"),
        (["--output", "o.csv"], "found --format csv"),
        (["--output", "o.jsonl", "--format", "tsv"], "found --format tsv"),
        (["--output", "o.jsonl", "--only-wrong"], "--only-wrong leaves some out"),
        (["--output", "o.jsonl", "-"], "found -, which is read only once"),
    ],
)
def test_what_cannot_be_resumed(
    predict: Predict, images: Path, options: list[str], message: str
) -> None:
    result = predict(images, "--resume", *options)
    assert (result.exit_code, result.stdout) == (2, "")
    assert message in " ".join(result.stderr.split())


STOPPING = """
import os, signal, sys
from exprocr import Recognizer, cli

after, number = int(sys.argv.pop(1)), int(sys.argv.pop(1))
stream = Recognizer.stream

def stopping(recognizer, sources):
    for done, result in enumerate(stream(recognizer, sources)):
        if done == after:
            os.kill(os.getpid(), number)
        yield result

if __name__ == "__main__":
    Recognizer.stream = stopping
    cli.main()
"""
"""The program, which sends itself a signal after a number of images."""


@pytest.fixture(scope="module")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of pictures, more than are decoded together; some are damaged."""
    folder = tmp_path_factory.mktemp("many")
    for number in range(10):
        draw(folder / f"{number}.png", f"{number}*{9 - number}")
    for number in range(10, 300):
        os.link(folder / f"{number % 10}.png", folder / f"{number}.png")
    for number in (0, 100, 101, 299):
        (folder / f"{number}.png").unlink()
        (folder / f"{number}.png").write_bytes(b"no picture")
    return folder


@pytest.fixture(scope="module")
def unbroken(many: Path, tiny_model: Path) -> bytes:
    """Return what an unbroken run writes."""
    out = many.parent / f"{many.name}.jsonl"
    assert predict_with(tiny_model, many, "--output", out).exit_code == 1
    return out.read_bytes()


@pytest.mark.skipif(sys.platform == "win32", reason="no signals there")
@pytest.mark.parametrize(
    ("sent", "seed"),
    [
        ("SIGKILL", 0),
        ("SIGINT", 1),
        *(pytest.param("SIGKILL", seed, marks=pytest.mark.slow) for seed in range(2, 12)),
        *(pytest.param("SIGTERM", seed, marks=pytest.mark.slow) for seed in range(12, 15)),
    ],
)
def test_stopped_again_and_again_the_end_is_the_same(
    many: Path, unbroken: bytes, tiny_model: Path, tmp_path: Path, sent: str, seed: int
) -> None:
    rng = random.Random(seed)
    out, partial = tmp_path / "o.jsonl", tmp_path / "o.jsonl.partial"
    line = ["-q", "predict", many, "--model", tiny_model, "--output", out]
    for resume in ([], ["--resume"]):
        number = getattr(signal, sent)
        process = start(rng.randint(1, 140), int(number), *line, *resume, code=STOPPING)
        code, _, stderr = finish(process)
        assert code == (-number if sent == "SIGKILL" else 128 + number), stderr
        assert sorted(os.listdir(tmp_path)) == [partial.name, f"{partial.name}.run"]
        assert unbroken.startswith(partial.read_bytes())
        if sent == "SIGKILL":  # a machine that fails tears a line
            os.truncate(partial, max(partial.stat().st_size - rng.choice((0, 1, 1000)), 0))
    code, _, stderr = finish(start(*line, "--resume"))
    assert (code, len(stderr.splitlines())) == (1, 4)
    assert out.read_bytes() == unbroken
    assert os.listdir(tmp_path) == [out.name]
