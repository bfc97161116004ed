"""The charts of a report: what `figures` draws, as wide as a telephone, in the colours of the page's style sheet.

matplotlib writes colours into its SVG. Here each becomes a variable of the style sheet, so that a picture follows the
reader's light or dark scheme; text stays text, in the page's own font.
"""

from __future__ import annotations

import functools
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from harness.results import numbers
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.colours import GREY_INKS, GREYS, INKS, PALETTE, Looks
from harness.results.render.words import better
from harness.results.studies.curve import LearningCurve
from harness.results.studies.figure_data import TrainingCurve, cost_views
from harness.results.studies.tuning import TuningReport

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_VARIABLES: Mapping[str, str] = {
    **{colour: f"--h{index}" for index, colour in enumerate(GREY_INKS[:2])},
    **{colour: f"--g{index}" for index, colour in enumerate(GREYS)},
    **{colour: f"--i{index}" for index, colour in enumerate(INKS)},
    **{colour: f"--a{index}" for index, colour in enumerate(PALETTE)},
    **{"#222222": "--ink", "#000000": "--ink", "#767676": "--soft", "#d9d9d9": "--rule", "#ffffff": "--paper"},
}
"""Colours that figures are drawn in → variables of the style sheet."""
_CLASSES = re.compile(r' id="(?:(ring) [^"]*|[xy](tick)_\d+)"')


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture with its title; `alt` says what it shows."""

    title: str
    svg: str
    alt: str


def forest_chart(board: Leaderboard, looks: Looks) -> Chart | None:
    """The primary metric of every arm with its interval; None where no arm has a value."""
    from harness.results.render.figures import forest, style

    column = board.columns[0]
    cells = {row.arm: row.cells[column.name].estimate for row in board.rows}
    values = "; ".join(f"{arm} {numbers.with_interval(cell, column.bounds)}" for arm, cell in cells.items() if cell)
    title, alt = f"{column.name}, with 95 % intervals", f"{column.name} by arm: {values}"
    return _chart("forest", title, alt, lambda: forest.draw_values(board, looks, style.PHONE))


def cost_charts(board: Leaderboard, looks: Looks) -> list[Chart]:
    """Quality against each cost that is known, with the Pareto front."""
    from harness.results.render.figures import cost, style

    charts = []
    for view in cost_views(board):
        title = f"{board.primary} against {cost.NAMES[view.measure].partition(' (')[0]}"
        front = ", ".join(point.arm for point in view.points if point.on_front)
        alt = f"{title}; {better(board.columns[0])}. No other arm is at least as good and as cheap as: {front}."
        alt += f" Not measured: {', '.join(view.unknown)}." if view.unknown else ""
        draw = functools.partial(cost.draw_views, board, [view], looks, style.PHONE)
        charts.append(_chart(view.measure, title, alt, draw))
    return [chart for chart in charts if chart is not None]


def training_charts(curves: Sequence[TrainingCurve], looks: Looks) -> list[Chart]:
    """Loss, validation loss and gradient norm by step."""
    from harness.results.render.figures import style, training

    arms = ", ".join(dict.fromkeys(curve.arm for curve in curves))
    events = sum(len(curve.events) for curve in curves)
    charts = []
    for index, panel in enumerate(training.known_panels(curves)):
        alt = f"{panel[0]}, for {arms}." + (f" Signs of instability: {events}." if events else "")

        def draw(panel: training.Panel = panel) -> Figure:
            figure = training.draw_panels(curves, [panel], looks, style.PHONE)
            figure.axes[0].set_title("", loc="left")
            return figure

        charts.append(_chart(f"training-{index}", panel[0], alt, draw))
    return [chart for chart in charts if chart is not None]


def tuning_chart(report: TuningReport, looks: Looks) -> Chart | None:
    """What validation said of every learning rate that was tried; None where none was searched."""
    from harness.results.render.figures import style, tuning

    title = "validation by learning rate"
    alt = f"{title}, for {', '.join(arm.arm for arm in report.arms)}."
    return _chart("tuning", title, alt, lambda: tuning.draw(report, looks, style.PHONE))


def learning_chart(curve: LearningCurve, looks: Looks) -> Chart | None:
    """The primary metric by train examples; None without results on two shares."""
    from harness.results.render.figures import curve as figure, style

    title = f"{curve.primary} by train examples"
    alt = f"{title}, for {', '.join(arm.arm for arm in curve.arms)}."
    return _chart("curve", title, alt, lambda: figure.draw(curve, looks, style.PHONE))


def _chart(name: str, title: str, alt: str, draw: Callable[[], Figure | str]) -> Chart | None:
    """The chart that `draw` draws; None where that says why there is nothing to draw."""
    from harness.results.render.figures import style

    with warnings.catch_warnings(), style.context():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # the reader's fonts have what matplotlib's lack
        figure = draw()
        if isinstance(figure, str):
            return None
        text = style.drawn(figure, "svg", **{"svg.fonttype": "none", "savefig.transparent": True}).decode()
    return Chart(title, _for_page(text, name, alt), alt)


def _for_page(svg: str, name: str, alt: str) -> str:
    """matplotlib's SVG as a part of a page: no prolog, no style of its own, ids that no other picture has."""
    body = re.sub(r"\s*<(metadata|style)\b.*?</\1>|<!--.*?-->", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    body = re.sub(r"<defs>\s*</defs>", "", body)
    size = re.search(r'viewBox="([^"]*)"', body)
    assert size is not None, "matplotlib writes the size of a figure"
    head = f'<svg viewBox="{size[1]}" role="img" aria-label="{escape(numbers.printable(alt))}">'
    body = head + body[body.index(">") + 1 :]
    used = set(re.findall(r'(?:xlink:href="#|url\(#)([^")]+)', body))
    body = _CLASSES.sub(lambda match: f' class="{match[1] or match[2]}"', body)
    body = re.sub(r' id="([^"]*)"', lambda match: f' id="{name}-{match[1]}"' if match[1] in used else "", body)
    body = body.replace('xlink:href="#', f'href="#{name}-').replace("url(#", f"url(#{name}-")
    body = re.sub(r"(font: [^;\"]*?[\d.]+px)[^;\"]*", r"\1 var(--font)", body)
    variables = {colour.lower(): f"var({variable})" for colour, variable in _VARIABLES.items()}
    body = re.sub(r"#[0-9a-f]{6}\b", lambda match: variables.get(match[0], match[0]), body)
    return re.sub(r">\s+<", "><", re.sub(r"\s*\n\s*", " ", body)).strip()
