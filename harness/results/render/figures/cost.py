"""Quality against cost (training time, memory, parameters, latency, money), with intervals and the Pareto front."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from harness.results import CostView, Leaderboard, cost_views
from harness.results.numbers import count
from harness.results.render.charts import windows
from harness.results.render.figures import labels, style
from harness.results.studies.figure_data import front_corners

NAMES = {
    "train_seconds": "training time (s)",
    "peak_memory": "peak memory (MB)",
    "trainable_parameters": "trainable parameters",
    "latency": "time to the first token (ms)",
    "money": "money",
}
ACROSS = 3
"""Panels in a row."""
WIDE = 20.0
"""From this ratio of the largest to the smallest cost on, the axis goes by ratio."""


def draw(board: Leaderboard, looks: style.Looks) -> Figure | str:
    """One panel a cost; or why there is nothing to draw."""
    views = cost_views(board)
    if not views:
        return "no arm has both a value and a cost"
    rows = -(-len(views) // ACROSS)
    made = style.figure(style.PAGE, 2.5 * rows)
    column = board.columns[0]
    grid = made.subplots(rows, min(ACROSS, len(views)), sharey=True, squeeze=False)
    panels, spare = grid.flat[: len(views)], grid.flat[len(views) :]
    for axes in spare:
        axes.remove()
    higher = column.direction == "higher"
    values = {row.arm: row.cells[board.primary].estimate for row in board.rows}
    shown = windows.window({arm: one for arm, one in values.items() if one is not None}, higher)
    for axes, view in zip(panels, views, strict=True):
        _panel(axes, view, looks, shown)
    panels[0].set_ylim(shown.low, shown.high)
    unit = f" ({column.unit})" if column.unit else ""
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{column.name}{unit}, {style.better(column.direction)}")
    made.draw_without_rendering()
    for axes, view in zip(panels, views, strict=True):
        points = {point.arm: (point.cost, _inside(point.value, shown)) for point in view.points}
        labels.beside(axes, points, looks, _lines(view))
    return made


def _inside(value: float, shown: windows.Window) -> float:
    """Where a point is drawn: at the edge when it lies beyond."""
    room = 0.03 * (shown.high - shown.low)
    return min(max(value, shown.low + room), shown.high - room)


def _lines(view: CostView) -> list[list[tuple[float, float]]]:
    """Lines that no name may cross: the front and the whiskers."""
    whiskers = [
        [(point.cost, point.low), (point.cost, point.high)]
        for point in view.points
        if point.low is not None and point.high is not None
    ]
    across = [
        [(point.cost_low, point.value), (point.cost_high, point.value)]
        for point in view.points
        if point.cost_low is not None and point.cost_high is not None
    ]
    return [front_corners(view), *whiskers, *across]


def _panel(axes: Axes, view: CostView, looks: style.Looks, shown: windows.Window) -> None:
    costs = [point.cost for point in view.points]
    positive = [cost for cost in costs if cost > 0]
    if positive and max(positive) / min(positive) > WIDE:
        if min(costs) > 0:
            axes.set_xscale("log")
        else:
            axes.set_xscale("symlog", linthresh=min(positive) / 2, linscale=0.3)
    corners = front_corners(view)
    if len(corners) > 1:
        axes.plot(*zip(*corners, strict=True), color=style.GREY, lw=0.8, ls=(0, (4, 2)), zorder=1)
    for point in view.points:
        look = looks[point.arm]
        if point.low is not None and point.high is not None:
            axes.plot([point.cost] * 2, [point.low, point.high], color=look.colour, lw=1.0, zorder=2)
        if point.cost_low is not None and point.cost_high is not None:
            axes.plot([point.cost_low, point.cost_high], [point.value] * 2, color=look.colour, lw=1.0, zorder=2)
        beyond = "v" if point.value < shown.low else "^" if point.value > shown.high else ""
        axes.plot(
            [point.cost],
            [_inside(point.value, shown)],
            marker=beyond or look.marker,
            ms=5,
            color=look.colour,
            mec=style.INK if point.on_front else "white",
            mew=0.8 if point.on_front else 0.5,
            zorder=3,
        )
    axes.set_xlabel(NAMES[view.measure])
    axes.grid(color=style.LIGHT, lw=0.5)
    axes.margins(x=0.15)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: count(value) if abs(value) >= 1000 else f"{value:g}"))
    if axes.get_xscale() == "linear":
        axes.locator_params(axis="x", nbins=5)
    if view.unknown:
        axes.set_title(f"not measured: {', '.join(view.unknown)}", loc="left", fontsize=6, color=style.GREY)
