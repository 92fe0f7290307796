"""The table of figures: how rates are counted, what each part says, what stops the measuring."""

from __future__ import annotations

import dataclasses
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from exprocr.core.evaluation.calibration import Calibration
from exprocr.synth.fonts import FontReport
from exprocr.synth.renderer import Renderer
from exprocr.training.run import RunSpec
from tests.benchmarks import __main__ as command
from tests.benchmarks import learning, measuring, reading, speed
from tests.benchmarks.measure_training import Evaluation, Learning, Plan, Trainings
from tests.benchmarks.measuring import Options, Row
from tests.benchmarks.processes import Usage
from tests.support.tiny_runs import BUILT_IN, tiny_settings

TINY = Options(repetitions=1, seconds=0.3, num_files=12, num_images=3, threads=1)


def number(pattern: str, text: str) -> float:
    """Return the number where a pattern of a row has #."""
    found = re.fullmatch(re.escape(pattern).replace(r"\#", r"([\d,.]+)"), text)
    assert found, text
    return float(found[1].replace(",", ""))


def test_a_rate_is_of_the_median_repetition_and_leaves_the_first_out() -> None:
    durations = [100.0, 3.0, 1.0, 2.0, 50.0, 1.5]
    now = [0.0]

    def work() -> None:
        now[0] += durations.pop(0)

    rate = measuring.median_rate(10, work, repetitions=5, clock=lambda: now[0])
    assert rate == 10 / statistics.median([3.0, 1.0, 2.0, 50.0, 1.5])


def test_reading_is_compared_with_fewer_files_and_with_one_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = []

    def exprocr(*arguments: object, output: Path | None = None) -> Usage:
        folder, threads = Path(str(arguments[1])), arguments[-2:]
        calls.append((len(list(folder.iterdir())), arguments[2:]))
        if threads == ("--threads", 1):
            return Usage(6.0, 5.0, 70)
        return Usage(3.0, 6.0, 90) if folder.name == "all" else Usage(0.5, 0.5, 60)

    monkeypatch.setattr(reading, "exprocr", exprocr)
    monkeypatch.setattr(reading, "ENGINES", ("onnx",))
    options = dataclasses.replace(TINY, num_files=30, threads=None, model="m")
    assert list(reading.reading_rows(options)) == [
        Row("30 PNG files, whole process, onnx", "10 images/s, peak 90 MB"),
        Row("memory, 3 and 30 files, onnx", "60 and 90 MB, ratio 1.50"),
        Row("processor time, threads default and 1, onnx", "6.0 and 5.0 s, ratio 1.20"),
        Row("30 PNG files, --threads 1, onnx", "5 images/s"),
    ]
    shared = ("--engine", "onnx", "--grammar", "level1", "--model", "m")
    assert calls == [(30, shared), (3, shared), (30, (*shared, "--threads", 1))]


def test_the_shell_reads_one_file_and_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "ENGINES", ("onnx",))
    (cold,) = reading.cold_start_rows(TINY)
    assert re.fullmatch(r"\d+\.\d\d s, peak \d+ MB", cold.result)
    many, memory, processor, single = reading.reading_rows(TINY)
    assert re.fullmatch(r"\d+ images/s, peak \d+ MB", many.result)
    assert number("# images/s", single.result) > 0
    # Twelve files take hardly more memory than one.
    assert float(memory.result.rpartition(" ")[2]) == pytest.approx(1, abs=0.2)
    assert re.fullmatch(r"[\d.]+ and [\d.]+ s, ratio [\d.]+", processor.result)


def test_rendering_and_decoding_are_measured(
    monkeypatch: pytest.MonkeyPatch, tiny_model: Path
) -> None:
    monkeypatch.setattr(speed, "find_fonts", lambda *args: FontReport([BUILT_IN]))
    monkeypatch.setattr(speed, "CHUNK", 4)
    own, captcha = speed.rendering_rows(TINY)
    assert own.what == "exprocr, 1 fonts, one core"
    (decoding,) = speed.decoding_rows(dataclasses.replace(TINY, model=str(tiny_model)))
    for row in (own, captcha, decoding):
        assert number("# images/s", row.result) > 0


def test_rendering_never_draws_an_image_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "CHUNK", 4)
    drawn: list[int] = []

    class Noting(Renderer):
        def sample(self, seed: int, stream: int, index: int) -> Any:
            drawn.append(index)
            return super().sample(seed, stream, index)

    speed.rendering_rate(Noting([BUILT_IN]), dataclasses.replace(TINY, repetitions=2, seconds=0.01))
    assert len(drawn) == len(set(drawn)) >= 3 * speed.CHUNK


def test_a_captcha_package_that_is_not_there_is_a_row(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "find_fonts", lambda *args: FontReport([BUILT_IN]))
    monkeypatch.setattr(speed, "CHUNK", 4)
    monkeypatch.setattr(speed, "version_of", lambda package: "not installed")
    assert [row.result for row in speed.rendering_rows(TINY)][1] == "not installed"


@pytest.mark.usefixtures("one_font")
def test_training_is_measured_on_ready_and_on_rendered_images(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(learning, "find_fonts", lambda *args, **kw: FontReport([BUILT_IN]))
    monkeypatch.setattr(learning, "NUM_IMAGES", 32)
    monkeypatch.setattr(learning, "VAL_IMAGES", 4)
    ready, rendered = learning.training_rows(TINY, {"tiny": tiny_settings()})
    assert ready.what == "tiny, ready images"
    assert number("# images/s", ready.result) > 0
    assert rendered.what == "tiny, --synth-mix 1"
    speeds = re.fullmatch(
        r"([\d,]+) images/s, (\d+\.\d\d) of ready images, [\d.]+% of the time waiting",
        rendered.result,
    )
    assert speeds


def test_training_counts_what_comes_after_the_warm_up(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]

    class Batches:
        def between(self, first_step: int, last_step: int) -> Iterator[Any]:
            for size in (100, 100, 100, 8, 8, 8, 8, 8, 4):
                now[0] += 5.0 if size == 100 else 0.25  # waited for
                yield SimpleNamespace(texts=["1"] * size)

    class Trainer:
        batches = Batches()

        def train(self, limits: Any, observer: Any, stop: Any) -> None:
            trained = 0.0
            for _ in self.batches.between(0, 9):
                now[0] += 0.75
                trained += 1.0
                observer.on_step(SimpleNamespace(elapsed_s=trained), {})
            observer.on_evaluation({})
            observer.on_calibration(Calibration)

    monkeypatch.setattr(learning, "read_data", lambda spec: (spec, None))
    monkeypatch.setattr(learning, "make_trainer", lambda *args: Trainer())
    monkeypatch.setattr("tests.benchmarks.learning.time.perf_counter", lambda: now[0])
    spec = RunSpec(settings=tiny_settings(synth_mix=1.0))
    # Of nine steps the first three are left out: 44 images in 6 s, of which 6 * 0.25 s waiting.
    measured = learning.training_speed(spec, 1.0)
    assert measured == learning.TrainingSpeed(images_per_s=44 / 6, waiting=0.25)


def test_a_training_for_each_time_given_says_when_it_passed_the_targets(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[Any] = []

    def record(seconds: float, exact: float) -> Evaluation:
        return Evaluation(seconds, {"val_exact_match": exact})

    def plan(self: Trainings, preset: str, minutes: float, evaluations: int) -> Plan:
        calls.append((self, preset, minutes))
        return Plan(int(1000 * minutes), 2, evaluations)

    def learn(self: Trainings, preset: str, plan: Plan) -> Learning:
        return Learning(plan, 1.0, 9.0, [record(61.5, 0.9), record(90, 0.9985), record(95, 0.999)])

    monkeypatch.setattr(Trainings, "plan", plan)
    monkeypatch.setattr(Trainings, "learn", learn)
    options = dataclasses.replace(TINY, recipe=Path("recipe"), minutes=(3.5, 15))
    passed = "90.0% after 1 min 01 s, 99.0% after 1 min 30 s, 99.9% after 1 min 35 s"
    assert list(learning.recipe_rows(options)) == [
        Row("default, planned for 3.5 min, 3,500 images x 2", passed),
        Row("default, planned for 15 min, 15,000 images x 2", passed),
    ]
    asked = ("--seed", "0", "--device", "auto", "--threads", "1")
    trainings = Trainings(Path("recipe"), asked)
    assert calls == [(trainings, "default", 3.5), (trainings, "default", 15)]
    (unasked,) = learning.recipe_rows(TINY)
    assert "not measured" in unasked.result


def test_a_part_that_fails_is_a_row_and_the_others_go_on(
    capsys: pytest.CaptureFixture[str],
) -> None:
    def good(options: Options) -> Iterator[Row]:
        yield Row("a", "1")

    def bad(options: Options) -> Iterator[Row]:
        yield Row("b", "2")
        raise RuntimeError("broken")

    def leaving(options: Options) -> Iterator[Row]:
        yield Row("d", "3")
        raise SystemExit("no fonts")

    def lacking(options: Options) -> Iterator[Row]:
        import no_such_package  # type: ignore[import-not-found]

        yield Row("c", no_such_package)

    parts = {"bad": bad, "leaving": leaving, "lacking": lacking, "good": good}
    assert list(command.measure(parts, TINY)) == [
        ("bad", Row("b", "2")),
        ("bad", Row("bad", "failed: RuntimeError: broken")),
        ("leaving", Row("d", "3")),
        ("leaving", Row("leaving", "failed: SystemExit: no fonts")),
        ("lacking", Row("lacking", "not installed: no_such_package")),
        ("good", Row("a", "1")),
    ]
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_keeps_what_was_measured(capsys: pytest.CaptureFixture[str]) -> None:
    def rows() -> Iterator[tuple[str, Row]]:
        yield "reading", Row("files", "7 images/s")
        raise KeyboardInterrupt

    table = Table("part", "what", "result")
    assert command.fill(table, rows()) == 130
    Console(width=100).print(table)
    printed = capsys.readouterr()
    assert re.search(r"reading\W+files\W+7 images/s", printed.out)
    assert printed.err == "reading: files: 7 images/s\n"


def test_options_choose_parts_and_how_thorough_they_are() -> None:
    parts, options = command.parse(["--only", "peers", "--only", "reading", "--fast"])
    assert list(parts) == ["reading", "peers"]
    assert options.repetitions == 1
    assert options.num_files == 1000
    assert command.parse(["--fast", "--num-files", "20"])[1].num_files == 20
    assert "recipe" not in command.parse([])[0]
    assert "recipe" in command.parse(["--recipe", "x"])[0]
    assert command.parse([])[1] == Options()
