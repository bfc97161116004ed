"""The data of figures: the Pareto front, and CSV that says what the figures say."""

from __future__ import annotations

import csv
import io
import itertools
from typing import Any

from hypothesis import given, strategies as st

from harness.results.leaderboard.board import leaderboard
from harness.results.render.figures import figure_tables
from harness.results.studies import figure_data
from harness.results.studies.figure_data import CostPoint, cost_views

POINT = st.tuples(st.integers(0, 9), st.integers(0, 9))


@given(st.lists(POINT, min_size=1, max_size=8), st.booleans())
def test_the_front_is_what_no_point_beats(points: list[tuple[int, int]], higher: bool) -> None:
    made = [CostPoint(str(i), float(v), None, None, float(c), None, None, False) for i, (c, v) in enumerate(points)]
    found = figure_data._with_front(made, higher)
    front = sorted({(one.cost, one.value if higher else -one.value) for one in found if one.on_front})
    # Along the front cost and quality rise together, strictly.
    assert all(a[0] < b[0] and a[1] < b[1] for a, b in itertools.pairwise(front))
    for one in found:
        if not one.on_front:
            quality = one.value if higher else -one.value
            assert any(cost <= one.cost and value >= quality for cost, value in front)


def test_whiskers_of_cost_span_the_seeds(make: Any) -> None:
    board = leaderboard(make(examples=12, seeds=(0, 1, 2)).results)
    view = next(one for one in cost_views(board) if one.measure == "train_seconds")
    points = {point.arm: point for point in view.points}
    assert (points["full"].cost_low, points["full"].cost_high) == (9.25, 9.25)
    assert points["dpo"].cost == 14.0 + 9.25, "a parent's training counts"
    assert points["untrained"].cost_low is None


def test_csv_holds_what_is_drawn(results: Any) -> None:
    tables = figure_tables(results)
    assert set(tables) == {"cost"}
    rows = list(csv.DictReader(io.StringIO(tables["cost"])))
    board = leaderboard(results)
    drawn = {(v.measure, p.arm): p for v in cost_views(board) for p in v.points}
    assert {(row["measure"], row["arm"]): float(row["cost"]) for row in rows} == {k: p.cost for k, p in drawn.items()}
    assert {row["on_front"] for row in rows} == {"true", "false"}
