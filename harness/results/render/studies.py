"""The tables and views of single studies: tuning, learning curve, comparison of two arms, settings, suite, looks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness.metrics import metric, of_task
from harness.records import SealedAccess, Trial
from harness.results import numbers
from harness.results.collect import Results
from harness.results.leaderboard.columns import Column
from harness.results.render.table import Table, table
from harness.results.render.words import ARROWS, label, sentence
from harness.results.render.writers import Indented, Part, escape, latex, markdown, printed, safe, to_rows
from harness.results.studies.appendix import Appendix, Block, Value
from harness.results.studies.comparison import Comparison, Sample
from harness.results.studies.curve import LearningCurve
from harness.results.studies.suite import SuiteTable
from harness.results.studies.tuning import ArmTuning, TuningReport, searched, setting, settings

# ----------------------------------------------------------------------------------------------------------- tuning


def tuning_view(report: TuningReport) -> list[Part]:
    """What was chosen for each arm, then every trial of every arm."""
    name, spec = report.experiment.name, report.experiment.spec.get("tuning") or {}
    if not report.arms:
        return [f"{name} was not tuned: every arm was trained as its recipe says."]
    first = next((trial for arm in report.arms for trial in arm.trials), None)
    by = f"{report.primary} {ARROWS[report.direction]}" if spec.get("choose_by") != "loss" else "validation loss ↓"
    seeds = ", ".join(map(str, report.experiment.spec.get("seeds", [])))
    lines: list[Part] = [
        f"{name}: {spec.get('trials')} trials of each trained arm, chosen by {by} on validation; training seed "
        f"{first.seed if first else spec.get('seed')}, finals with seeds {seeds}. "
        f"Looks at the test split by trials: {report.looks}.",
        "",
        chosen_settings(report),
    ]
    for arm in report.arms:
        lines += ["", _trials(arm, report.primary), *_trial_notes(arm, report.primary)]
    return lines


def chosen_settings(report: TuningReport) -> Table:
    """What was chosen for each arm, in brackets what its recipe says, and what it took."""
    fields = list(dict.fromkeys(name for arm in report.arms for trial in arm.trials for name in trial.values))
    rows = []
    for arm in report.arms:
        best = arm.chosen
        stock = next((trial.values for trial in arm.trials if trial.stock), {})
        cells = [
            f"{setting(best.values[name])} ({setting(stock[name]) if name in stock else '-'})"
            if best is not None and name in best.values
            else numbers.ABSENT
            for name in fields
        ]
        mark = "none ended well" if best is None else f"edge: {', '.join(best.edge)}" if best.edge else ""
        value = _trial_value(best, report.primary) if best else numbers.ABSENT
        rows.append([arm.arm, *cells, value, str(arm.settings), numbers.seconds(arm.seconds), mark])
    heads = ["chosen", *(f"{name} (recipe)" for name in fields), report.primary, "trials", "seconds", ""]
    return table(heads, rows, title="What was chosen, and in brackets what the recipe says")


def _trials(arm: ArmTuning, primary: str) -> Table:
    fields, halved = list(arm.trials[0].values), _halved(arm)
    rows = []
    for trial in arm.trials:
        marks = (("chosen", trial.chosen), ("recipe", trial.stock), ("edge", trial.edge), (trial.status, True))
        rows.append(
            [
                f"trial {trial.number}",
                *(setting(trial.values[name]) for name in fields),
                *([f"{trial.share:.0%}"] if halved else []),
                _trial_value(trial, primary),
                numbers.ABSENT if trial.loss is None else f"{trial.loss:.4f}",
                numbers.seconds(trial.seconds),
                ", ".join(mark for mark, is_so in marks if is_so and mark != "ok"),
            ]
        )
    return table([arm.arm, *fields, *(["budget"] if halved else []), primary, "val. loss", "seconds", ""], rows)


def _halved(arm: ArmTuning) -> bool:
    return len({trial.rung for trial in arm.trials}) > 1


def _trial_notes(arm: ArmTuning, primary: str) -> list[str]:
    space = "; ".join(f"{name} {searched(values)}" for name, values in arm.trials[0].space.items())
    notes = [f"Searched: {space}."]
    validated = max(trial.validated for trial in arm.trials)
    if validated:
        notes.append(f"{primary}: mean over {validated} validation examples.")
    if _halved(arm):
        spent, saved = arm.full_trials, 1 - arm.full_trials / arm.settings
        notes.append(f"Halving spent {spent:.2f} budgets where {arm.settings} were asked for: {saved:.0%} saved.")
    bad = [trial for trial in arm.trials if trial.status != "ok"]
    return notes + [f"Trial {trial.number} ({settings(trial.values)}): {trial.status}: {trial.error}" for trial in bad]


def _trial_value(trial: Trial, primary: str) -> str:
    if trial.value is None:
        return numbers.ABSENT
    return numbers.fixed(trial.value, numbers.decimals(trial.value, metric(primary).bounds))


# ------------------------------------------------------------------------------------------------------------ curve


def curve_view(curve: LearningCurve) -> list[Part]:
    """Every share of every arm, and what each doubling of the data brought."""
    name = curve.experiment.name
    if not curve.arms:
        return [f"{name} has no learning curve. Write `data_fraction: [0.1, 0.3, 1.0]` in the experiment."]
    return [
        f"{name}: the same budget on each share of the train split, so fewer examples are seen more often.",
        shares(curve),
        "Curves flatten: the last step's gain is what the next doubling brings at most, as a rule.",
    ]


def shares(curve: LearningCurve) -> Table:
    """The primary metric of every arm on each share of the train split."""
    bounds = of_task(curve.primary, curve.experiment.task).bounds
    rows = [
        [
            arm.arm,
            f"{point.fraction:.0%}",
            numbers.count(point.examples),
            numbers.ABSENT if point.passes is None else f"{point.passes:.1f}",
            numbers.with_interval(point.estimate, bounds) if point.estimate else point.reason,
        ]
        for arm in curve.arms
        for point in arm.points
    ]
    notes = [
        f"{arm.arm}: gain of each doubling of the data over the last step "
        f"{numbers.with_interval(arm.per_doubling, bounds, sign=True)}; {arm.verdict}."
        for arm in curve.arms
    ]
    value = f"{curve.primary} {ARROWS[curve.direction]} [95 %]"
    heads = ["learning curve", "share", "train examples", "passes", value]
    return table(heads, rows, notes, "By share of the train split")


# ------------------------------------------------------------------------------------------------------- comparison


def comparison_view(comparison: Comparison) -> list[Part]:
    """The paired difference of every metric, and the examples that differ most."""
    a, b = comparison.a, comparison.b
    primary = comparison.metrics[0].column
    parts: list[Part] = [
        f"{comparison.experiment.name}: {a} against {b}, paired on the same test examples. {comparison.estimand}",
        differences(comparison),
        f"{primary.name} by example: {a} better {comparison.wins_a}, {b} better {comparison.wins_b}, "
        f"equal {comparison.ties}. p: permutation test of no difference, for this one pair.",
        *map(sentence, comparison.notes),
        *(["The task is sensitive: no ids and no text."] if comparison.sensitive else []),
    ]
    for sample in comparison.samples:
        parts += _sample(sample, comparison, primary)
    return parts


def differences(comparison: Comparison) -> Table:
    """Every metric of both arms, and a minus b."""
    a, b, rows = comparison.a, comparison.b, []
    for compared in comparison.metrics:
        bounds, difference = compared.column.bounds, compared.reason or numbers.ABSENT
        if compared.difference:
            difference = numbers.with_interval(compared.difference, bounds, sign=True)
        values = (numbers.value(compared.a, bounds), numbers.value(compared.b, bounds), difference)
        rows.append([label(compared.column), *values, numbers.probability(compared.p_value)])
    return table(["metric", a, b, f"{a} minus {b} [95 %]", "p"], rows)


def _sample(sample: Sample, comparison: Comparison, column: Column) -> list[Part]:
    places = numbers.decimals(max(abs(sample.value_a), abs(sample.value_b)), column.bounds)
    ours, theirs = numbers.fixed(sample.value_a, places), numbers.fixed(sample.value_b, places)
    values = f"{comparison.a} {ours}, {comparison.b} {theirs}"
    parts: list[Part] = ["", f"Example {sample.example}: {column.name} {values}"]
    texts = [
        ("prompt", sample.prompt),
        *(("reference", reference) for reference in sample.references or ()),
        (comparison.a, sample.text_a),
        (comparison.b, sample.text_b),
    ]
    for name, text in texts:
        if text is not None:
            parts += [f"  {name}:", Indented(text.strip() or "(empty)")]
    return parts


print_tuning, tuning_to_text = printed(tuning_view)
print_curve, curve_to_text = printed(curve_view)
print_comparison, comparison_to_text = printed(comparison_view)


# ------------------------------------------------------------------------------------------------------------- suite


def suite_view(suite: SuiteTable) -> list[Part]:
    """Arms and experiments with values and ranks, and one line on each experiment."""
    rows = []
    for arm, standings in suite.standings.items():
        mean = suite.mean_rank(arm)
        cells = []
        for standing in standings:
            low, high = standing.ranks or (standing.rank, standing.rank)
            allowed = "" if standing.ranks is None else f" [{low}]" if low == high else f" [{low}–{high}]"
            cells.append(standing.value + ("" if standing.rank is None else f"  #{standing.rank}{allowed}"))
        rows.append([arm, *cells, "-" if mean is None else f"{mean:.2f}"])
    names = [f"{board.experiment.name.rpartition('.')[2]}: {label(board.columns[0])}" for board in suite.boards]
    return [
        table(["arm", *names, "mean rank"], rows),
        "",
        "Value [95 %], then the rank and the ranks that the data allows. Mean ranks are about these only.",
        *(f"- {board.experiment.name}: task {board.task}, {board.verdict.words}." for board in suite.boards),
    ]


print_suite, suite_to_text = printed(suite_view)


# ------------------------------------------------------------------------------------------------------------- looks


def looks_to_lines(looks: Sequence[SealedAccess]) -> list[str]:
    """One line for each look, the earliest first, and their number."""
    arm = max((len(look.arm) for look in looks), default=0)
    who = max((len(look.who) for look in looks), default=0)
    lines = [f"{look.when[:19]}  {look.who:<{who}}  {look.arm:<{arm}}  {look.eval_id}  {look.why}" for look in looks]
    return [*lines, f"{len(looks)} look{'' if len(looks) == 1 else 's'} at this test split"]


def looks(results: Results) -> Table:
    """Every look at the sealed test split, without who looked."""
    own = results.experiment.experiment_id
    rows = [
        [look.when[:19], look.arm, "this one" if look.experiment == own else look.experiment, look.why]
        for look in results.looks
    ]
    return table(["when", "arm", "experiment", "why"], rows, title="Looks, the earliest first", words=True)


# ---------------------------------------------------------------------------------------------------------- appendix

FIELDS = ("experiment", "arm", "part", "library", "setting", "value", "default", "differs", "recipe")
"""Columns of the appendix as CSV. `arm` is empty for what holds for all; `recipe` is what stood there before tuning."""
DIFFERS = "* differs from the library's default, which stands in the last column."


def shared_settings(appendix: Appendix) -> Table:
    """What holds for all arms."""
    return table(["setting", "value"], appendix.shared, title="What holds for all arms", words=True)


def arm_settings(appendix: Appendix, block: Block) -> Table:
    """The settings of one block that differ from the library's default, or have none, a column for each arm."""

    def cell(value: Value | None) -> str:
        tuned = f" (tuned; recipe {value.recipe})" if value is not None and value.recipe else ""
        return "-" if value is None else value.text + ("*" if value.differs else "") + tuned

    rows = [[used.name, *(cell(used.values.get(arm)) for arm in appendix.arms)] for used in block.different]
    heads = ["setting", *appendix.arms]
    if block.library:
        heads.append("library's default")
        for row, used in zip(rows, block.different, strict=True):
            row.append("-" if used.default is None else used.default)
    return table(heads, rows, words=True)


def _appendix_to_markdown(appendix: Appendix) -> str:
    """Headings and tables; a setting that every arm left at its library's default stands in one line below."""
    blocks = [f"# Settings of {safe(appendix.name)}", "\n".join(f"- {safe(note)}" for note in appendix.notes)]
    blocks += ["## Experiment", markdown(replace(shared_settings(appendix), title="")), "## Recipes"]
    for block in (appendix.recipes, *appendix.libraries):
        blocks += [f"## {block.library}: {safe(block.title)}"] if block.library else []
        blocks.append(markdown(arm_settings(appendix, block)) if block.different else "No arm set anything.")
        blocks += [DIFFERS.replace("*", "\\*")] if block.has_default else []
        blocks += [f"As the library has them: {safe(block.left)}."] if block.untouched else []
    blocks += ["## Versions", ", ".join(f"{safe(name)} {safe(version)}" for name, version in appendix.versions)]
    return "\n\n".join(block for block in blocks if block) + "\n"


def _appendix_to_latex(appendix: Appendix) -> str:
    r"""A `table` for each part and a paragraph for what was left at its default; needs `\usepackage{booktabs}`."""
    lines = [r"% \usepackage{booktabs}", *(f"% {escape(note)}" for note in appendix.notes)]
    title = f"Settings of {escape(appendix.name)} that hold for all arms."
    lines.append(latex(shared_settings(appendix), title, r"\small"))
    for block in (appendix.recipes, *appendix.libraries):
        title = f"{escape(block.library)}: \\texttt{{{escape(block.title)}}}."
        title += f" {escape(DIFFERS)}" if block.has_default else ""
        if not block.library:
            tuned = any(value.recipe for used in block.settings for value in used.values.values())
            title = f"Recipes of {escape(appendix.name)}."
            title += " Tuned: chosen on the validation split in place of the recipe's value." if tuned else ""
        lines += [latex(arm_settings(appendix, block), title, r"\small")] if block.different else []
        if block.untouched:
            lines.append(f"\\paragraph{{\\texttt{{{escape(block.title)}}}, as the library has them:}}")
            lines += [f"{escape(block.left)}.", ""]
    versions = ", ".join(f"{name} {version}" for name, version in appendix.versions)
    lines += [r"\paragraph{Versions:}", f"{escape(versions)}."]
    return "\n".join([*lines, *(escape(sentence(note)) for note in appendix.notes)]) + "\n"


def _appendix_to_csv(appendix: Appendix) -> str:
    """One row for each arm and setting, those left at their defaults too."""
    rows: list[dict[str, str]] = [
        {"part": "experiment", "setting": name, "value": text} for name, text in appendix.shared
    ]
    for block in (appendix.recipes, *appendix.libraries):
        for used in block.settings:
            for arm, value in used.values.items():
                row = {"arm": arm, "part": block.title, "library": block.library, "setting": used.name}
                row |= {"value": value.text, "default": used.default or "", "recipe": value.recipe}
                rows.append({**row, "differs": "" if used.default is None else str(value.differs).lower()})
    rows += [{"part": "versions", "setting": name, "value": version} for name, version in appendix.versions]
    return to_rows(FIELDS, [{"experiment": appendix.name, **row} for row in rows])


APPENDIX_FORMS: dict[str, Callable[[Appendix], str]] = {
    "markdown": _appendix_to_markdown,
    "latex": _appendix_to_latex,
    "csv": _appendix_to_csv,
}
"""By the name that the command line has for them."""
