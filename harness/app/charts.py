"""Charts of the app: pure functions from a report's records to a plotly figure.

An arm has the colour and the marker that it has in the report and on paper (`render.colours`). Streamlit's theme gives
background and text, light or dark.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from harness.results.human.records import HumanReview, HumanTable
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.colours import PALETTE, Looks, arm_looks
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


def forest(board: Leaderboard) -> go.Figure:
    """The primary metric of every arm with its interval, the best on top."""
    primary = board.columns[0]
    rows = [row for row in board.rows if row.cells[primary.name].estimate is not None]
    looks = arm_looks(board.experiment, [row.arm for row in rows])
    figure = go.Figure()
    for row in rows:
        estimate = row.cells[primary.name].estimate
        assert estimate is not None
        low, high = (estimate.value if end is None else end for end in (estimate.low, estimate.high))
        figure.add_scatter(
            x=[estimate.value],
            y=[row.arm],
            error_x={"type": "data", "array": [high - estimate.value], "arrayminus": [estimate.value - low]},
            mode="markers",
            marker=_marker(looks, row.arm, 11),
            name=row.arm,
            hovertemplate=f"%{{y}}: {estimate.value:.4g} [{low:.4g}, {high:.4g}]<extra></extra>",
        )
    better = "higher is better" if primary.direction == "higher" else "lower is better"
    figure.update_layout(**LAYOUT, showlegend=False, height=80 + 42 * len(rows))
    figure.update_xaxes(title=f"{primary.name}, 95 % interval ({better})")
    figure.update_yaxes(autorange="reversed", type="category")
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
    most = max(one.cost for one in view.points) or 1.0
    values = [one.value for one in view.points]
    spread = max(values) - min(values) or 1.0
    near = any(
        one is not point and 0 <= one.cost - point.cost < 0.15 * most and abs(one.value - point.value) < 0.08 * spread
        for one in view.points
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
    figure = go.Figure()
    for arm in table.arms:
        rate = arm.win_rate.rate.estimate
        if rate is None:
            continue
        low, high = (rate.value if end is None else end for end in (rate.low, rate.high))
        figure.add_scatter(
            x=[rate.value],
            y=[arm.arm],
            error_x={"type": "data", "array": [high - rate.value], "arrayminus": [rate.value - low]},
            mode="markers",
            marker=_marker(looks, arm.arm, 11),
            name=arm.arm,
            hovertemplate=f"%{{y}}: {rate.value:.3f} [{low:.3f}, {high:.3f}]<extra></extra>",
        )
    figure.add_vline(x=0.5, line={"dash": "dot", "color": "gray", "width": 1})
    figure.update_layout(**LAYOUT, showlegend=False, height=120 + 42 * len(table.arms))
    figure.update_xaxes(title="human win rate, ties as half, 95 % interval", range=[0, 1])
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def pair_matrix(table: HumanTable) -> go.Figure:
    """How often the arm of the row was preferred to that of the column, ties as half; empty where they never met."""
    names = [one.arm for one in table.arms]
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
    names = [html.escape(one.rater) + (" (left out)" if one.excluded else "") for one in review.raters]
    figure = go.Figure()
    kinds = (("gold pairs right", "gold"), ("identical pairs called alike", "identical"))
    for index, (title, field) in enumerate(kinds):
        rates = [(name, getattr(one, field).estimate) for name, one in zip(names, review.raters, strict=True)]
        shown = [(name, one) for name, one in rates if one is not None]
        figure.add_bar(
            x=[name for name, _ in shown],
            y=[one.value for _, one in shown],
            error_y={
                "type": "data",
                "array": [(one.high or one.value) - one.value for _, one in shown],
                "arrayminus": [one.value - (one.low if one.low is not None else one.value) for _, one in shown],
            },
            name=title,
            marker={"color": PALETTE[index]},
        )
    judged = [(name, *one.repeats) for name, one in zip(names, review.raters, strict=True) if one.repeats[1]]
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
