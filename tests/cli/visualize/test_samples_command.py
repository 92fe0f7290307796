"""``exprocr visualize --kind samples``: which images are on the sheet, in which order."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from PIL import Image

from exprocr.cli import group
from exprocr.cli.visualize import samples as kind
from exprocr.core.config.schema import SynthConfig
from exprocr.core.image.preprocess import ImageSource
from exprocr.core.reading.prediction import Prediction
from exprocr.core.reading.recognizer import Recognizer
from exprocr.synth import fonts
from exprocr.synth.fonts import FontFile
from exprocr.synth.renderer import SAMPLE_STREAM, Renderer, load_renderer
from exprocr.synth.texts import ListedTexts
from exprocr.training import validation
from exprocr.training.run import RunSpec
from tests.support.pictures import matplotlib_fonts
from tests.support.tiny_runs import BUILT_IN, metrics, start, tiny_settings, write_files

SamplesOf = Callable[..., Result]
NUM = 12


@pytest.fixture
def samples(tiny_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SamplesOf:
    """Return a function that runs the command in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(fonts, "system_font_folders", list)

    def run(*args: object, model: Path | None = tiny_model) -> Result:
        line = ["visualize", *args, "--kind", "samples", "--threads", 1, "--device", "cpu"]
        line += ["--model", model] if model else []
        return CliRunner().invoke(group, [str(arg) for arg in line])

    return run


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return write_files(tmp_path / "data", NUM)


def read(model: Path, paths: Sequence[ImageSource]) -> list[Prediction]:
    return Recognizer.load(model, device="cpu", threads=1).predict(paths)


def images_in(data: Path) -> list[Path]:
    return [data / f"{i}.png" for i in range(NUM)]


def relabel(data: Path, model: Path, wrong: set[int]) -> list[Prediction]:
    """Label images with what the model reads in them, apart from those to be wrong."""
    readings = read(model, images_in(data))
    texts = [f"{r.text}{'1' * (i in wrong)}\n" for i, r in enumerate(readings)]
    (data / "labels.txt").write_text("".join(texts))
    return readings


def rows(result: Result) -> list[list[str]]:
    """Return the table of images: image, truth, read, confidence, right or wrong."""
    lines = [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()]
    return [line for line in lines if line[-1] in ("right", "wrong") and len(line) == 5]


def facts(result: Result) -> dict[str, str]:
    lines = [re.split(r"\s{2,}", line.strip()) for line in result.stdout.splitlines()]
    return {line[0]: line[1] for line in lines if len(line) == 2}


def one_error(result: Result) -> str:
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = [line for line in result.stderr.splitlines() if line.startswith("exprocr: ")]
    return line.removeprefix("exprocr: ")


def size_of(path: Path) -> tuple[int, int]:
    with Image.open(path) as picture:
        picture.load()
    assert picture.format == "PNG"
    return picture.size


def test_a_data_set(samples: SamplesOf, data: Path, tiny_model: Path) -> None:
    readings = relabel(data, tiny_model, wrong={2, 7})
    result = samples(data)
    assert result.exit_code == 0, result.stderr
    table = rows(result)
    assert [row[0] for row in table] == list(map(str, images_in(data)))
    assert [row[2] for row in table] == [reading.text for reading in readings]
    for row, reading in zip(table, readings, strict=True):
        assert float(row[3]) == pytest.approx(reading.confidence, abs=1e-4)
    assert [i for i, row in enumerate(table) if row[4] == "wrong"] == [2, 7]
    assert table[7][1] == readings[7].text + "1"
    assert facts(result) == {"images read": "12", "wrong": "2", "picture": "samples.png"}
    assert "one folder, labels in labels.txt" in result.stderr
    size_of(Path("samples.png"))


def test_the_first_ones_alone_are_read(samples: SamplesOf, data: Path, tiny_model: Path) -> None:
    relabel(data, tiny_model, wrong={4, 5})
    (data / "11.png").write_bytes(b"no picture")  # is not looked at
    result = samples(data, "--limit", 5)
    assert result.exit_code == 0
    assert [Path(row[0]).name for row in rows(result)] == [f"{i}.png" for i in range(5)]
    assert facts(result)["wrong"] == "1"


def test_errors_the_most_confident_first(samples: SamplesOf, data: Path, tiny_model: Path) -> None:
    wrong = {0, 3, 4, 8, 9, 11}
    readings = relabel(data, tiny_model, wrong)
    worst = sorted(wrong, key=lambda i: -readings[i].confidence)
    assert worst != sorted(wrong)
    result = samples(data, "--errors", "--output", "e.png")
    assert result.exit_code == 0
    assert [row[0] for row in rows(result)] == [str(images_in(data)[i]) for i in worst]
    assert facts(result) == {"images read": "12", "wrong": "6", "picture": "e.png"}
    few = samples(data, "--errors", "--limit", 2, "--output", "f.png")
    assert [row[0] for row in rows(few)] == [str(images_in(data)[i]) for i in worst[:2]]
    assert facts(few)["wrong"] == "6"
    assert size_of(Path("f.png"))[1] < size_of(Path("e.png"))[1]


def test_no_errors_is_a_sheet_that_says_so(
    samples: SamplesOf, data: Path, tiny_model: Path
) -> None:
    relabel(data, tiny_model, wrong=set())
    Path("samples.png").write_bytes(b"of an earlier model")
    result = samples(data, "--errors")
    assert result.exit_code == 0
    assert rows(result) == []
    assert facts(result)["wrong"] == "0"
    size_of(Path("samples.png"))


def test_validation_part_of_a_data_set(samples: SamplesOf, tmp_path: Path) -> None:
    write_files(tmp_path / "set" / "train", 4)
    val = write_files(tmp_path / "set" / "val", 3, seed=1)
    result = samples(tmp_path / "set")
    assert [row[0] for row in rows(result)] == [str(val / f"{i}.png") for i in range(3)]


def test_unreadable_images_are_reported_and_the_rest_is_shown(
    samples: SamplesOf, data: Path, tiny_model: Path
) -> None:
    relabel(data, tiny_model, wrong={5})
    (data / "3.png").write_bytes(b"no picture")
    for errors, shown in (([], [i for i in range(NUM) if i != 3]), (["--errors"], [5])):
        result = samples(data, *errors)
        assert result.exit_code == 1
        (line,) = [line for line in result.stderr.splitlines() if line.startswith("exprocr: ")]
        assert str(data / "3.png") in line
        assert [Path(row[0]).name for row in rows(result)] == [f"{i}.png" for i in shown]
        assert facts(result)["unreadable"] == "1, not counted"
        size_of(Path("samples.png"))


def test_nothing_but_unreadable_images(samples: SamplesOf, data: Path) -> None:
    for path in images_in(data):
        path.write_bytes(b"no picture")
    result = samples(data)
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.count("exprocr: ") == NUM
    assert not list(Path().iterdir())


def test_without_an_image_samples_are_rendered(samples: SamplesOf, tmp_path: Path) -> None:
    result = samples("--limit", 3, "--seed", 5)
    assert result.exit_code == 0, result.stderr
    renderer = Renderer([BUILT_IN])
    texts = [renderer.sample(5, SAMPLE_STREAM, i)[0] for i in range(3)]
    assert [row[1] for row in rows(result)] == texts


def test_a_run_shows_what_it_validated_on(
    samples: SamplesOf, tmp_path: Path, one_font: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = tmp_path / "run"
    start(RunSpec(settings=tiny_settings(synth_mix=1.0, epochs=1, val_images=5)), run)
    result = samples("--run", run, model=None)
    assert result.exit_code == 0, result.stderr
    expected = list(validation.validation_pictures(run))
    assert [row[1] for row in rows(result)] == [picture.text for picture in expected]
    found = read(run, [picture.source for picture in expected])
    assert [row[2] for row in rows(result)] == [reading.text or "(nothing)" for reading in found]
    (evaluation,) = [record for record in metrics(run) if record["kind"] == "evaluation"]
    assert int(facts(result)["wrong"]) == round(5 * (1 - evaluation["val_exact_match"]))
    config = tiny_settings(synth_mix=1.0).synth
    renderer, _ = load_renderer(replace(config, looks=("screen",)))
    other = samples("--run", run, "--look", "screen", "--output", "other.png", model=None)
    assert other.exit_code == 0, other.stderr
    first = [renderer.sample(0, SAMPLE_STREAM, i) for i in range(24)]
    assert [row[1] for row in rows(other)] == [text for text, _ in first]
    found = read(run, [picture for _, picture in first])  # of the size that the run renders
    assert [row[2] for row in rows(other)] == [reading.text or "(nothing)" for reading in found]


def test_a_table_and_its_images(samples: SamplesOf, data: Path, tmp_path: Path) -> None:
    table = tmp_path / "here" / "labels.csv"
    table.write_text("image,text\n0.png,1+1\n1.png,2+2\n")
    result = samples(table, "--images", data)
    assert [row[0] for row in rows(result)] == list(map(str, images_in(data)[:2]))
    table.write_text("image,text\n../data/0.png,1+1\n")
    assert "image: expected a path inside" in one_error(samples(table))
    assert len(rows(samples(table, "--allow-outside"))) == 1


def test_a_runs_model_reads_another_data_set(
    samples: SamplesOf, data: Path, tiny_model: Path
) -> None:
    Path("run").mkdir()
    Path("run/model.safetensors").write_bytes(tiny_model.read_bytes())
    result = samples(data, "--run", "run", model=None)
    assert [row[0] for row in rows(result)] == list(map(str, images_in(data)))


def test_what_goes_wrong_takes_one_line(samples: SamplesOf, data: Path, tmp_path: Path) -> None:
    image = data / "0.png"
    (tmp_path / "bare").mkdir()
    Image.open(image).save(tmp_path / "bare" / "a.png")
    for place, found in (
        (image, "path, a tab and a label in each line, found another kind of file"),
        (tmp_path / "bare", "found 1 image and no labels"),
        (tmp_path / "none", "found nothing there"),
    ):
        assert found in one_error(samples(place, model=Path("none.safetensors")))
    message = one_error(samples("--run", tmp_path / "bare", model=None))
    assert message.startswith(f"{tmp_path / 'bare'}: expected a run directory with config.toml")
    assert not list(Path().iterdir())


def test_errors_are_looked_for_in_many_rendered_samples(
    samples: SamplesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kind, "NUM_RENDERED", 7)
    result = samples("--errors", "--limit", 3)
    assert facts(result)["images read"] == "7"
    assert len(rows(result)) == 3  # the model knows nothing
    assert "know" not in result.stderr  # but all characters
    assert facts(samples("--errors", "--limit", 9))["images read"] == "9"


def test_what_is_odd_is_said(samples: SamplesOf, data: Path) -> None:
    (data / "3.png").unlink()
    result = samples(data)
    assert result.exit_code == 0
    assert "warning: " in result.stderr
    assert "1 of 12 labels have no image" in result.stderr


@pytest.mark.parametrize("options", [["--limit", "0"], ["--limit", "401"], ["--layer", "conv1"]])
def test_what_does_not_go_together_is_wrong_use(
    samples: SamplesOf, data: Path, options: list[str]
) -> None:
    assert samples(data, *options).exit_code == 2


def test_a_sheet_of_looks_without_a_file(
    samples: SamplesOf, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = samples("--look", "print,screen", "--limit", 6, "--seed", 2)
    assert result.exit_code == 0, result.stderr
    assert "images read  6" in result.stdout
    config = SynthConfig(looks=("print", "screen"))
    renderer, _ = load_renderer(config)
    texts = [renderer.sample(2, SAMPLE_STREAM, i)[0] for i in range(6)]
    rows = [line.split() for line in result.stdout.splitlines() if line.startswith("rendered")]
    assert [row[3] for row in rows] == texts
    with Image.open("samples.png") as sheet:
        assert sheet.width > 600


def test_a_sheet_of_texts_that_the_model_cannot_read(
    samples: SamplesOf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sans = FontFile("DejaVu Sans", "Book", str(matplotlib_fonts() / "DejaVuSans.ttf"))

    def load(config: SynthConfig) -> tuple[Renderer, None]:
        return Renderer([sans], config, ListedTexts(["2÷2=1"])), None

    monkeypatch.setattr(kind, "load_renderer", load)
    result = samples("--look", "print", "--limit", 3)
    assert result.exit_code == 0, result.stderr
    assert result.stdout.count("2÷2=1") == 3
    (warning,) = (line for line in result.stderr.splitlines() if "know" in line)
    assert warning == (
        "warning: the model does not know '=÷'; 3 of 3 images have such a character and can only "
        "be read wrong"
    )
    assert Path("samples.png").is_file()


def test_looks_are_for_rendered_samples(samples: SamplesOf, data: Path) -> None:
    result = samples(data, "--look", "print")
    assert result.exit_code == 2
    assert "options of rendered samples go without IMAGE." in result.stderr
