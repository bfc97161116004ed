"""Tuning: what validation said of every learning rate that was tried, and which one was chosen."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from matplotlib.figure import Figure

from harness.metrics import of_task
from harness.records import Trial
from harness.results.render.colours import Looks
from harness.results.render.figures import labels, style
from harness.results.studies.tuning import TuningReport

FIELD = "learning_rate"


def draw(report: TuningReport, looks: Looks, width: float = style.COLUMN) -> Figure | str:
    """The primary metric on validation (validation loss where trials answered nothing) against the learning rate."""
    loss = all(trial.value is None for arm in report.arms for trial in arm.trials)
    # Of the trials with the whole budget.
    points_of = {arm.arm: _points((trial for trial in arm.trials if trial.share == 1), loss) for arm in report.arms}
    arms = [arm for arm in report.arms if points_of[arm.arm]]
    if not arms:
        return "the experiment was not tuned over learning rates"
    figure = style.figure(width, 2.5)
    axes = figure.subplots()
    ends = {}
    for arm in arms:
        points, look = points_of[arm.arm], looks[arm.arm]
        axes.plot(*zip(*points, strict=True), color=look.colour, lw=0.9, marker=look.marker, ms=4, mec="white", mew=0.4)
        ends[arm.arm] = max(points, key=lambda point: (point[1], -point[0]) if not loss else (-point[1], -point[0]))
        for chosen in _points([arm.chosen] if arm.chosen is not None else (), loss):
            ring: dict[str, Any] = {"ms": 9, "mfc": "none", "mec": look.colour, "mew": 1.1, "gid": f"ring {arm.arm}"}
            axes.plot(*chosen, marker="o", **ring)
        for trial in arm.trials:
            if trial.status != "ok" and FIELD in trial.values:
                at = float(trial.values[FIELD])
                axes.plot(
                    [at], [0.03], marker="x", color=look.colour, ms=4, mew=1.2, transform=axes.get_xaxis_transform()
                )
    axes.set_xscale("log")
    style.plain_log(axes.xaxis)
    axes.set_xlabel("learning rate")
    metric = of_task(report.primary, report.experiment.task)
    unit = f" ({metric.unit})" if metric.unit else ""
    axes.set_ylabel("validation loss (nats a token)" if loss else f"{report.primary} on validation{unit}")
    marks = "ring: chosen" + ("; ×: ended badly" if any(t.status != "ok" for arm in arms for t in arm.trials) else "")
    direction = "lower" if loss else report.direction
    axes.set_title(f"{marks}; {direction} is better", loc="left", fontsize=7, color=style.GREY)
    axes.grid(color=style.LIGHT, lw=0.5)
    axes.margins(x=0.12, y=0.14)
    figure.draw_without_rendering()
    labels.beside(axes, ends, looks, [points_of[arm.arm] for arm in arms])
    return figure


def _points(trials: Iterable[Trial], loss: bool) -> list[tuple[float, float]]:
    """Learning rate and value of these trials, as far as they have both, by rate."""
    values = [(trial.values.get(FIELD), trial.loss if loss else trial.value) for trial in trials]
    return sorted((float(rate), value) for rate, value in values if rate is not None and value is not None)
