"""Quality against cost (training time, memory, parameters, latency, money), with intervals and the Pareto front."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.colours import Looks
from harness.results.render.figures import labels, style, windows
from harness.results.render.words import better
from harness.results.studies.figure_data import CostView, cost_views, front_corners

NAMES = {
    "train_seconds": "training time (s)",
    "peak_memory": "peak memory (MB)",
    "trainable_parameters": "trainable parameters",
    "latency": "time to the first token (ms)",
    "money": "money",
}
ACROSS = 3
"""Panels in a row."""


def draw(board: Leaderboard, looks: Looks) -> Figure | str:
    """One panel a cost; or why there is nothing to draw."""
    views = cost_views(board)
    return draw_views(board, views, looks, style.PAGE) if views else "no arm has both a value and a cost"


def draw_views(board: Leaderboard, views: Sequence[CostView], looks: Looks, width: float) -> Figure:
    """A figure of these costs, `width` inches wide."""
    rows = -(-len(views) // ACROSS)
    figure = style.figure(width, 2.5 * rows)
    column = board.columns[0]
    grid = figure.subplots(rows, min(ACROSS, len(views)), sharey=True, squeeze=False)
    panels, spare = grid.flat[: len(views)], grid.flat[len(views) :]
    for axes in spare:
        axes.remove()
    higher = column.direction == "higher"
    values = {row.arm: row.cells[board.primary].estimate for row in board.rows}
    shown = windows.window({arm: estimate for arm, estimate in values.items() if estimate is not None}, higher)
    lines = [_panel(axes, view, looks, shown) for axes, view in zip(panels, views, strict=True)]
    panels[0].set_ylim(shown.low, shown.high)
    unit = f" ({column.unit})" if column.unit else ""
    for axes in grid[:, 0]:
        axes.set_ylabel(f"{column.name}{unit}, {better(column)}")
    figure.draw_without_rendering()
    for axes, view, crossed in zip(panels, views, lines, strict=True):
        points = {point.arm: (point.cost, _inside(point.value, shown)) for point in view.points}
        labels.beside(axes, points, looks, crossed)
    return figure


def _inside(value: float, shown: windows.Window) -> float:
    """Where a point is drawn: at the edge when it lies beyond."""
    room = 0.03 * (shown.high - shown.low)
    return min(max(value, shown.low + room), shown.high - room)


def _panel(axes: Axes, view: CostView, looks: Looks, shown: windows.Window) -> list[list[tuple[float, float]]]:
    """Draw one cost; the lines that no name may cross: the front and the whiskers."""
    style.amounts(axes, [point.cost for point in view.points])
    corners = front_corners(view)
    if len(corners) > 1:
        axes.plot(*zip(*corners, strict=True), color=style.GREY, lw=0.8, ls=(0, (4, 2)), zorder=1)
    lines = [corners]
    for point in view.points:
        look = looks[point.arm]
        whiskers = []
        if point.low is not None and point.high is not None:
            whiskers.append([(point.cost, point.low), (point.cost, point.high)])
        if point.cost_low is not None and point.cost_high is not None:
            whiskers.append([(point.cost_low, point.value), (point.cost_high, point.value)])
        for whisker in whiskers:
            axes.plot(*zip(*whisker, strict=True), color=look.colour, lw=1.0, zorder=2)
        lines += whiskers
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
    if view.unknown:
        missing = ", ".join(map(labels.short, view.unknown))
        axes.set_title(f"not measured: {missing}", loc="left", fontsize=6, color=style.GREY)
    return lines
