"""Pages of histograms: what is drawn is what was counted, and everything fits on the page."""

from __future__ import annotations

import statistics
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from exprocr.core.config.schema import PRESETS
from exprocr.core.model.network import Network
from exprocr.errors import ConfigError
from exprocr.viz.canvas.picture import save_picture
from exprocr.viz.plots.panels import Cell, fit, format_tick, layout, limits, short_name, thin
from exprocr.viz.plots.weights import draw_weights, tensor_stats

RNG = np.random.default_rng(0)
NAN = float("nan")


def floats(*values: float) -> NDArray[np.float32]:
    return np.array(values, dtype=np.float32)


def parameters(preset: str) -> dict[str, NDArray[Any]]:
    settings = PRESETS[preset]
    network = Network(settings.model, settings.preprocess.height, 16)
    return {name: p.detach().numpy() for name, p in network.named_parameters()}


def largest_network() -> dict[str, tuple[int, ...]]:
    """Return the shapes of the most tensors a configuration can ask for: 165."""
    shapes: dict[str, tuple[int, ...]] = {}
    for module in ("conv1", "conv2", "conv3"):
        for i in range(0, 48, 3):
            shapes[f"{module}.{i}.weight"] = (4096, 4096, 99, 99)
            shapes |= {f"{module}.{i + 1}.{part}": (4096,) for part in ("weight", "bias")}
    shapes["fc1.linear.weight"] = (10_000, 10_000)
    shapes |= {f"fc1.norm.{part}": (10_000,) for part in ("weight", "bias")}
    for gru in ("gru1.gru", "gru2.gru"):
        for way in ("", "_reverse"):
            for part in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"):
                shapes[f"{gru}.{part}_l0{way}"] = (30_000, 10_000)[: 2 if "weight" in part else 1]
    return shapes | {"fc2.weight": (16, 20_000), "fc2.bias": (16,)}


def texts(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.texts]


def boxes(figure: Figure) -> tuple[Any, list[Any], list[Any]]:
    """Return the places of the page, of the panels with their figures, and of all texts, px."""
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    panels = [axes.get_tightbbox(renderer) for axes in figure.axes]
    written = [text.get_window_extent(renderer) for text in figure.texts]
    return figure.bbox, panels, [*written, figure.legends[0].get_window_extent(renderer)]


def check_layout(figure: Figure) -> None:
    """Check that nothing lies over anything else or beyond the page."""
    page, panels, written = boxes(figure)
    things = panels + written
    for box in things:
        assert 0 <= box.x0 < box.x1 <= page.x1
        assert 0 <= box.y0 < box.y1 <= page.y1
    rows = np.array([(box.x0, box.y0, box.x1, box.y1) for box in things])
    left, bottom, right, top = rows.T[:, :, None]
    apart = (left >= right.T - 1) | (right <= left.T + 1) | (bottom >= top.T - 1)
    apart |= (top <= bottom.T + 1) | np.eye(len(rows), dtype=bool)
    assert apart.all()


def test_stats_by_hand() -> None:
    stats = tensor_stats(floats(0, 0, 3, -4).reshape(2, 2))
    assert (stats.shape, stats.num_values, stats.num_finite) == ((2, 2), 4, 4)
    assert (stats.mean, stats.norm, stats.zeros) == (-0.25, 5, 0.5)
    assert (stats.minimum, stats.maximum) == (-4, 3)
    assert stats.deviation == pytest.approx(statistics.pstdev([0, 0, 3, -4]))


def test_stats_leave_out_what_is_not_finite() -> None:
    stats = tensor_stats(floats(NAN, 1, float("inf"), 3, 0, float("-inf")))
    assert (stats.num_values, stats.num_finite) == (6, 3)
    assert (stats.minimum, stats.maximum) == (0, 3)
    assert stats.mean == pytest.approx(4 / 3)
    assert stats.zeros == pytest.approx(1 / 3)
    nothing = tensor_stats(floats(NAN))
    assert nothing.num_finite == 0
    assert np.isnan([nothing.mean, nothing.norm, nothing.zeros, nothing.maximum]).all()


def histogram(axes: Any) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return the counts and the edges of the histogram that is drawn."""
    (patch,) = axes.patches
    data = patch.get_data()
    return np.asarray(data.values), np.asarray(data.edges)


def vertical_lines(axes: Any) -> list[float]:
    """Return where lines run from the bottom to the top."""
    return [float(x[0]) for x, y in (line.get_data() for line in axes.lines) if list(y) == [0, 1]]


def test_the_histograms_count_the_values() -> None:
    tensors = {
        "conv1.0.weight": RNG.normal(0.1, 1, (8, 1, 5, 5)).astype(np.float32),
        "conv1.1.bias": RNG.normal(-3, 1, 16).astype(np.float32),
        "fc2.weight": floats(0, 0, 0, 1),
    }
    figure = draw_weights(tensors, "x")
    assert len(figure.axes) == 3
    for axes, values in zip(figure.axes, tensors.values(), strict=True):
        counts, edges = histogram(axes)
        flat = values.ravel().astype(np.float64)
        inside = [np.sum((flat >= a) & (flat < b)) for a, b in pairwise(edges)]
        inside[-1] += np.sum(flat == edges[-1])
        assert counts.tolist() == inside
        assert counts.sum() == values.size
        assert np.ptp(np.diff(edges)) < 1e-9
        mean, deviation = statistics.fmean(flat.tolist()), statistics.pstdev(flat.tolist())
        zero, drawn_mean = vertical_lines(axes)
        assert zero == 0
        assert drawn_mean == pytest.approx(mean)
        (bar,) = [line.get_xdata() for line in axes.lines if line.get_marker() == "|"]
        assert bar == pytest.approx([mean - deviation, mean + deviation])
        left, right = axes.get_xlim()
        shown = [*edges, 0, mean - deviation, mean + deviation]
        assert left <= min(shown) <= max(shown) <= right
        assert axes.get_ylim()[1] > counts.max()


def test_a_shift_of_the_values_shifts_what_is_drawn() -> None:
    values = RNG.normal(size=(16, 16))
    counts, edges = histogram(draw_weights({"fc2.weight": values}, "x").axes[0])
    moved_counts, moved_edges = histogram(draw_weights({"fc2.weight": values + 8}, "x").axes[0])
    assert counts.tolist() == moved_counts.tolist()
    np.testing.assert_allclose(moved_edges, edges + 8)


def test_0_is_left_out_where_it_would_squeeze_the_values() -> None:
    axes = draw_weights({"fc2.bias": floats(1000, 1001, 1002)}, "x").axes[0]
    assert axes.get_xlim()[0] > 990
    assert vertical_lines(axes) == [1001]


@pytest.mark.parametrize(("value", "note"), [(1, "all 1"), (0, "all 0"), (-1e-9, "all -1e-09")])
def test_equal_values_are_a_bar(value: float, note: str) -> None:
    axes = draw_weights({"fc2.bias": np.full(12, value)}, "x").axes[0]
    counts, edges = histogram(axes)
    assert counts.tolist() == [12]
    assert edges.mean() == pytest.approx(value)
    left, right = axes.get_xlim()
    assert 0.02 * (right - left) < edges[1] - edges[0] < 0.1 * (right - left)
    assert [text.get_text() for text in axes.texts] == [note]


def test_what_is_not_finite_is_said() -> None:
    tensors = {"fc2.weight": floats(NAN, 1, 2, 3), "fc2.bias": floats(NAN, NAN)}
    some, nothing = draw_weights(tensors, "x").axes
    assert histogram(some)[0].sum() == 3
    assert [text.get_text() for text in some.texts] == ["1 not finite"]
    assert [text.get_text() for text in nothing.texts] == ["no finite value"]


def test_nothing_on_a_networks_page_lies_over_anything_else() -> None:
    tensors = parameters("default")
    figure = draw_weights(tensors, "Weights: x")
    check_layout(figure)
    written = texts(figure)
    for name, values in tensors.items():
        place = written.index(short_name(name))
        assert written[place + 1] == " x ".join(map(str, values.shape))
    assert {"value", "number of values", "Weights: x"} <= set(written)


def test_files(tmp_path: Path) -> None:
    tensors = {name: v for name, v in parameters("default").items() if name.startswith("fc2")}
    for name in ("a.png", "a.svg", "b.svg"):
        save_picture(draw_weights(tensors, "Weights: x"), tmp_path / name)
    with Image.open(tmp_path / "a.png") as picture:
        assert 700 < max(picture.size) <= 4000
        assert len(np.unique(np.asarray(picture.convert("L")))) > 20
    assert (tmp_path / "a.svg").read_text().startswith("<?xml")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


@pytest.mark.parametrize(
    "title", ["runs/" + "a" * 300, "日本\n\x07\udcff", "$x^2$ and $y", "a" * 9 + " $_^{" * 30, ""]
)
def test_titles_of_any_text_fit(title: str) -> None:
    check_layout(draw_weights({"fc2.bias": floats(1, 2)}, f"Weights: {title}"))
    shown = fit(title, 400, 19, "bold")
    assert (shown == title) == (title == "")


def test_names_are_short_and_different() -> None:
    names = [*parameters("default"), *parameters("reference"), *largest_network()]
    short = [short_name(name) for name in names]
    assert len(set(short)) == len(set(names))
    assert max(map(len, short)) == 18
    assert short_name("gru1.gru.weight_ih_l0_reverse") == "gru1.weight_ih_rev"
    assert short_name("fc1.linear.weight") == "fc1.weight"
    assert short_name("conv2.0.weight") == "conv2.0.weight"


def test_what_belongs_together_begins_a_row() -> None:
    shapes = {name: values.shape for name, values in parameters("default").items()}
    places, rows, columns = layout(shapes, Cell(300, 200))
    assert (rows, columns) == (10, 4)
    lefts = [name for name, (_, column) in zip(shapes, places, strict=True) if column == 0]
    assert lefts == [
        "conv1.0.weight", "conv2.0.weight", "conv3.0.weight", "conv3.3.weight",
        "fc1.linear.weight", "gru1.gru.weight_ih_l0", "gru1.gru.weight_ih_l0_reverse",
        "gru2.gru.weight_ih_l0", "gru2.gru.weight_ih_l0_reverse", "fc2.weight",
    ]  # fmt: skip


@pytest.mark.parametrize("cell", [Cell(296, 208), Cell(296, 236)])
@pytest.mark.parametrize("num", [1, 2, 4, 9, 40, 100, 165])
def test_any_network_fits_on_a_page(num: int, cell: Cell) -> None:
    shapes = dict(list(largest_network().items())[:num])
    places, rows, columns = layout(shapes, cell)
    assert len(set(places)) == num
    assert places == sorted(places)
    assert {row for row, _ in places} == set(range(rows))
    assert max(column for _, column in places) == columns - 1
    assert 35 + columns * cell.width + 16 <= 4000
    assert rows * cell.height + 130 <= 4000


def test_too_many_tensors_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"at most \d+ tensors on a page, found 900; .*--layer"):
        draw_weights({f"conv1.{i}.weight": floats(1) for i in range(900)}, "x")


def test_limits_thinning_and_ticks() -> None:
    assert limits(0, 1, margin=0.1) == (-0.1, 1.1)
    assert limits(2, 2) == (1, 3)
    assert limits(0, 0) == (-1, 1)
    low, high = limits(1, 1 + 1e-9)
    assert low < 0.9 < 1.1 < high
    assert limits(float("nan"), 1) == (-1, 1)
    assert thin(4, 9).tolist() == [0, 1, 2, 3]
    assert thin(1000, 3).tolist() == [0, 500, 999]
    assert thin(1, 25).tolist() == [0]
    assert [format_tick(x) for x in (-0.0, 1e-9, 0.25, -1234.0)] == ["0", "1e-09", "0.25", "-1234"]
