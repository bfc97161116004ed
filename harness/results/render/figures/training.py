"""Training curves: loss, validation loss and gradient norm by step, with the signs of an unstable training."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.records import TrainLogRow
from harness.results.render.colours import Looks
from harness.results.render.figures import labels, style
from harness.results.render.figures.windows import running_median, thinned
from harness.results.studies.figure_data import TrainingCurve

Panel = tuple[str, Callable[[TrainLogRow], float | None], bool]
PANELS: tuple[Panel, ...] = (
    ("training loss, smoothed (each arm's own objective)", lambda row: row.loss, True),
    ("validation loss (nats a token)", lambda row: row.validation_loss, False),
    ("gradient norm, smoothed", lambda row: row.gradient_norm, True),
)
"""Title, what is drawn, and whether it is noise enough to want a running median."""
WINDOW = 0.08
"""Share of a training that the running median covers."""


def draw(curves: Sequence[TrainingCurve], looks: Looks) -> Figure | str:
    """Three panels above one axis of steps, a line for each arm and seed; or why there is nothing to draw."""
    shown = known_panels(curves)
    if not shown:
        return "no training log of more than one step is stored"
    return draw_panels(curves, shown, looks, style.COLUMN)


def known_panels(curves: Sequence[TrainingCurve]) -> list[Panel]:
    """The quantities that some log has at two steps."""
    return [panel for panel in PANELS if any(len(_points(curve, panel)) > 1 for curve in curves)]


def draw_panels(curves: Sequence[TrainingCurve], shown: Sequence[Panel], looks: Looks, width: float) -> Figure:
    """A figure of these quantities, `width` inches wide."""
    figure = style.figure(width, 0.5 + 1.45 * len(shown))
    panels = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    drawn = [_panel(axes, panel, curves, looks) for axes, panel in zip(panels, shown, strict=True)]
    panels[-1].set_xlabel("optimiser step")
    if any(curve.events for curve in curves):
        panels[0].plot([], [], marker="x", ls="", color=style.INK, ms=4, mew=1.2, label="sign of instability")
        panels[0].legend(loc="upper right", frameon=False, handletextpad=0.2)
    figure.draw_without_rendering()
    for axes, ends in zip(panels, drawn, strict=True):
        labels.at_ends(axes, ends, looks)
    return figure


def _points(curve: TrainingCurve, panel: Panel) -> list[tuple[int, float]]:
    values = [(row.step, panel[1](row)) for row in curve.rows]
    return [(step, value) for step, value in values if value is not None]


def _panel(axes: Axes, panel: Panel, curves: Sequence[TrainingCurve], looks: Looks) -> dict[str, tuple[float, float]]:
    """Draw one quantity; where each arm's lines end."""
    ends: dict[str, list[tuple[int, float]]] = {}
    positive = True
    for curve in curves:
        points = _points(curve, panel)
        if not points:
            continue
        look = looks[curve.arm]
        smooth = thinned(running_median(points, WINDOW) if panel[2] else points)
        marks: dict[str, Any] = {} if panel[2] else {"marker": look.marker, "ms": 3, "mec": "white", "mew": 0.3}
        axes.plot(*zip(*(smooth if panel[2] else points), strict=True), lw=0.9, color=look.colour, alpha=0.85, **marks)
        positive &= min(value for _, value in smooth) > 0
        ends.setdefault(curve.arm, []).append(smooth[-1])
        for event in curve.events:  # on the curve where it has a value there, else at the foot of the panel
            height = dict(points).get(event.step)
            where = axes.transData if height is not None else axes.get_xaxis_transform()
            cross: dict[str, Any] = {"marker": "x", "color": look.colour, "ms": 4, "mew": 1.2, "zorder": 4}
            axes.plot([event.step], [0.03 if height is None else height], transform=where, **cross)
    if positive:
        axes.set_yscale("log")
        style.plain_log(axes.yaxis)
    axes.set_title(panel[0], loc="left", fontsize=8)
    axes.grid(color=style.LIGHT, lw=0.5)
    axes.margins(x=0.02)
    return {
        arm: (float(max(step for step, _ in last)), statistics.fmean(value for _, value in last))
        for arm, last in ends.items()
    }
