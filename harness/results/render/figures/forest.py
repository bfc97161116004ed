"""The forest plot: the primary metric of every arm, and its paired differences from the reference and the best arm."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.records import Estimate
from harness.results.leaderboard.rows import Leaderboard, Row
from harness.results.numbers import Bounds, with_interval
from harness.results.render.colours import Looks
from harness.results.render.figures import labels, style, windows
from harness.results.render.words import better


def draw(board: Leaderboard, looks: Looks) -> Figure | str:
    """Three panels over one row an arm, the best first; or why there is nothing to draw."""
    rows = _rows(board)
    if not rows:
        return f"no arm has a value of {board.primary}"
    column, name = board.columns[0], board.primary
    figure = style.figure(style.PAGE, 0.85 + 0.29 * len(rows))
    third = rows[0].arm != board.reference and any(row.to_best for row in rows)
    panels = figure.subplots(1, 3 if third else 2, sharey=True)
    _values(panels[0], board, rows, looks)
    differences = {row.arm: row.cells[name].difference for row in rows}
    to_best = {row.arm: row.to_best for row in rows}
    instead = {
        row.arm: "reference" if row.arm == board.reference else "no difference: see the leaderboard" for row in rows
    }
    _panel(panels[1], rows, differences, looks, column.bounds, instead)
    if third:
        best = {row.arm: "best value" if row is rows[0] else instead[row.arm] for row in rows}
        _panel(panels[2], rows, to_best, looks, column.bounds, best)
        _zoom(panels[2], {arm: estimate for arm, estimate in to_best.items() if estimate is not None}, rows, looks)
        panels[2].set_xlabel(f"minus {labels.short(rows[0].arm)}, paired")
    margin = board.verdict.rule.margin
    for axes in panels[1:]:
        axes.axvline(0, color=style.GREY, lw=0.8, zorder=1)
        if margin:
            axes.axvspan(-margin, margin, color=style.LIGHT, alpha=0.7, lw=0, zorder=0)
    panels[1].set_xlabel(f"minus {labels.short(board.reference)}, paired")
    what = "these methods: seeds and examples" if board.question == "method" else "these checkpoints: examples"
    panels[0].set_title(f"95 % intervals ({what})", loc="left", color=style.GREY, fontsize=6.5)
    if margin:
        panels[-1].set_title(f"band: ±{margin:g}, what does not matter", loc="left", color=style.GREY, fontsize=6.5)
    return figure


def draw_values(board: Leaderboard, looks: Looks, width: float) -> Figure | str:
    """The first panel alone, `width` inches wide."""
    rows = _rows(board)
    if not rows:
        return f"no arm has a value of {board.primary}"
    figure = style.figure(width, 0.55 + 0.33 * len(rows))
    _values(figure.subplots(), board, rows, looks)
    return figure


def _rows(board: Leaderboard) -> list[Row]:
    return [row for row in board.rows if row.cells[board.primary].estimate is not None]


def _values(axes: Axes, board: Leaderboard, rows: Sequence[Row], looks: Looks) -> None:
    """The primary metric of every arm, its name at the left."""
    column = board.columns[0]
    _panel(axes, rows, {row.arm: row.cells[column.name].estimate for row in rows}, looks, column.bounds)
    axes.set_ylim(len(rows) - 0.4, -0.7)
    axes.set_yticks(range(len(rows)), [labels.short(row.arm) + ("" if row.budget_known else " ?") for row in rows])
    for tick, row in zip(axes.get_yticklabels(), rows, strict=True):
        tick.set_color(looks[row.arm].ink)
    unit = f" ({column.unit})" if column.unit else ""
    axes.set_xlabel(f"{column.name}{unit}, {better(column)}")


def _panel(
    axes: Axes,
    rows: Sequence[Row],
    estimates: Mapping[str, Estimate | None],
    looks: Looks,
    bounds: Bounds,
    instead: Mapping[str, str] | None = None,
) -> None:
    """One row an arm; `instead` stands where there is no estimate."""
    shown = [estimate for estimate in estimates.values() if estimate is not None]
    ends = [end for estimate in shown for end in (estimate.low, estimate.value, estimate.high) if end is not None]
    low, high = min(ends, default=0.0), max(ends, default=1.0)
    for height, row in enumerate(rows):
        estimate, look = estimates[row.arm], looks[row.arm]
        if estimate is None:
            text = (instead or {}).get(row.arm, "")
            small: dict[str, Any] = {"va": "center", "ha": "center", "fontsize": 6, "color": style.GREY}
            axes.text(0.5, height, text, transform=axes.get_yaxis_transform(), **small)
            continue
        if estimate.low is not None and estimate.high is not None:
            line = [estimate.low, estimate.high], [height, height]
            axes.plot(*line, color=look.colour, lw=1.3)
            axes.plot(*line, color=look.colour, marker="|", ms=4, mew=0.9, ls="")
        axes.plot([estimate.value], [height], marker=look.marker, ms=3.6, color=look.colour, mec="white", mew=0.4)
        # The numbers above an interval stay within the panel: at the left of it, in the middle, or at the right.
        share = 0.5 if high == low else (estimate.value - low) / (high - low)
        x, side = (0.0, "left") if share < 1 / 3 else (1.0, "right") if share > 2 / 3 else (0.5, "center")
        axes.text(
            x,
            height - 0.2,
            with_interval(estimate, bounds, sign=instead is not None).replace("-", "−"),
            transform=axes.get_yaxis_transform(),
            ha=side,
            va="bottom",
            fontsize=6,
            color=style.INK,
            bbox={"boxstyle": "square,pad=0.05", "fc": "white", "ec": "none"},
            zorder=1.5,
        )
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x", color=style.LIGHT, lw=0.5)
    axes.locator_params(axis="x", nbins=5)
    axes.margins(x=0.06)


def _zoom(axes: Axes, estimates: Mapping[str, Estimate], rows: Sequence[Row], looks: Looks) -> None:
    """Show the arms near the best one; point at the others from the edge."""
    if not estimates:
        return
    higher = rows[0].arm not in estimates and all(estimate.value <= 0 for estimate in estimates.values())
    best = Estimate(0.0, None, None, 0, 0, 0, "")
    shown = windows.window({**estimates, rows[0].arm: best}, higher)
    axes.set_xlim(shown.low, shown.high)
    for height, row in enumerate(rows):
        if row.arm in estimates and row.arm not in shown.near:
            left = estimates[row.arm].value < shown.low
            axes.plot(
                [0.02 if left else 0.98],
                [height],
                marker="<" if left else ">",
                ms=4,
                color=looks[row.arm].colour,
                transform=axes.get_yaxis_transform(),
                clip_on=False,
            )
