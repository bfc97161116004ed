"""Every metric of every arm with its interval, one small panel a metric."""

from __future__ import annotations

import math

from matplotlib.figure import Figure

from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.colours import Looks
from harness.results.render.figures import labels, style

ACROSS = 4


def draw(board: Leaderboard, looks: Looks) -> Figure | str:
    """A grid of panels in the board's order; or why there is nothing to draw."""
    rows = [row for row in board.rows if row.evaluations]
    columns = [column for column in board.columns if any(row.cells[column.name].estimate for row in rows)]
    if len(columns) < 2:
        return "there is no metric beside the primary one"
    down = math.ceil(len(columns) / ACROSS)
    figure = style.figure(style.PAGE, down * (0.55 + 0.15 * len(rows)))
    grid = figure.subplots(down, min(ACROSS, len(columns)), sharey=True, squeeze=False)
    for index, axes in enumerate(grid.flat):
        if index >= len(columns):
            axes.set_visible(False)
            continue
        column = columns[index]
        for height, row in enumerate(rows):
            estimate, look = row.cells[column.name].estimate, looks[row.arm]
            if estimate is None:
                continue
            if estimate.low is not None and estimate.high is not None:
                axes.plot([estimate.low, estimate.high], [height, height], color=look.colour, lw=1.2)
            axes.plot([estimate.value], [height], marker=look.marker, ms=3.5, color=look.colour, mec="white", mew=0.4)
        arrow = "↑" if column.direction == "higher" else "↓"
        axes.set_title(f"{column.name.rpartition(':')[2]} {arrow}", loc="left", fontsize=7, pad=3)
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_yticks(range(len(rows)), [labels.short(row.arm) for row in rows])
        axes.tick_params(axis="y", length=0)
        axes.spines["left"].set_visible(False)
        axes.grid(axis="x", color=style.LIGHT, lw=0.5)
        axes.locator_params(axis="x", nbins=3)
        for tick, row in zip(axes.get_yticklabels(), rows, strict=False):  # none where the axis is shared
            tick.set_color(looks[row.arm].ink)
    return figure
