"""The tuning report and the learning curve as lines."""

from __future__ import annotations

from rich.console import RenderableType
from rich.text import Text

from harness.metrics import metric, of_task
from harness.records import Trial
from harness.report import numbers
from harness.report.curve import LearningCurve
from harness.report.rendering import WIDTH, emit, plain, table
from harness.report.text import ARROWS
from harness.report.tuned import ArmTuning, TuningReport, searched, setting, settings


def print_tuning(report: TuningReport) -> None:
    """Print the tuning report on standard output."""
    emit(_tuning(report))


def tuning_to_text(report: TuningReport) -> str:
    """The tuning report as plain lines."""
    return plain(_tuning(report), WIDTH)


def print_curve(curve: LearningCurve) -> None:
    """Print the learning curves on standard output."""
    emit(_curves(curve))


def curve_to_text(curve: LearningCurve) -> str:
    """The learning curves as plain lines."""
    return plain(_curves(curve), WIDTH)


# ----------------------------------------------------------------------------------------------------------- tuning


def _tuning(report: TuningReport) -> list[RenderableType]:
    name, spec = report.experiment.name, report.experiment.spec.get("tuning") or {}
    if not report.arms:
        return [Text(f"{name} was not tuned: every arm was trained as its recipe says.")]
    first = next((trial for one in report.arms for trial in one.trials), None)
    by = f"{report.primary} {ARROWS[report.direction]}" if spec.get("choose_by") != "loss" else "validation loss ↓"
    lines: list[RenderableType] = [
        Text(
            f"{name}: {spec.get('trials')} trials of each trained arm, chosen by {by} on validation; training seed "
            f"{first.seed if first else spec.get('seed')}, finals with seeds {_list(report)}. "
            f"Looks at the test split by trials: {report.looks}."
        ),
        Text(""),
        _chosen(report),
    ]
    for one in report.arms:
        lines += [Text(""), *_trials(one, report.primary)]
    return lines


def _list(report: TuningReport) -> str:
    return ", ".join(map(str, report.experiment.spec.get("seeds", [])))


def _chosen(report: TuningReport) -> RenderableType:
    """One line an arm: LoRA's chosen learning rate beside full fine-tuning's."""
    heads, rows = tuning_cells(report)
    made = table("chosen", *heads[1:])
    for row in rows:
        made.add_row(*row)
    return made


def tuning_cells(report: TuningReport) -> tuple[list[str], list[list[str]]]:
    """Heads and rows: what was chosen for each arm, in brackets what its recipe says, and what it took."""
    fields = list(dict.fromkeys(name for one in report.arms for trial in one.trials for name in trial.values))
    rows = []
    for one in report.arms:
        chosen = one.chosen
        stock = next((trial.values for trial in one.trials if trial.stock), {})
        cells = [
            f"{setting(chosen.values[name])} ({setting(stock[name]) if name in stock else '-'})"
            if chosen is not None and name in chosen.values
            else numbers.ABSENT
            for name in fields
        ]
        mark = "none ended well" if chosen is None else f"edge: {', '.join(chosen.edge)}" if chosen.edge else ""
        value = _value(chosen, report.primary) if chosen else numbers.ABSENT
        rows.append([one.arm, *cells, value, str(one.settings), numbers.seconds(one.seconds), mark])
    return ["arm", *(f"{name} (recipe)" for name in fields), report.primary, "trials", "seconds", ""], rows


def _trials(one: ArmTuning, primary: str) -> list[RenderableType]:
    space = "; ".join(f"{name} {searched(values)}" for name, values in one.trials[0].space.items())
    halved = len({trial.rung for trial in one.trials}) > 1
    fields = list(one.trials[0].values)
    made = table(one.arm, *fields, *(["budget"] if halved else []), primary, "val. loss", "seconds", "")
    for trial in one.trials:
        made.add_row(
            f"trial {trial.number}",
            *(setting(trial.values[name]) for name in fields),
            *([f"{trial.share:.0%}"] if halved else []),
            _value(trial, primary),
            numbers.ABSENT if trial.loss is None else f"{trial.loss:.4f}",
            numbers.seconds(trial.seconds),
            _mark(trial),
        )
    lines: list[RenderableType] = [made, Text(f"Searched: {space}.")]
    validated = max(trial.validated for trial in one.trials)
    if validated:
        lines.append(Text(f"{primary}: mean over {validated} validation examples."))
    if halved:
        saved = 1 - one.full_trials / one.settings
        lines.append(
            Text(f"Halving spent {one.full_trials:.2f} budgets where {one.settings} were asked for: {saved:.0%} saved.")
        )
    lines += [
        Text(numbers.printable(f"Trial {trial.number} ({settings(trial.values)}): {trial.status}: {trial.error}"))
        for trial in one.trials
        if trial.status != "ok"
    ]
    return lines


def _mark(trial: Trial) -> str:
    marks = ["chosen"] if trial.chosen else []
    marks += ["recipe"] if trial.stock else []
    marks += ["edge"] if trial.edge else []
    marks += [trial.status] if trial.status != "ok" else []
    return ", ".join(marks)


def _value(trial: Trial, primary: str) -> str:
    if trial.value is None:
        return numbers.ABSENT
    return numbers.fixed(trial.value, numbers.decimals(trial.value, metric(primary).bounds))


# ------------------------------------------------------------------------------------------------------------ curve


def _curves(curve: LearningCurve) -> list[RenderableType]:
    name = curve.experiment.name
    if not curve.arms:
        return [Text(f"{name} has no learning curve. Write `data_fraction: [0.1, 0.3, 1.0]` in the experiment.")]
    bounds = of_task(curve.primary, curve.experiment.task).bounds
    head = f"{curve.primary} {ARROWS[curve.direction]} [95 %]"
    made = table("learning curve", "share", "train examples", "passes", head)
    for one in curve.arms:
        for point in one.points:
            made.add_row(
                one.arm,
                f"{point.fraction:.0%}",
                numbers.count(point.examples),
                numbers.ABSENT if point.passes is None else f"{point.passes:.1f}",
                numbers.with_interval(point.estimate, bounds) if point.estimate else point.reason,
            )
    lines: list[RenderableType] = [
        Text(f"{name}: the same budget on each share of the train split, so fewer examples are seen more often."),
        made,
    ]
    for one in curve.arms:
        gain = numbers.with_interval(one.per_doubling, bounds, sign=True)
        lines.append(Text(f"{one.arm}: gain of each doubling of the data over the last step {gain}; {one.verdict}."))
    lines.append(Text("Curves flatten: the last step's gain is what the next doubling brings at most, as a rule."))
    return lines
