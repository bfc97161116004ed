"""The learning curve: the primary metric by train examples, with intervals."""

from __future__ import annotations

from matplotlib.figure import Figure

from harness.metrics import of_task
from harness.results.render.colours import Looks
from harness.results.render.figures import labels, style
from harness.results.studies.curve import LearningCurve


def draw(curve: LearningCurve, looks: Looks, width: float = style.COLUMN) -> Figure | str:
    """One line an arm over the shares of the train split, by ratio; or why there is nothing to draw."""
    ends = {}
    arms = [arm for arm in curve.arms if sum(point.estimate is not None for point in arm.points) > 1]
    if not arms:
        return "the experiment has no `data_fraction` with results on two shares"
    figure = style.figure(width, 2.5)
    axes = figure.subplots()
    shift = 1.02
    for index, arm in enumerate(arms):
        look = looks[arm.arm]
        # A hair apart, so that the whiskers of arms on one share do not cover each other.
        factor = shift ** (index - (len(arms) - 1) / 2)
        points = [(point.examples * factor, point.estimate) for point in arm.points if point.estimate is not None]
        axes.plot(
            [size for size, _ in points],
            [estimate.value for _, estimate in points],
            color=look.colour,
            marker=look.marker,
            ms=4.5,
            mec="white",
            mew=0.5,
        )
        for size, estimate in points:
            if estimate.low is not None and estimate.high is not None:
                axes.plot([size, size], [estimate.low, estimate.high], color=look.colour, lw=0.9)
        ends[arm.arm] = (points[-1][0], points[-1][1].value)
    axes.set_xscale("log", base=2)
    sizes = sorted({(point.fraction, point.examples) for arm in arms for point in arm.points})
    axes.set_xticks([size for _, size in sizes], [f"{size:,.0f}\n{fraction:.0%}" for fraction, size in sizes])
    axes.minorticks_off()
    axes.set_xlabel("train examples, and their share of the train split")
    metric = of_task(curve.primary, curve.experiment.task)
    axes.set_ylabel(f"{curve.primary}{f' ({metric.unit})' if metric.unit else ''}")
    axes.set_title(
        f"95 % intervals (these checkpoints: examples); {curve.direction} is better",
        loc="left",
        fontsize=7,
        color=style.GREY,
    )
    axes.grid(color=style.LIGHT, lw=0.5)
    figure.draw_without_rendering()
    labels.at_ends(axes, ends, looks)
    return figure
