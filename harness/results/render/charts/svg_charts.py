"""The charts of a report, drawn of the same records as `harness/figures`, with classes in place of colours.

A page's style sheet gives the colours, for light and for dark; arms differ in their markers as well.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from harness.records import Estimate, TrainLogRow, Trial
from harness.results import numbers
from harness.results.collect import Results
from harness.results.leaderboard.columns import Column
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.charts.palette import MARKERS, PALETTE
from harness.results.render.charts.svg import LETTER, WIDTH, Drawing, Point, Scale, beside, shortened
from harness.results.render.charts.windows import Window, running_median, thinned, window
from harness.results.studies.curve import LearningCurve
from harness.results.studies.figure_data import CostView, TrainingCurve, cost_views, front_corners
from harness.results.studies.tuning import TuningReport

GREYS = 3
LEFT, RIGHT, TOP = 52.0, WIDTH - 12.0, 12.0
COSTS: Mapping[str, str] = {
    "train_seconds": "training time (s)",
    "peak_memory": "peak memory while training (MB)",
    "trainable_parameters": "trainable parameters",
    "latency": "time to the first token (ms)",
    "money": "money",
}
WIDE = 20.0
"""From this ratio of the largest to the smallest cost on, an axis goes by ratio."""


@dataclass(frozen=True, slots=True)
class Chart:
    """A picture with its title; `alt` says what it shows."""

    title: str
    svg: str
    alt: str


@dataclass(frozen=True, slots=True)
class ArmLook:
    """An arm's class of colours and its marker."""

    kind: str
    marker: str

    def swatch(self) -> str:
        """A marker for a legend."""
        drawing = Drawing(12, "", 12)
        drawing.mark((6, 6), self.marker, f"dot {self.kind}", 4.5)
        return drawing.svg().replace('role="img" aria-label=""', 'aria-hidden="true"')


Looks = Mapping[str, ArmLook]


def looks_of(results: Results) -> dict[str, ArmLook]:
    """A class and a marker for every arm: trained arms first, those without training grey."""
    arms = list(dict.fromkeys(entry.arm for entry in results.entries))
    seeds = {entry.arm for entry in results.entries if entry.seed is not None}
    plain = [arm for arm in arms if arm not in seeds]
    found = {}
    for place, arm in enumerate([*(arm for arm in arms if arm in seeds), *plain]):
        kind = f"a{place % len(PALETTE)}" if arm in seeds else f"g{plain.index(arm) % GREYS}"
        found[arm] = ArmLook(kind, MARKERS[place % 7])
    return found


# ----------------------------------------------------------------------------------------------------------- forest


def forest(board: Leaderboard, looks: Looks) -> Chart | None:
    """The primary metric of every arm with its interval; None where no arm has a value."""
    column = board.columns[0]
    rows = [(row.arm, row.cells[column.name].estimate) for row in board.rows]
    found = [(arm, estimate) for arm, estimate in rows if estimate is not None]
    if not found:
        return None
    alt = "; ".join(f"{arm} {numbers.with_interval(estimate, column.bounds)}" for arm, estimate in found)
    low, high = _ends([estimate for _, estimate in found])
    if column.bounds is not None and column.bounds[1] - column.bounds[0] <= 2 * (high - low):
        low, high = column.bounds
    left, step = 14 + LETTER * max(len(shortened(arm, 16)) for arm, _ in found), 30.0
    bottom = TOP + step * len(found)
    drawing = Drawing(bottom + 44, f"{column.name} by arm: {alt}")
    scale = Scale(*_roomy(low, high, 0.04), left + 6, RIGHT)
    drawing.across(scale, f"{column.name.rpartition(':')[2]}, {_better(column.direction)}", TOP, bottom)
    for place, (arm, estimate) in enumerate(found):
        y = TOP + step * (place + 0.5)
        look = looks[arm]
        drawing.words((left, y + 4), shortened(arm, 16), f"name {look.kind}", "end")
        if estimate.low is not None and estimate.high is not None:
            drawing.line([(scale(estimate.low), y), (scale(estimate.high), y)], f"whisker {look.kind}")
        drawing.mark((scale(estimate.value), y), look.marker, f"dot {look.kind}", 3.5)
    return Chart(f"{column.name}, with 95 % intervals", drawing.svg(), drawing.text)


# ------------------------------------------------------------------------------------------------------------- cost


def cost_charts(board: Leaderboard, looks: Looks) -> list[Chart]:
    """Quality against each cost that is known, with the Pareto front."""
    views = cost_views(board)
    if not views:
        return []
    values = {row.arm: row.cells[board.primary].estimate for row in board.rows}
    column = board.columns[0]
    shown = window({arm: one for arm, one in values.items() if one is not None}, column.direction == "higher")
    return [_cost(view, looks, shown, column) for view in views]


def _cost(view: CostView, looks: Looks, shown: Window, column: Column) -> Chart:
    front = ", ".join(point.arm for point in view.points if point.on_front)
    title = f"{column.name} against {COSTS[view.measure].partition(' (')[0].removesuffix(' while training')}"
    beyond = [point.arm for point in view.points if point.arm not in shown.near]
    alt = f"{title}. No other arm is at least as good and as cheap as: {front}."
    if view.unknown:
        alt += f" Not measured: {', '.join(view.unknown)}."
    if beyond:
        alt += f" Beyond the edge of the chart: {', '.join(beyond)}."
    height = 262.0
    bottom = height - 46
    drawing = Drawing(height, alt)
    across = _cost_scale(view)
    up = Scale(shown.low, shown.high, bottom, TOP)
    drawing.up(up, LEFT, RIGHT)
    drawing.across(across, COSTS[view.measure], TOP, bottom)

    def inside(value: float) -> float:
        return min(max(up(value), TOP + 8), bottom - 8)

    corners = [(across(cost), inside(value)) for cost, value in front_corners(view)]
    if len(corners) > 1:
        drawing.line(corners, "front")
    places = {}
    for point in view.points:
        look, at = looks[point.arm], (across(point.cost), inside(point.value))
        if point.low is not None and point.high is not None and point.arm in shown.near:
            drawing.line([(at[0], inside(point.low)), (at[0], inside(point.high))], f"whisker {look.kind}")
        if point.cost_low is not None and point.cost_high is not None:
            ends = (max(point.cost_low, across.low), min(point.cost_high, across.high))
            drawing.line([(across(end), at[1]) for end in ends], f"whisker {look.kind}")
        past = "" if point.arm in shown.near else "v" if point.value < shown.low else "^"
        kind = f"dot {look.kind}" + (" best" if point.on_front else "")
        drawing.mark(at, past or look.marker, kind, 5, f"{point.arm} {point.value:.4g}")
        places[point.arm] = at
    beside(drawing, places, {arm: look.kind for arm, look in looks.items()}, (LEFT, TOP - 8, RIGHT, bottom))
    return Chart(title, drawing.svg(), alt)


def _cost_scale(view: CostView) -> Scale:
    costs = [point.cost for point in view.points]
    positive = [cost for cost in costs if cost > 0]
    start, end = LEFT + 14, RIGHT - 22
    if positive and max(positive) / min(positive) > WIDE:
        if min(costs) > 0:
            return Scale(min(costs) / 1.4, max(costs) * 1.4, start, end, "log")
        return Scale(0, max(costs) * 1.4, start, end, "knee", min(positive) / 2)
    low, high = _roomy(min(costs), max(costs), 0.06)
    return Scale(max(0.0, low) if min(costs) >= 0 else low, high, start, end)


# -------------------------------------------------------------------------------------------- training, tuning, data

PANELS: tuple[tuple[str, Callable[[TrainLogRow], float | None], bool], ...] = (
    ("training loss, smoothed (each arm's own objective)", lambda row: row.loss, True),
    ("validation loss (nats a token)", lambda row: row.validation_loss, False),
    ("gradient norm, smoothed", lambda row: row.gradient_norm, True),
)
"""Title, what is drawn, and whether it is noise enough to want a running median."""


def training_charts(curves: Sequence[TrainingCurve], looks: Looks) -> list[Chart]:
    """Loss, validation loss and gradient norm by step; quantities that no log has at two steps are left out."""
    found = []
    for title, read, noisy in PANELS:
        lines = []
        for curve in curves:
            points = [(float(row.step), value) for row in curve.rows if (value := read(row)) is not None]
            if len(points) > 1:
                shown = running_median([(round(x), y) for x, y in points], 0.08) if noisy else points
                lines.append(Line(curve.arm, [(float(x), y) for x, y in thinned(_whole(shown), 160)], not noisy))
        events = [(curve.arm, float(event.step)) for curve in curves for event in curve.events]
        if lines:
            found.append(_lines(title, "optimiser step", lines, looks, events))
    return found


def _whole(points: Sequence[tuple[float, float]]) -> list[tuple[int, float]]:
    return [(round(x), y) for x, y in points]


def tuning_chart(report: TuningReport, looks: Looks) -> Chart | None:
    """What validation said of every learning rate that was tried; None where none was searched."""
    loss = all(trial.value is None for one in report.arms for trial in one.trials)

    def value(trial: Trial) -> float | None:
        return trial.loss if loss else trial.value

    lines = []
    for one in report.arms:
        points = sorted(
            (float(trial.values["learning_rate"]), y)
            for trial in one.trials
            if trial.share == 1 and "learning_rate" in trial.values and (y := value(trial)) is not None
        )
        rate = one.chosen.values.get("learning_rate") if one.chosen is not None else None
        if points:
            lines.append(Line(one.arm, points, True, ring=float(rate) if rate is not None else None))
    what = "validation loss" if loss else f"{report.primary} on validation"
    return _lines(f"{what} by learning rate (ring: chosen)", "learning rate", lines, looks) if lines else None


def learning_chart(curve: LearningCurve, looks: Looks) -> Chart | None:
    """The primary metric by train examples; None without results on two shares."""
    lines = []
    for one in curve.arms:
        known = [(point.examples, point.estimate) for point in one.points if point.estimate is not None]
        if len(known) > 1:
            bars = [(x, e.low, e.high) for x, e in known if e.low is not None and e.high is not None]
            lines.append(Line(one.arm, [(x, e.value) for x, e in known], True, bars))
    return _lines(f"{curve.primary} by train examples", "train examples", lines, looks) if lines else None


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart."""

    arm: str
    points: Sequence[Point]
    marked: bool
    bars: Sequence[tuple[float, float, float]] = ()
    """x, low, high."""
    ring: float | None = None
    """The x that was chosen."""


def _lines(
    title: str, across_title: str, lines: Sequence[Line], looks: Looks, events: Sequence[tuple[str, float]] = ()
) -> Chart:
    """Lines above one axis, by ratio where the values span a factor of three, or the x (not of steps) one of 20."""
    arms = ", ".join(dict.fromkeys(line.arm for line in lines))
    height = 240.0
    bottom = height - 46
    alt = f"{title}, for {arms}." + (f" Signs of instability: {len(events)}." if events else "")
    drawing = Drawing(height, alt)
    xs = [x for line in lines for x, _ in line.points]
    ys = [y for line in lines for _, y in line.points] + [end for line in lines for bar in line.bars for end in bar[1:]]
    by_ratio = 0.0 if across_title == "optimiser step" else 20.0
    across = _fitting(xs, LEFT + 8, RIGHT - 8, by_ratio)
    up = _fitting(ys, bottom - 6, TOP + 6, 3)
    drawing.up(up, LEFT, RIGHT)
    drawing.across(across, across_title, TOP, bottom)
    for line in lines:
        look = looks[line.arm]
        points = [(across(x), up(y)) for x, y in line.points]
        for x, low, high in line.bars:
            drawing.line([(across(x), up(low)), (across(x), up(high))], f"whisker {look.kind}")
        drawing.line(points, f"line {look.kind}")
        for (x, y), (value, _) in zip(points, line.points, strict=True):
            if line.marked:
                drawing.mark((x, y), look.marker, f"dot {look.kind}", 3.5)
            if line.ring is not None and value == line.ring:
                drawing.mark((x, y), "o", f"ring {look.kind}", 8)
        if not line.marked:
            drawing.mark(points[-1], look.marker, f"dot {look.kind}", 4, line.arm)
    for arm, step in events:
        if across.low <= step <= across.high:
            drawing.cross((across(step), bottom - 6), f"cross {looks[arm].kind}")
    return Chart(title, drawing.svg(), alt)


def _fitting(values: Sequence[float], start: float, end: float, ratio: float) -> Scale:
    low, high = min(values), max(values)
    if ratio and low > 0 and high / low > ratio:
        return Scale(low, high, start, end, "log")
    return Scale(*_roomy(low, high, 0.0 if high > low else 0.5), start, end)


def _ends(estimates: Sequence[Estimate]) -> tuple[float, float]:
    lows = [one.value if one.low is None else one.low for one in estimates]
    highs = [one.value if one.high is None else one.high for one in estimates]
    return min(lows), max(highs)


def _roomy(low: float, high: float, share: float) -> tuple[float, float]:
    room = share * (high - low) or (0.5 * abs(high) or 1.0 if high == low else 0.0)
    return low - room, high + room


def _better(direction: str) -> str:
    return "higher is better" if direction == "higher" else "lower is better"
