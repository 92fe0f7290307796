"""``exprocr visualize`` of parameter tensors: which are drawn, where to, and what is printed."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from PIL import Image

from exprocr.cli import group
from exprocr.core.model.artifact import MODEL_FILE_NAME, load_tensors, save_tensors
from exprocr.core.model.geometry import LAYERS
from exprocr.core.runs.layout import TENSORS_NAME
from exprocr.core.runs.tensor_record import PERCENTILES, TensorRecorder

Visualize = Callable[..., Result]
RECORDED = ("distributions", "history")

NAMES = {
    "conv1": ["conv1.0.weight", "conv1.1.weight", "conv1.1.bias"],
    "fc1": ["fc1.weight", "fc1.norm.weight", "fc1.norm.bias"],
    "fc2": ["fc2.weight", "fc2.bias"],
}


@pytest.fixture(scope="module")
def weights(tiny_model: Path) -> dict[str, np.ndarray]:
    """Return the model's parameters, in no order."""
    tensors, _ = load_tensors(tiny_model, "exprocr")
    return {k: v for k, v in tensors.items() if not re.search(r"running_|num_batches", k)}


def scaled(weights: dict[str, np.ndarray], step: int) -> dict[str, np.ndarray]:
    return {name: values * np.float32(1 + step / 8) for name, values in weights.items()}


@pytest.fixture
def run(tiny_model: Path, weights: dict[str, np.ndarray], tmp_path: Path) -> Path:
    """Return a run directory with a model and the record of two evaluations."""
    folder = tmp_path / "runs" / "a run"
    folder.mkdir(parents=True)
    shutil.copy(tiny_model, folder / MODEL_FILE_NAME)
    recorder = TensorRecorder(folder / TENSORS_NAME)
    for step in (16, 1032):
        recorder.add(step, scaled(weights, step))
    recorder.flush()
    return folder


@pytest.fixture
def visualize(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Visualize:
    """Return a function that runs the command in an empty folder."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def run(*args: object) -> Result:
        return CliRunner().invoke(group, ["visualize", "--kind", *map(str, args)])

    return run


def check_picture(path: str) -> None:
    """Check that a file is a PNG that shows something, and that there is no other."""
    with Image.open(path) as picture:
        picture.load()
    assert picture.format == "PNG"
    assert max(picture.size) <= 4000
    assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    assert [str(path) for path in Path().iterdir()] == [path]


def rows(result: Result) -> dict[str, list[str]]:
    """Return the rows of the table of tensors, by name."""
    assert result.exit_code == 0, result.stderr
    lines = [line.split() for line in result.stdout.splitlines()]
    return {line[0]: line[1:] for line in lines if line and "." in line[0] and line[0][0] != "─"}


def one_error(result: Result) -> str:
    """Check that a command ended with exit code 1 and one line of error; return it."""
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert not list(Path().iterdir())
    return line.removeprefix("exprocr: ")


def test_weights_of_a_model(
    visualize: Visualize, tiny_model: Path, weights: dict[str, np.ndarray]
) -> None:
    result = visualize("weights", "--model", tiny_model)
    check_picture("weights.png")
    table = rows(result)
    assert len(table) == len(weights) == 30
    assert [name for name in table if name.startswith("conv1")] == NAMES["conv1"]
    layers = [name.split(".")[0] for name in table]
    assert layers == sorted(layers, key=LAYERS.index)
    shape, num_values, *figures = table["fc2.weight"]
    values = weights["fc2.weight"].astype(np.float64)
    assert (shape, num_values) == ("16x16", "256")
    expected = values.mean(), values.std(), np.sqrt((values**2).sum())
    assert [float(figure) for figure in figures[:3]] == pytest.approx(expected, rel=5e-3)
    assert figures[3] == "0.0%"
    assert [float(f) for f in figures[4:]] == pytest.approx([values.min(), values.max()], rel=5e-3)
    assert table["conv1.1.bias"][1:] == ["4", "0", "0", "0", "100.0%", "0", "0"]
    total = sum(values.size for values in weights.values())
    for line in ("tensors +30", f"values +{total:,}", r"picture +weights\.png"):
        assert re.search(rf"^{line} *$", result.stdout, re.MULTILINE)


def test_weights_of_a_run_are_those_of_its_model(
    visualize: Visualize, run: Path, tiny_model: Path
) -> None:
    of_model = visualize("weights", "--model", tiny_model, "--layer", "fc1", "--output", "x.svg")
    of_run = visualize("weights", "--run", run, "--layer", "fc1", "--output", "y.svg")
    assert rows(of_run) == rows(of_model)
    assert "run a run" in Path("y.svg").read_text()
    assert "tiny.safetensors" in Path("x.svg").read_text()


def test_weights_that_diverged(visualize: Visualize, run: Path) -> None:
    tensors, entry = load_tensors(run / MODEL_FILE_NAME, "exprocr")
    tensors["fc2.bias"] = np.full(16, np.nan, dtype=np.float32)
    tensors["fc2.weight"][0, 0] = np.inf
    save_tensors(run / MODEL_FILE_NAME, tensors, {"exprocr": entry})
    result = visualize("weights", "--run", run, "--layer", "fc2")
    table = rows(result)
    assert table["fc2.bias"] == ["16", "16", *["-"] * 6]
    assert float(table["fc2.weight"][-1]) == pytest.approx(
        np.sort(tensors["fc2.weight"], None)[-2], rel=1e-2
    )
    assert re.search("^not finite +17, left out *$", result.stdout, re.MULTILINE)
    check_picture("weights-fc2.png")


def test_weights_of_the_model_in_the_package(visualize: Visualize) -> None:
    result = visualize("weights", "--layer", "fc2")
    assert list(rows(result)) == NAMES["fc2"]
    check_picture("weights-fc2.png")


@pytest.mark.parametrize("kind", RECORDED)
def test_what_moved(
    kind: str, visualize: Visualize, run: Path, weights: dict[str, np.ndarray]
) -> None:
    result = visualize(kind, "--run", run)
    check_picture(f"{kind}.png")
    table = rows(result)
    assert len(table) == len(weights)
    figures = [float(figure) for figure in table["fc2.weight"]]
    first, last = (
        np.percentile(scaled(weights, step)["fc2.weight"].astype(float), PERCENTILES)
        for step in (16, 1032)
    )
    expected = [first[4], last[4], first[7] - first[1], last[7] - last[1], last[0], last[8]]
    assert figures == pytest.approx(expected, rel=5e-3)
    for line in ("evaluations +2", "steps +16 to 1,032", rf"picture +{kind}\.png"):
        assert re.search(rf"^{line} *$", result.stdout, re.MULTILINE)


@pytest.mark.parametrize(
    ("layers", "name", "tensors"),
    [
        (["fc2"], "-fc2", NAMES["fc2"]),
        (["fc2,conv1"], "-conv1-fc2", NAMES["conv1"] + NAMES["fc2"]),
        (["fc1", "--layer", "fc1"], "-fc1", NAMES["fc1"]),
        (["fc1", "--layer", "all"], "", None),
    ],
)
@pytest.mark.parametrize("kind", ["weights", "history"])
def test_layers_are_chosen(
    kind: str, layers: list[str], name: str, tensors: list[str] | None,
    visualize: Visualize, run: Path,
) -> None:  # fmt: skip
    result = visualize(kind, "--run", run, "--layer", *layers)
    table = rows(result)
    assert sorted(table) == sorted(tensors) if tensors else len(table) == 30
    check_picture(f"{kind}{name}.png")


@pytest.mark.parametrize("kind", ["weights", *RECORDED])
def test_svg_and_other_places(kind: str, visualize: Visualize, run: Path) -> None:
    line = (kind, "--run", run, "--layer", "fc2", "--output", "deep/a.svg")
    assert visualize(*line).exit_code == 0
    text = Path("deep/a.svg").read_text()
    assert text.startswith("<?xml")
    assert f"{kind.capitalize()} of run a run" in text  # matplotlib writes texts in comments


@pytest.mark.parametrize("kind", ["weights", *RECORDED])
def test_an_unknown_layer(kind: str, visualize: Visualize, run: Path) -> None:
    for layer in ("conv4", "all,fc3", ""):
        message = one_error(visualize(kind, "--run", run / "none", "--layer", layer))
        assert "unknown layer" in message
        assert "conv1, conv2, conv3, fc1, gru1, gru2, fc2" in message


@pytest.mark.parametrize("kind", RECORDED)
def test_runs_without_a_record(kind: str, visualize: Visualize, run: Path) -> None:
    (run / TENSORS_NAME).write_bytes(b"damaged")
    message = one_error(visualize(kind, "--run", run))
    assert message.startswith(f"{run / TENSORS_NAME}: expected a first line of JSON, found b'dam")
    (run / TENSORS_NAME).unlink()
    message = one_error(visualize(kind, "--run", run))
    assert message.startswith(f"{run / TENSORS_NAME}: expected the record of a run's tensors")
    assert message.endswith("found none; exprocr train writes it at each evaluation")
    message = one_error(visualize(kind, "--run", run / "none"))
    assert message == f"{run / 'none'}: expected a run directory, found no such folder"
    message = one_error(visualize(kind, "--run", run / MODEL_FILE_NAME))
    assert message.endswith("model.safetensors: expected a run directory, found a file")


def test_a_record_without_the_layer(visualize: Visualize, run: Path) -> None:
    (run / TENSORS_NAME).unlink()
    recorder = TensorRecorder(run / TENSORS_NAME)
    recorder.add(1, {"fc1.weight": np.zeros(3, dtype=np.float32)})
    recorder.flush()
    message = one_error(visualize("history", "--run", run, "--layer", "gru1"))
    assert message == f"{run / TENSORS_NAME}: expected tensors of gru1, found none"


@pytest.mark.parametrize("kind", RECORDED)
def test_a_run_is_needed_and_a_model_is_not(kind: str, visualize: Visualize, run: Path) -> None:
    assert visualize(kind).exit_code == 2
    assert visualize(kind, "--run", run, "--model", "bundled").exit_code == 2
    assert visualize(kind, "--run", run, "--run", run).exit_code == 2


def test_files_that_are_no_models(visualize: Visualize, tmp_path: Path) -> None:
    assert "expected a model file, found none" in one_error(
        visualize("weights", "--model", tmp_path / "none")
    )


@pytest.mark.slow
def test_as_a_process(run: Path) -> None:
    for kind in RECORDED:
        line = ["visualize", "--kind", kind, "--run", str(run), "--layer", "fc1"]
        done = subprocess.run(
            [sys.executable, "-m", "exprocr", *line], capture_output=True, timeout=120, cwd=run
        )
        assert (done.returncode, done.stderr) == (0, b"")
        assert (run / f"{kind}-fc1.png").stat().st_size > 10_000
        assert b"fc1.norm.weight" in done.stdout
