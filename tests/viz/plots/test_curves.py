"""Training curves against crafted records: what is drawn where, and on which scale."""

from __future__ import annotations

import io
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from exprocr.viz.canvas.picture import save_picture, to_png
from exprocr.viz.plots.curves import MAX_RUNS, draw_curves
from exprocr.viz.plots.plotting import line_style
from exprocr.viz.plots.scales import time_unit

Records = list[dict[str, Any]]


def step(number: int, loss: float, rate: float = 1e-3) -> dict[str, Any]:
    return {"kind": "step", "step": number, "epoch": 1, "loss": loss, "learning_rate": rate}


def evaluation(number: int, quality: float, **figures: Any) -> dict[str, Any]:
    """Return an evaluation after a step a second and 100 images a step."""
    errors = ("val_loss", "val_normalized_edit_distance", "val_cer")
    record = dict.fromkeys(errors, 1 - quality) | {"val_exact_match": quality}
    record |= {"train_loss": 1.5, "train_exact_match": 0.9 * quality}
    record |= {"train_normalized_edit_distance": 1 - 0.9 * quality}
    record |= {"elapsed_s": float(number), "images_per_s": 100.0 if number else 0.0}
    return {"kind": "evaluation", "step": number, "epoch": number // 100, **record, **figures}


def a_run(num_steps: int = 400, end: float = 0.98, rate: float = 1e-3) -> Records:
    """Return the records of a run that is evaluated every 100 steps."""
    records = []
    for number in range(1, num_steps + 1):
        records.append(step(number, 20 / number, rate))
        if number % 100 == 0:
            records.append(evaluation(number, end * number / num_steps))
    return records


def panels(figure: Figure) -> dict[str, Axes]:
    return {axes.get_title(): axes for axes in figure.axes}


def lines(axes: Axes) -> dict[str, list[tuple[float, float]]]:
    """Return the points of each line of a panel, by its label."""
    points = {}
    for line in axes.lines:
        x, y = np.asarray(line.get_xdata(), float), np.asarray(line.get_ydata(), float)
        points[str(line.get_label())] = list(zip(x.tolist(), y.tolist(), strict=True))
    return points


def heights(axes: Axes, values: list[float]) -> list[float]:
    """Return how high values stand on a panel's axis: 0 is its bottom, 1 its top."""
    places = axes.transData.transform([(0, value) for value in values])
    return [float(y) for _, y in axes.transAxes.inverted().transform(places)]


NAN = float("nan")
SETS: dict[str, Records] = {
    "nothing": [],
    "steps": [step(n, 20 / n) for n in range(1, 500)],
    "an evaluation": [evaluation(0, 0.0, train_loss=None)],
    "one of each": [step(1, 20.0), evaluation(1, 1.0)],
    "no loss": [step(1, 0.0), evaluation(1, 0.5, val_loss=0.0, train_exact_match=None)],
    "no rate": [step(n, 1.0, 0.0) for n in range(1, 5)],
    "not a number": [{"kind": "note"}, step(1, NAN), evaluation(9, 0.1, val_loss=NAN)],
    "infinite": [step(1, math.inf), evaluation(9, 0.1, val_loss=math.inf)],
    "perfect": [evaluation(n, 1.0) for n in (1, 2, 3)],
    "more edits than characters": [evaluation(1, 0.0, val_normalized_edit_distance=2.5)],
    "usual": a_run(),
    "long": [*a_run(3000), evaluation(3050, 0.9)],
}


def check_drawing(figure: Figure) -> None:
    """Draw it; check that all is labeled, and nothing cut off."""
    with Image.open(io.BytesIO(to_png(figure))) as image:
        pixels = np.asarray(image.convert("L"))
    assert max(pixels.shape) <= 2000
    assert all((edge == 255).all() for edge in (pixels[0], pixels[-1], pixels.T[0], pixels.T[-1]))
    for axes in figure.axes:
        assert all((axes.get_title(), axes.get_xlabel(), axes.get_ylabel()))
        empty = not any(np.size(line.get_ydata()) for line in axes.lines)
        assert empty == ("no figures yet" in [text.get_text() for text in axes.texts])
        assert np.isfinite((*axes.get_xlim(), *axes.get_ylim())).all()


@pytest.mark.parametrize("name", SETS)
def test_whatever_there_is_is_drawn_within_the_picture(name: str) -> None:
    check_drawing(draw_curves({"a" * 300: SETS[name]}))


@pytest.mark.parametrize("over", ["step", pytest.param("time", marks=pytest.mark.slow)])
def test_several_of_whatever_there_is(over: str) -> None:
    names = ["a" * 300, "_b", "$x$\n", "\u65e5\u672c", "\udcff", *"cdefghi"]
    check_drawing(draw_curves(dict(zip(names, SETS.values(), strict=True)), over))
    check_drawing(draw_curves({"a": SETS["one of each"], "b": SETS["an evaluation"]}, over))


def test_panels_of_one_run_show_its_records() -> None:
    records = a_run()
    drawn = panels(draw_curves({"r": records}))
    evaluations = [record for record in records if record["kind"] == "evaluation"]
    loss = lines(drawn["CTC loss"])
    assert loss.keys() == {"training, each step", "training, mean of 20 steps", "validation"}
    assert loss["training, each step"] == [(n, 20 / n) for n in range(1, 401)]
    by_hand = [(n, sum(20 / k for k in range(n - 19, n + 1)) / 20) for n in range(20, 401)]
    np.testing.assert_allclose(loss["training, mean of 20 steps"], by_hand)
    assert loss["validation"] == [(r["step"], r["val_loss"]) for r in evaluations]
    for title, name in (
        ("Exact match", "exact_match"),
        ("Normalized edit distance", "normalized_edit_distance"),
    ):
        curves = lines(drawn[title])
        for label, part in (("training", "train"), ("validation", "val")):
            assert curves[label] == [(r["step"], r[f"{part}_{name}"]) for r in evaluations]
    assert lines(drawn["Exact match"])["best, kept as the model"] == [(400, 0.98)]
    (rates,) = lines(drawn["Learning rate"]).values()
    assert rates == [(n, 1e-3) for n in range(1, 401)]
    (speeds,) = lines(drawn["Speed of training"]).values()
    np.testing.assert_allclose(speeds, [(n, 100) for n in (100, 200, 300, 400)])


def test_training_and_validation_differ_in_more_than_color() -> None:
    drawn = panels(draw_curves({"r": a_run()}))
    for title in ("Exact match", "Normalized edit distance"):
        training, validation, *_ = drawn[title].lines
        assert training.get_linestyle() != validation.get_linestyle()
        assert training.get_marker() != validation.get_marker()


def test_over_time() -> None:
    """Steps lie evenly between evaluations, as long as their times are not recorded."""
    records = [*a_run(), *(step(n, 1.0) for n in range(401, 450))]
    for record in records:
        if record["kind"] == "evaluation":
            record["elapsed_s"] *= 60
    drawn = panels(draw_curves({"r": records}, over="time"))
    assert {axes.get_xlabel() for axes in drawn.values()} == {"training time, hours"}
    steps = lines(drawn["CTC loss"])["training, each step"]
    assert [x for x, _ in steps] == pytest.approx([n / 60 for n in range(1, 401)])
    assert [y for _, y in steps] == [20 / n for n in range(1, 401)]
    validation = lines(drawn["Exact match"])["validation"]
    assert [x for x, _ in validation] == pytest.approx([100 / 60, 200 / 60, 300 / 60, 400 / 60])


@pytest.mark.parametrize(
    ("longest_s", "unit"),
    [
        (0, "seconds"),
        (179, "seconds"),
        (181, "minutes"),
        (7199, "minutes"),
        (7201, "hours"),
        (86_400 * 3, "hours"),
        (86_400 * 5, "days"),
    ],
)
def test_units_of_time(longest_s: float, unit: str) -> None:
    seconds, name = time_unit(longest_s)
    assert name == unit
    assert seconds == {"seconds": 1, "minutes": 60, "hours": 3600, "days": 24 * 3600}[unit]
    assert longest_s / seconds < 180


@pytest.mark.parametrize("num", [2, MAX_RUNS])
def test_several_runs(num: int) -> None:
    runs = {f"run {i}": a_run(400 + 100 * i, 0.5 + 0.04 * i) for i in range(num)}
    figure = draw_curves(runs)
    drawn = panels(figure)
    assert len(drawn) == 8
    for title, axes in drawn.items():
        assert len(axes.lines) == num, title
        assert "each step" not in "".join(lines(axes))
    for i, (records, line) in enumerate(
        zip(runs.values(), drawn["Exact match, validation"].lines, strict=True)
    ):
        values = [r["val_exact_match"] for r in records if r["kind"] == "evaluation"]
        assert np.asarray(line.get_ydata()).tolist() == values
        style = (line.get_color(), line.get_linestyle(), line.get_marker())
        named = figure.legends[0].get_lines()[i]
        assert (named.get_color(), named.get_linestyle(), named.get_marker()) == style
    assert [text.get_text() for text in figure.legends[0].get_texts()] == list(runs)
    for records, line in zip(runs.values(), drawn["CTC loss, training"].lines, strict=True):
        losses = [r["loss"] for r in records if r["kind"] == "step"]
        window = len(losses) // 20
        ends = range(window, len(losses) + 1)
        np.testing.assert_array_equal(line.get_xdata(), ends)
        means = [np.mean(losses[end - window : end]) for end in ends]
        np.testing.assert_allclose(np.asarray(line.get_ydata()), means)
    for name in ("CTC loss", "Exact match", "Normalized edit distance"):
        training, validation = drawn[f"{name}, training"], drawn[f"{name}, validation"]
        assert training.get_ylim() == validation.get_ylim()
        assert list(training.get_yticks()) == list(validation.get_yticks())


def test_lines_differ_in_more_than_color() -> None:
    styles = [line_style(number) for number in range(36)]
    assert len({(str(style.dashes), style.marker) for style in styles}) == 36


def test_names_are_no_mathematics_and_no_lines() -> None:
    runs = dict.fromkeys(["_a", "$a^2$ $", "a\nb\u202e", "x" * 500 + "end"], a_run())
    figure = draw_curves(runs)
    *short, long = [text.get_text() for text in figure.legends[0].get_texts()]
    assert short == ["_a", r"\$a^2\$ \$", r"a\nb\u202e"]
    assert (long[:1], long[-4:], len(long)) == ("x", "xend", 60)
    assert "..." in long


@pytest.mark.parametrize(
    ("end", "apart", "least"),
    [(0.3, (0.0, 0.3), 0.8), (0.98, (0.9, 0.98), 0.2), (0.999, (0.99, 0.999), 0.15)],
)
def test_exact_match_is_readable_wherever_a_run_ends(
    end: float, apart: tuple[float, float], least: float
) -> None:
    records = [evaluation(n, end * (1 - 0.5**n)) for n in range(20)] + [evaluation(20, end)]
    figure = draw_curves({"r": records})
    to_png(figure)  # which lays it out
    for title, values in (
        ("Exact match", apart),
        ("Normalized edit distance", (1 - apart[1], 1 - apart[0])),
    ):
        axes = panels(figure)[title]
        low, high = heights(axes, list(values))
        assert high - low > least
        assert 0 <= low < high <= 1
        shown = [0.0, *np.linspace(0, end, 50), end]
        places = heights(axes, shown if title == "Exact match" else [1 - v for v in shown])
        assert 0 <= min(places) <= max(places) <= 1
        assert sorted(places, reverse=title != "Exact match") == places
        ticks = heights(axes, list(axes.get_yticks()))
        assert len(ticks) >= 3
        assert min(np.diff(sorted(ticks))) > 0.05  # as high as a label, and some


@pytest.mark.parametrize(("qualities", "from_0"), [((0.2, 0.3), True), ((0.97, 0.98), False)])
def test_the_axis_begins_with_none_right_unless_a_run_is_good_throughout(
    qualities: tuple[float, float], from_0: bool
) -> None:
    records = [evaluation(n, q, train_exact_match=q) for n, q in enumerate(qualities)]
    axes = panels(draw_curves({"r": records}))["Exact match"]
    nothing, worst, best = heights(axes, [0.0, *qualities])
    assert 0 < worst < best < 1
    assert (0 < nothing < 0.1) == from_0


@pytest.mark.parametrize("end", [0.3, 0.98, 0.999, 1.0])
def test_ticks_are_written_as_they_are(end: float) -> None:
    drawn = panels(draw_curves({"r": a_run(end=end)}))
    axes = drawn["Exact match"]
    texts = [label.get_text() for label in axes.get_yticklabels()]
    assert [float(text.rstrip("%")) / 100 for text in texts] == pytest.approx(axes.get_yticks())
    axes = drawn["Normalized edit distance"]
    texts = [label.get_text() for label in axes.get_yticklabels()]
    assert [float(text) for text in texts] == pytest.approx(list(axes.get_yticks()))
    if end == 1.0:
        assert "100%" in [label.get_text() for label in drawn["Exact match"].get_yticklabels()]


def test_learning_rates_far_apart_are_all_seen() -> None:
    figure = draw_curves({"a": a_run(rate=1e-2), "b": a_run(rate=1e-5)})
    high, low = (heights(panels(figure)["Learning rate"], [rate])[0] for rate in (1e-2, 1e-5))
    assert 0.02 < low < 0.3
    assert 0.7 < high < 0.98
    assert panels(draw_curves({"a": a_run()}))["Learning rate"].get_ylim()[0] == 0


def test_files(tmp_path: Path) -> None:
    for name in ("a.png", "b.svg", "c.svg"):
        save_picture(draw_curves({"r": a_run()}), tmp_path / name)
    with Image.open(tmp_path / "a.png") as image:
        assert (image.format, image.size) == ("PNG", (1500, 1000))
    assert (tmp_path / "b.svg").read_bytes() == (tmp_path / "c.svg").read_bytes()
    assert (tmp_path / "b.svg").read_text().startswith("<?xml")
