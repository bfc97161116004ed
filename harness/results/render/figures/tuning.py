"""Tuning: what validation said of every learning rate that was tried, and which one was chosen."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from harness.metrics import of_task
from harness.records import Trial
from harness.results.render.colours import Look, Looks
from harness.results.render.figures import labels, style
from harness.results.studies.tuning import ArmTuning, TuningReport

FIELD = "learning_rate"


def draw(report: TuningReport, looks: Looks, width: float = style.COLUMN) -> Figure | str:
    """The primary metric on validation (validation loss where trials answered nothing) against the learning rate."""
    loss = all(trial.value is None for arm in report.arms for trial in arm.trials)
    arms = [arm for arm in report.arms if _points(arm, loss)]
    if not arms:
        return "the experiment was not tuned over learning rates"
    figure = style.figure(width, 2.5)
    axes = figure.subplots()
    ends = {}
    for arm in arms:
        points = _points(arm, loss)
        look = looks[arm.arm]
        axes.plot(*zip(*points, strict=True), color=look.colour, lw=0.9, marker=look.marker, ms=4, mec="white", mew=0.4)
        ends[arm.arm] = max(points, key=lambda point: (point[1], -point[0]) if not loss else (-point[1], -point[0]))
        _chosen(axes, arm, loss, look)
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
    axes.set_title(f"{marks}; {style.better(direction)}", loc="left", fontsize=7, color=style.GREY)
    axes.grid(color=style.LIGHT, lw=0.5)
    axes.margins(x=0.12, y=0.14)
    figure.draw_without_rendering()
    labels.beside(axes, ends, looks, [_points(arm, loss) for arm in arms])
    return figure


def _value(trial: Trial, loss: bool) -> float | None:
    return trial.loss if loss else trial.value


def _points(one: ArmTuning, loss: bool) -> list[tuple[float, float]]:
    """Learning rate and value of the trials with the whole budget that ended well, by rate."""
    points = []
    for trial in one.trials:
        value = _value(trial, loss)
        if trial.share == 1 and value is not None and FIELD in trial.values:
            points.append((float(trial.values[FIELD]), value))
    return sorted(points)


def _chosen(axes: Axes, one: ArmTuning, loss: bool, look: Look) -> None:
    value = _value(one.chosen, loss) if one.chosen is not None else None
    if one.chosen is None or value is None or FIELD not in one.chosen.values:
        return
    rate = float(one.chosen.values[FIELD])
    axes.plot([rate], [value], marker="o", ms=9, mfc="none", mec=look.colour, mew=1.1, gid=f"ring {one.arm}")
