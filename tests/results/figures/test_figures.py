"""Figures: what they show, that names do not overlap, that the same results give the same bytes, and refusals."""

from __future__ import annotations

import itertools
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib
import pytest
from hypothesis import given, strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text
from shell_calls import Shell

from harness.errors import UsageError
from harness.records import Estimate
from harness.results.collect import Results
from harness.results.leaderboard.board import leaderboard
from harness.results.numbers import with_interval
from harness.results.render import figures
from harness.results.render.colours import GREYS, arm_looks
from harness.results.render.figures import labels, style, windows
from harness.results.studies.curve import learning_curve

NAMES = ("forest", "metrics", "cost", "training", "curve", "tuning")


@pytest.fixture(scope="module")
def drawn(results: Results) -> dict[str, Any]:
    """All figures, drawn once."""
    return figures.drawn(results)


def texts(figure: Figure) -> list[Text]:
    found = [one for one in figure.findobj(Text) if isinstance(one, Text) and one.get_text() and one.get_visible()]
    return list({id(one): one for one in found}.values())


def words(figure: Figure) -> set[str]:
    return {one.get_text() for one in texts(figure)}


# ------------------------------------------------------------------------------------------------------------- bytes


OTHER = {"lines.linewidth": 9, "font.size": 20, "svg.hashsalt": "mine", "font.family": "serif", "pdf.fonttype": 3}


def test_the_same_results_give_the_same_bytes_whatever_matplotlibrc_says(make: Any, tmp_path: Path) -> None:
    assert figures.write(make(), tmp_path / "one", "svg") == [f"wrote {tmp_path / 'one' / f'{n}.svg'}" for n in NAMES]
    before = dict(matplotlib.rcParams)
    with matplotlib.rc_context(OTHER):
        figures.write(make(), tmp_path / "two", "svg")
    assert dict(matplotlib.rcParams) == before
    for name in NAMES:
        data = (tmp_path / "one" / f"{name}.svg").read_bytes()
        assert data == (tmp_path / "two" / f"{name}.svg").read_bytes()
        assert data.startswith(b"<?xml") and b"dc:date" not in data


def test_pdf_has_no_date_and_embeds_its_fonts(drawn: dict[str, Any], tmp_path: Path) -> None:
    style.save(drawn["forest"], tmp_path / "one.pdf")
    with matplotlib.rc_context(OTHER):
        style.save(drawn["forest"], tmp_path / "two.pdf")
    data = (tmp_path / "one.pdf").read_bytes()
    assert data == (tmp_path / "two.pdf").read_bytes() and data.startswith(b"%PDF")
    assert b"CreationDate" not in data and b"/Type3" not in data and b"DejaVuSans" in data


# ------------------------------------------------------------------------------------------------------ what is shown


def test_the_forest_says_every_number_of_the_leaderboard(results: Results, drawn: dict[str, Any]) -> None:
    board = leaderboard(results)
    shown = words(drawn["forest"])
    for row in board.rows:
        cell = row.cells["exact_match"]
        assert row.arm in shown
        assert with_interval(cell.estimate, (0, 1)) in shown
        if row.arm != "untrained":
            assert with_interval(cell.difference, (0, 1), sign=True).replace("-", "−") in shown
    assert {"reference", "best value", "minus untrained, paired", f"minus {board.rows[0].arm}, paired"} <= shown
    assert any("±0.02" in text for text in shown)
    ends = {tuple(line.get_xdata()) for line in drawn["forest"].axes[0].get_lines()}
    estimate = board.rows[0].cells["exact_match"].estimate
    assert estimate is not None and (estimate.low, estimate.high) in ends


def test_every_metric_has_a_panel_with_its_direction(results: Results, drawn: dict[str, Any]) -> None:
    board = leaderboard(results)
    titles = [axes.get_title(loc="left") for axes in drawn["metrics"].axes if axes.get_visible()]
    assert titles == [f"{column.name} ↑" for column in board.columns]


def test_cost_has_units_and_says_what_was_not_measured(drawn: dict[str, Any]) -> None:
    shown = words(drawn["cost"])
    assert {"training time (s)", "peak memory (MB)", "trainable parameters", "not measured: untrained"} <= shown


def test_more_costs_than_fit_in_a_row_stand_in_two(results: Results) -> None:
    record = results.experiment
    priced = replace(
        results, experiment=replace(record, spec={**record.spec, "resources": {"price_per_device_hour": 2}})
    )
    figure = figures.drawn(priced)["cost"]
    assert [axes.get_xlabel() for axes in figure.axes][3:] == ["money"]
    assert len({round(axes.get_position().y0, 3) for axes in figure.axes}) == 2
    with style.context():
        figure.draw_without_rendering()
    arms = {entry.arm for entry in results.entries}
    for axes in figure.axes:
        named = [one for one in texts(figure) if one.get_text() in arms and one.axes is axes]
        boxes = [Text.get_window_extent(one) for one in named]
        assert len(named) == len(arms) - (axes.get_xlabel() == "peak memory (MB)")
        assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]


def test_training_marks_the_step_of_an_event(drawn: dict[str, Any]) -> None:
    crosses = [
        line
        for axes in drawn["training"].axes
        for line in axes.get_lines()
        if line.get_marker() == "x" and len(line.get_xdata())
    ]
    assert {float(line.get_xdata()[0]) for line in crosses} == {30.0}
    assert "sign of instability" in {t.get_text() for t in drawn["training"].axes[0].get_legend().get_texts()}


def test_tuning_rings_the_chosen_rate_and_crosses_the_failed_one(results: Results, drawn: dict[str, Any]) -> None:
    axes = drawn["tuning"].axes[0]
    rings = {float(line.get_xdata()[0]) for line in axes.get_lines() if line.get_markerfacecolor() == "none"}
    assert rings == {float(t.values["learning_rate"]) for t in results.trials if t.chosen}
    crosses = {float(line.get_xdata()[0]) for line in axes.get_lines() if line.get_marker() == "x"}
    assert crosses == {float(t.values["learning_rate"]) for t in results.trials if t.status == "diverged"}
    assert axes.get_xscale() == "log"


def test_the_curve_stands_at_each_share(results: Results, drawn: dict[str, Any]) -> None:
    axes = drawn["curve"].axes[0]
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["100\n25%", "400\n100%"]
    values = {point.estimate.value for one in learning_curve(results).arms for point in one.points}
    assert values == {float(v) for line in axes.get_lines() if line.get_marker() != "None" for v in line.get_ydata()}


def test_what_is_not_there_is_said_and_not_drawn(results: Results, tmp_path: Path) -> None:
    bare = replace(results, shares=(), trials=(), logs=())
    lines = figures.write(bare, tmp_path / "out", "svg")
    assert [line.split(":")[0] for line in lines if line.startswith("no ")] == ["no training", "no curve", "no tuning"]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["cost.svg", "forest.svg", "metrics.svg"]


@pytest.mark.parametrize("name", NAMES)
def test_names_of_arms_do_not_overlap(results: Results, drawn: dict[str, Any], name: str) -> None:
    figure = drawn[name]
    with style.context():
        figure.draw_without_rendering()
    arms = {entry.arm for entry in results.entries}
    for axes in figure.axes:
        named = [one for one in texts(figure) if one.get_text() in arms and one.axes is axes]
        boxes = [Text.get_window_extent(one) for one in named]  # without the leader of an annotation
        assert not [(a, b) for a, b in itertools.combinations(boxes, 2) if a.overlaps(b)]


def test_colours_differ_and_are_the_same_in_every_figure(results: Results) -> None:
    looks = arm_looks(results.experiment, [entry.arm for entry in results.entries])
    assert len({look.colour for look in looks.values()}) == len({look.marker for look in looks.values()}) == len(looks)
    assert looks["untrained"].colour in GREYS


# ------------------------------------------------------------------------------------------------------ where labels go


@given(
    st.lists(st.floats(0, 1), min_size=1, max_size=9),
    st.floats(0.01, 0.1),
)
def test_spread_labels_keep_their_order_and_their_distance(wanted: list[float], gap: float) -> None:
    found = labels.spread(wanted, gap, 0.0, 1.0)
    ordered = [found[index] for index in sorted(range(len(wanted)), key=lambda index: wanted[index])]
    assert all(b - a >= gap - 1e-9 for a, b in itertools.pairwise(ordered))
    assert min(found) >= -1e-9 and max(found) <= 1 + 1e-9
    apart = sorted(wanted)
    if all(b - a > gap for a, b in itertools.pairwise(apart)):
        assert found == pytest.approx(wanted)


def test_a_window_leaves_out_what_would_crush_it() -> None:
    def at(value: float) -> Estimate:
        return Estimate(value, value - 0.02, value + 0.02, 9, 9, 1, "")

    shown = windows.window({"a": at(0.9), "b": at(0.88), "c": at(0.87), "far": at(0.1)}, higher=True)
    assert shown.near == {"a", "b", "c"} and shown.low > 0.8
    assert windows.window({"a": at(0.9), "far": at(0.1)}, higher=True).near == {"a", "far"}
    lower = windows.window({"a": at(1.0), "b": at(1.03), "far": at(8.0)}, higher=False)
    assert lower.near == {"a", "b"} and lower.high < 2


def test_the_running_median_ignores_a_spike_and_thinning_keeps_the_end() -> None:
    points = [(step, 100.0 if step == 50 else 1.0) for step in range(100)]
    assert {value for _, value in windows.running_median(points, 0.08)} == {1.0}
    thin = windows.thinned([(step, 1.0) for step in range(5001)], most=400)
    assert len(thin) <= 420 and thin[-1][0] == 5000


# --------------------------------------------------------------------------------------------------------- refusals


def test_refusals_are_one_line(results: Results, tmp_path: Path, shell: Shell) -> None:
    with pytest.raises(UsageError, match="--format 'gif' is unknown"):
        figures.write(results, tmp_path, "gif")
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="file is no folder"):
        figures.write(results, tmp_path / "file", "pdf")
    answer = shell("figures", "--home", tmp_path / "none", "--format", "gif")
    assert answer.code == 2 and answer.err.count("\n") == 1


def test_names_of_many_arms_find_their_places_in_time() -> None:
    """120 arms in one heap: every name is placed, in seconds of CPU (one overlap at a time took minutes)."""
    figure = style.figure(6.0, 4.0)
    axes = figure.subplots()
    points = {f"arm{number:03}": (float(number % 11), float(number % 7)) for number in range(120)}
    looks = arm_looks(None, points)
    axes.set_xlim(-1, 12)
    axes.set_ylim(-1, 8)
    figure.draw_without_rendering()
    started = time.process_time()
    labels.beside(axes, points, looks, [[(0.0, 0.0), (10.0, 6.0)]] * 4)
    assert time.process_time() - started < 20
    assert set(points) <= words(figure)
