"""Bands and ridges read back from the figures, against the tensors they were recorded from."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.collections import PolyCollection
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.runs.tensor_record import (
    PERCENTILES,
    TensorRecord,
    TensorRecorder,
    read_tensor_record,
)
from exprocr.errors import ConfigError
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.plots.distributions import draw_distributions
from exprocr.viz.plots.history import draw_history, merge_bins

Tensors = Mapping[str, NDArray[np.float32]]
NAN = float("nan")


def tensors_at(step: int) -> dict[str, NDArray[np.float32]]:
    """Return tensors of a step: normal, first equal and later spread, and always equal ones."""
    rng = np.random.default_rng(step)
    values = {
        "conv1.0.weight": rng.normal(step / 100, 1 + step / 50, (40, 1, 5, 5)),
        "conv1.1.weight": 1 + rng.normal(size=40) * step / 1000,
        "fc2.bias": np.zeros(16),
    }
    return {name: array.astype(np.float32) for name, array in values.items()}


def record_of(folder: Path, tensors: Mapping[int, Tensors]) -> TensorRecord:
    path = folder / "tensors.bin"
    path.unlink(missing_ok=True)
    recorder = TensorRecorder(path)
    for step, of_step in tensors.items():
        recorder.add(step, of_step)
    recorder.flush()
    return read_tensor_record(path)


def record_at(folder: Path, *steps: int) -> TensorRecord:
    return record_of(folder, {step: tensors_at(step) for step in steps})


def bands_of(axes: Any) -> list[Any]:
    """Return what is filled, each with a collection of its own, in the order it is drawn."""
    return [item for item in axes.collections if isinstance(item, PolyCollection)]


def ridges_of(axes: Any) -> list[NDArray[Any]]:
    """Return the outlines of ridges, (points, 2), in the order they are drawn."""
    (ridges,) = bands_of(axes)
    outlines = [path.vertices[:-1] for path in ridges.get_paths()]
    for outline in outlines:
        assert outline[0, 1] == outline[-1, 1] == outline[:, 1].min()  # closed along its base
    return outlines


def outline(polygon: Any) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return x, the lower and the upper edge of what `fill_between` drew."""
    (path,) = polygon.get_paths()
    vertices = path.vertices[:-1]
    num = len(vertices) // 2 - 1
    lower, upper = vertices[1 : num + 1], vertices[num + 2 :][::-1]
    np.testing.assert_array_equal(lower[:, 0], upper[:, 0])
    return lower[:, 0], lower[:, 1], upper[:, 1]


def luminances(collection: Any) -> NDArray[Any]:
    return np.asarray(collection.get_facecolor()[:, :3] @ (0.299, 0.587, 0.114))


def test_the_bands_are_the_percentiles_of_the_tensors(tmp_path: Path) -> None:
    steps = [0, 10, 25, 60]
    record = record_at(tmp_path, *steps)
    figure = draw_distributions(record, list(record.names), "x")
    assert len(figure.axes) == 3
    for axes, name in zip(figure.axes, record.names, strict=True):
        expected = np.array([np.percentile(tensors_at(s)[name], PERCENTILES) for s in steps])
        lines: list[Any] = list(axes.lines)
        drawn = [line for line in lines if len(line.get_xdata()) == len(steps)]
        assert len(drawn) == 9
        for line, values in zip(drawn, expected.T, strict=True):
            assert line.get_xdata().tolist() == steps
            np.testing.assert_allclose(line.get_ydata(), values, rtol=1e-5, atol=1e-6)
        widths = [line.get_linewidth() for line in drawn]
        assert np.argmax(widths) == PERCENTILES.index(50)
        bands = bands_of(axes)
        for i, band in enumerate(bands):  # from the widest on
            x, low, high = outline(band)
            assert x.tolist() == steps
            np.testing.assert_allclose(low, expected[:, i], rtol=1e-5, atol=1e-6)
            np.testing.assert_allclose(high, expected[:, 8 - i], rtol=1e-5, atol=1e-6)
        shades = [luminances(band)[0] for band in bands]
        assert len(shades) == 4
        assert np.all(np.diff(shades) < -0.08)  # darker towards the median, in gray as well
        bottom, top = axes.get_ylim()
        assert bottom <= expected.min() <= expected.max() <= top
        assert axes.get_xlim() == (0, 60)


def test_only_tensors_asked_for_are_drawn_in_their_order(tmp_path: Path) -> None:
    record = record_at(tmp_path, 5, 10)
    for draw in (draw_distributions, draw_history):
        figure = draw(record, ["fc2.bias", "conv1.0.weight"], "a title")
        texts = [text.get_text() for text in figure.texts]
        assert texts[0] == "a title"
        places = [texts.index("fc2.bias"), texts.index("conv1.0.weight")]
        assert places == sorted(places)
        assert "conv1.1.weight" not in texts
        assert len(figure.axes) == 2
        assert {"step", "value", "40 x 1 x 5 x 5"} <= set(texts)


def test_one_evaluation(tmp_path: Path) -> None:
    record = record_at(tmp_path, 7)
    for axes, name in zip(
        draw_distributions(record, list(record.names), "x").axes, record.names, strict=True
    ):
        band = bands_of(axes)[0]
        x, low, high = outline(band)
        assert x.tolist() == [6.5, 7.5]  # wide enough to be seen
        assert low[0] == tensors_at(7)[name].min()
        assert high[0] == tensors_at(7)[name].max()
        assert [text.get_text() for text in axes.get_xticklabels()] == ["7"]
    figure = draw_history(record, list(record.names), "x")
    assert all(len(ridges_of(axes)) == 1 for axes in figure.axes)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["step 7"]


@pytest.mark.parametrize(("num", "most_points"), [(500, 500), (501, 500), (1000, 500)])
def test_many_evaluations_are_thinned_and_that_is_said(
    num: int, most_points: int, tmp_path: Path
) -> None:
    values = {"fc2.bias": np.arange(3, dtype=np.float32)}
    record = record_of(tmp_path, dict.fromkeys(range(1, num + 1), values))
    figure = draw_distributions(record, ["fc2.bias"], "x")
    x = outline(bands_of(figure.axes[0])[0])[0]
    assert (x[0], x[-1], len(x)) == (1, num, most_points)
    assert set(np.diff(x).tolist()) <= {1, 2, 3}
    shown = (
        f"{num:,} evaluations" if num == most_points else f"{most_points} of {num:,} evaluations"
    )
    assert f" at {shown}." in " ".join(text.get_text() for text in figure.texts)
    figure = draw_history(record, ["fc2.bias"], "x")
    assert len(ridges_of(figure.axes[0])) == 25
    assert f" at 25 of {num:,} evaluations." in " ".join(text.get_text() for text in figure.texts)


def test_the_ridges_are_the_histograms_of_the_tensors(tmp_path: Path) -> None:
    steps = [0, 10, 25, 60]
    record = record_at(tmp_path, *steps)
    for axes, name in zip(
        draw_history(record, list(record.names[:2]), "x").axes, record.names, strict=False
    ):
        ridges = ridges_of(axes)
        assert len(ridges) == len(steps)
        for step, (x, y) in zip(steps, (ridge.T for ridge in ridges), strict=True):
            values = tensors_at(step)[name].astype(np.float64)
            if values.min() == values.max():
                assert set(x) == {1.0}
                continue
            num_bins = {1000: 48, 40: 12}[values.size]
            counts, edges = np.histogram(values, num_bins, (values.min(), values.max()))
            middles = (edges[1:] + edges[:-1]) / 2
            np.testing.assert_allclose(x, [edges[0], *middles, edges[-1]], atol=1e-12)
            heights = (y - y.min()) / np.ptp(y)
            np.testing.assert_allclose(heights, [0, *counts / counts.max(), 0], atol=1e-12)


def test_the_newest_ridge_is_in_front_lowest_and_darkest(tmp_path: Path) -> None:
    steps = list(range(0, 100, 10))
    record = record_at(tmp_path, *steps)
    axes = draw_history(record, ["conv1.0.weight"], "x").axes[0]
    ridges = ridges_of(axes)
    expected = [tensors_at(step)["conv1.0.weight"] for step in steps]
    for ridge, values in zip(ridges, expected, strict=True):
        assert ridge[[0, -1], 0].tolist() == [values.min(), values.max()]
    bases = [float(ridge[0, 1]) for ridge in ridges]
    np.testing.assert_allclose(np.diff(bases), -1)
    heights = [np.ptp(ridge[:, 1]) for ridge in ridges]
    np.testing.assert_allclose(heights, heights[0])  # that of the fullest bin, in each
    assert (np.diff(luminances(bands_of(axes)[0])) < -0.02).all()
    places = dict(zip(steps, bases, strict=True))
    texts = [text.get_text() for text in axes.get_yticklabels()]
    labels = dict(zip(texts, axes.get_yticks(), strict=True))
    assert {"0", "90"} <= set(labels)
    assert 4 <= len(labels) <= 6
    assert all(places[int(label)] == tick for label, tick in labels.items())
    low, high = axes.get_ylim()
    assert low < min(bases)
    assert high > max(float(ridge[:, 1].max()) for ridge in ridges)


def test_bins_are_merged_to_what_few_values_can_fill() -> None:
    rng = np.random.default_rng(0)
    for num_values, num_bins in [(1, 4), (9, 6), (16, 8), (64, 16), (288, 24), (10_000, 48)]:
        values = rng.normal(size=num_values)
        edges = np.linspace(-5, 5, 49)
        merged, merged_edges = merge_bins(np.histogram(values, edges)[0].astype(np.uint32), edges)
        np.testing.assert_allclose(merged_edges, np.linspace(-5, 5, num_bins + 1), atol=1e-12)
        assert merged.tolist() == np.histogram(values, merged_edges)[0].tolist()


def test_a_network_that_diverged(tmp_path: Path) -> None:
    def at(step: int) -> Tensors:
        weight = np.array([1, 2, 3, 10.0 ** min(step, 38)], dtype=np.float32)
        bias = np.ones(4, dtype=np.float32)
        if step >= 20:
            weight[0] = NAN
            bias[:] = -np.inf
        return {"weight": weight, "bias": bias}

    record = record_of(tmp_path, {step: at(step) for step in range(0, 50, 10)})
    for draw in (draw_distributions, draw_history):
        figure = draw(record, list(record.names), "x")
        save_picture(figure, tmp_path / "x.png")
        notes = [[text.get_text() for text in axes.texts] for axes in figure.axes]
        assert notes == [["up to 1 not finite"], ["up to 4 not finite"]]
    assert len(ridges_of(figure.axes[1])) == 2  # ridges of steps 0 and 10
    nothing = record_of(tmp_path, {5: {"x": np.full(3, NAN, dtype=np.float32)}})
    for draw in (draw_distributions, draw_history):
        figure = draw(nothing, ["x"], "x")
        save_picture(figure, tmp_path / "x.png")
        assert [text.get_text() for text in figure.axes[0].texts] == ["no finite value"]


@pytest.mark.parametrize("draw", [draw_distributions, draw_history])
def test_files(draw: Any, tmp_path: Path) -> None:
    record = record_at(tmp_path, 0, 5, 12)
    for name in ("a.png", "a.svg", "b.svg"):
        save_picture(draw(record, list(record.names), "x"), tmp_path / name)
    with Image.open(tmp_path / "a.png") as picture:
        assert 700 < max(picture.size) <= 4000
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")


def test_too_many_tensors_are_refused(tmp_path: Path) -> None:
    values = np.zeros(1, dtype=np.float32)
    record = record_of(tmp_path, {1: {f"conv1.{i}.bias": values for i in range(400)}})
    for draw in (draw_distributions, draw_history):
        with pytest.raises(ConfigError, match=r"found 400; choose layers with --layer"):
            draw(record, list(record.names), "x")
