"""Charts of the app: pure functions from a report's records to a plotly figure.

An arm has the colour and the marker that it has in the report and on paper (`render.colours`). Streamlit's theme gives
background and text, light or dark.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from harness.records import Estimate
from harness.results.human.records import HumanReview, HumanTable
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.colours import PALETTE, Looks, arm_looks
from harness.results.render.words import better
from harness.results.studies.figure_data import CostPoint, CostView, TrainingCurve

LAYOUT: Mapping[str, Any] = {"margin": {"l": 10, "r": 10, "t": 30, "b": 10}, "hoverlabel": {"namelength": -1}}
SYMBOLS: Mapping[str, str] = {
    **{"o": "circle", "s": "square", "D": "diamond", "^": "triangle-up", "v": "triangle-down", "<": "triangle-left"},
    **{">": "triangle-right", "p": "pentagon", "h": "hexagon", "*": "star"},
}
"""matplotlib's letters → plotly's names."""


def _marker(looks: Looks, arm: str, size: int) -> dict[str, Any]:
    """How an arm's points are drawn; grey where the experiment does not have it."""
    look = looks.get(arm)
    return {"size": size, "color": look.colour if look else "gray", "symbol": SYMBOLS[look.marker] if look else "x"}


def _intervals(estimates: Mapping[str, Estimate], looks: Looks, spec: str) -> go.Figure:
    """A row for each arm with its interval, the first on top; numbers as `spec` has them."""
    figure = go.Figure()
    for arm, estimate in estimates.items():
        low, high = (estimate.value if end is None else end for end in (estimate.low, estimate.high))
        figure.add_scatter(
            x=[estimate.value],
            y=[arm],
            error_x={"type": "data", "array": [high - estimate.value], "arrayminus": [estimate.value - low]},
            mode="markers",
            marker=_marker(looks, arm, 11),
            name=arm,
            hovertemplate=f"%{{y}}: {estimate.value:{spec}} [{low:{spec}}, {high:{spec}}]<extra></extra>",
        )
    figure.update_layout(**LAYOUT, showlegend=False)
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def forest(board: Leaderboard) -> go.Figure:
    """The primary metric of every arm with its interval, the best on top."""
    primary = board.columns[0]
    cells = {row.arm: row.cells[primary.name].estimate for row in board.rows}
    estimates = {arm: estimate for arm, estimate in cells.items() if estimate is not None}
    figure = _intervals(estimates, arm_looks(board.experiment, estimates), ".4g")
    figure.update_layout(height=80 + 42 * len(estimates))
    figure.update_xaxes(title=f"{primary.name}, 95 % interval ({better(primary)})")
    return figure


def tradeoff(view: CostView, board: Leaderboard) -> go.Figure:
    """Quality against one cost, with the Pareto front."""
    figure = go.Figure()
    front = sorted((point for point in view.points if point.on_front), key=lambda point: (point.cost, point.value))
    figure.add_scatter(
        x=[point.cost for point in front],
        y=[point.value for point in front],
        mode="lines",
        line={"shape": "hv", "dash": "dot", "color": "gray", "width": 1},
        name="Pareto front",
        hoverinfo="skip",
    )
    looks = arm_looks(board.experiment, [row.arm for row in board.rows])
    for point in view.points:
        low, high = (point.value if end is None else end for end in (point.low, point.high))
        left, right = (point.cost if end is None else end for end in (point.cost_low, point.cost_high))
        figure.add_scatter(
            x=[point.cost],
            y=[point.value],
            error_y={"type": "data", "array": [high - point.value], "arrayminus": [point.value - low]},
            error_x={"type": "data", "array": [right - point.cost], "arrayminus": [point.cost - left]},
            mode="markers+text",
            text=[point.arm],
            textposition=_beside(view, point),
            cliponaxis=False,
            marker=_marker(looks, point.arm, 12),
            name=point.arm,
            hovertemplate=f"{point.arm}: {point.value:.4g}, {point.cost:,.4g} {view.unit}<extra></extra>",
        )
    unit = f", {view.unit}" if view.unit else ""
    figure.update_layout(**LAYOUT, showlegend=False, height=420)
    most = max((point.cost_high or point.cost for point in view.points), default=0.0) or 1.0
    figure.update_xaxes(title=f"{view.measure.replace('_', ' ')}{unit}", range=[-0.07 * most, 1.1 * most])
    figure.update_yaxes(title=board.primary)
    return figure


def _beside(view: CostView, point: CostPoint) -> str:
    """Where an arm's name stands: below to the right, away from the front's lines, or above where that is taken."""
    most = max(other.cost for other in view.points) or 1.0
    values = [other.value for other in view.points]
    spread = max(values) - min(values) or 1.0
    near = any(
        other is not point
        and 0 <= other.cost - point.cost < 0.15 * most
        and abs(other.value - point.value) < 0.08 * spread
        for other in view.points
    )
    return "top center" if near or point.cost > 0.85 * most else "bottom right"


def training(curves: Sequence[TrainingCurve], quantity: str, looks: Looks) -> go.Figure:
    """One quantity of the training log over steps, a line a run, with what went wrong marked."""
    dashes = ["solid", "dash", "dot", "dashdot", "longdash"]
    figure = go.Figure()
    for curve in curves:
        points = [(row.step, value) for row in curve.rows if (value := getattr(row, quantity)) is not None]
        if not points:
            continue
        seed = curve.seed or 0
        figure.add_scatter(
            x=[step for step, _ in points],
            y=[value for _, value in points],
            mode="lines+markers" if len(points) < 30 else "lines",
            line={"color": looks[curve.arm].colour, "dash": dashes[seed % len(dashes)]},
            name=f"{curve.arm}, seed {seed}",
        )
        marked = [(event.step, event.kind) for event in curve.events]
        if marked:
            nearest = [min((abs(at - step), value) for at, value in points)[1] for step, _ in marked]
            figure.add_scatter(
                x=[step for step, _ in marked],
                y=nearest,
                mode="markers",
                marker={"symbol": "x", "size": 11, "color": "#D55E00"},
                name=f"{curve.arm}: {', '.join(dict.fromkeys(kind for _, kind in marked))}",
                hovertext=[f"step {step}: {kind}" for step, kind in marked],
            )
    figure.update_layout(**LAYOUT, height=330, legend={"orientation": "h", "y": -0.25})
    figure.update_xaxes(title="optimiser step")
    figure.update_yaxes(title=quantity.replace("_", " "))
    return figure


def lengths(words: Mapping[str, Sequence[int]], title: str) -> go.Figure:
    """How long texts are in each split, as shares, so that splits of different size compare."""
    figure = go.Figure()
    for index, (split, sizes) in enumerate(words.items()):
        figure.add_histogram(
            x=list(sizes),
            histnorm="percent",
            name=split,
            bingroup="lengths",  # the same bins for every split, or their heights say nothing
            marker={"color": PALETTE[index % len(PALETTE)]},
        )
    figure.update_layout(**LAYOUT, barmode="group", bargap=0.15, height=300, legend={"orientation": "h", "y": 1.15})
    figure.update_xaxes(title=title)
    figure.update_yaxes(title="% of the split")
    return figure


def human_scores(table: HumanTable, looks: Looks) -> go.Figure:
    """The human win rate of every arm with its interval, the best on top."""
    rates = {arm.arm: arm.win_rate.rate.estimate for arm in table.arms}
    figure = _intervals({arm: rate for arm, rate in rates.items() if rate is not None}, looks, ".3f")
    figure.add_vline(x=0.5, line={"dash": "dot", "color": "gray", "width": 1})
    figure.update_layout(height=120 + 42 * len(table.arms))
    figure.update_xaxes(title="human win rate, ties as half, 95 % interval", range=[0, 1])
    return figure


def pair_matrix(table: HumanTable) -> go.Figure:
    """How often the arm of the row was preferred to that of the column, ties as half; empty where they never met."""
    names = [arm.arm for arm in table.arms]
    shares: dict[tuple[str, str], float] = {}
    for pair in table.pairs:
        rate = pair.rate.rate.estimate if pair.rate is not None else None
        if rate is not None:
            shares[pair.first, pair.second], shares[pair.second, pair.first] = rate.value, 1 - rate.value
    values = [[shares.get((row, column)) for column in names] for row in names]
    figure = go.Figure(
        go.Heatmap(
            z=values,
            x=names,
            y=names,
            zmin=0,
            zmax=1,
            colorscale="RdBu",
            text=[["" if value is None else f"{value:.2f}" for value in row] for row in values],
            texttemplate="%{text}",
            hovertemplate="%{y} over %{x}: %{z:.3f}<extra></extra>",
            hoverongaps=False,
            colorbar={"title": "preferred", "thickness": 12},
        )
    )
    figure.update_layout(**LAYOUT, height=140 + 42 * len(names))
    figure.update_xaxes(type="category", title="over")
    figure.update_yaxes(type="category", autorange="reversed")
    return figure


def rater_quality(review: HumanReview) -> go.Figure:
    """What every rater got right where the right answer is known, with intervals, and the declared limit."""
    # A chart takes tags in its words for markup, and a name may come from a file.
    names = [html.escape(rater.rater) + (" (left out)" if rater.excluded else "") for rater in review.raters]
    figure = go.Figure()
    kinds = (("gold pairs right", "gold"), ("identical pairs called alike", "identical"))
    for index, (title, field) in enumerate(kinds):
        rates = {name: getattr(rater, field).estimate for name, rater in zip(names, review.raters, strict=True)}
        shown = {name: rate for name, rate in rates.items() if rate is not None}
        lows = [rate.value if rate.low is None else rate.low for rate in shown.values()]
        values = [rate.value for rate in shown.values()]
        figure.add_bar(
            x=list(shown),
            y=values,
            error_y={
                "type": "data",
                "array": [(rate.high or rate.value) - rate.value for rate in shown.values()],
                "arrayminus": [value - low for value, low in zip(values, lows, strict=True)],
            },
            name=title,
            marker={"color": PALETTE[index]},
        )
    judged = [(name, *rater.repeats) for name, rater in zip(names, review.raters, strict=True) if rater.repeats[1]]
    figure.add_bar(
        x=[name for name, _, _ in judged],
        y=[good / all_ for _, good, all_ in judged],
        name="repeats judged alike",
        marker={"color": PALETTE[2]},
    )
    if review.rule.gold_accuracy is not None:
        figure.add_hline(y=review.rule.gold_accuracy, line={"dash": "dot", "color": "gray", "width": 1})
    figure.update_layout(**LAYOUT, barmode="group", height=320, legend={"orientation": "h", "y": 1.15})
    figure.update_xaxes(type="category")
    figure.update_yaxes(range=[0, 1.02], title="share")
    return figure


def prepare() -> None:
    """Draw one of everything and forget it: plotly loads what checks a property when it is first used."""
    bar = {"type": "data", "array": [1], "arrayminus": [1]}
    dot = {"size": 1, "color": PALETTE[0], "symbol": "circle"}
    figure = go.Figure(
        [
            go.Scatter(x=[1], y=[1], error_x=bar, error_y=bar, mode="markers", marker=dot, name="", hovertemplate=""),
            go.Bar(x=[1], y=[1], error_y=bar, name="", marker={"color": PALETTE[0]}),
            go.Heatmap(z=[[1]], colorscale="RdBu", texttemplate="", colorbar={"title": "", "thickness": 1}),
            go.Histogram(x=[1], histnorm="percent", bingroup="", marker={"color": PALETTE[0]}),
        ]
    )
    figure.add_vline(x=1, line={"dash": "dot", "color": "gray", "width": 1})
    figure.update_layout(**LAYOUT, showlegend=False, height=100, legend={"orientation": "h", "y": 1}, barmode="group")
    figure.update_xaxes(title="", range=[0, 1], type="category")
    figure.update_yaxes(title="", autorange="reversed", type="category")
    figure.to_json()
