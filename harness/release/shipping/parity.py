"""`harness parity`: what ships is scored on the sealed examples of its run, and compared with the run."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import metrics, redaction
from harness.errors import UsageError
from harness.experiments.evaluation import evaluate
from harness.experiments.running import ingest, worker
from harness.progress import Reporter
from harness.records import (
    PARITY_CODES,
    Closeness,
    Entry,
    Evaluation,
    Likelihood,
    ParityCheck,
    Prediction,
    Score,
    differences,
    digest,
    to_json,
)
from harness.release.shipping import judge, shipped
from harness.release.shipping.judge import ModelAnswers
from harness.release.shipping.runs import Shippable, find
from harness.results.estimator import Estimator, Series, series, tabulate

SCHEMA = "harness.parity/1"


@dataclass(frozen=True, slots=True)
class ParityRequest:
    """What is to be compared with a run, and how."""

    location: str
    """Folder or URL."""
    margin: float | None = None
    """None: that of the experiment's winner rule."""
    metric: str | None = None
    """None: the task's primary one."""
    confidence: float = 0.95
    server: shipped.Server = field(default_factory=shipped.Server)
    base: str | None = None
    """Where the base model lies now."""


def run_check(home: Path, name: str, request: ParityRequest, reporter: Reporter) -> ParityCheck:
    """Score what lies at `request.location` and compare it with the run `name`. Counts as a test-set evaluation.

    What is not the export that its papers say is INVALID without being scored. Raises UsageError, ModelError and
    ArmFailed, in one line, for what cannot be scored at all.
    """
    run = find(home.absolute(), name, request.base)
    with redaction.texts(bool(run.experiment.task.get("sensitive"))):
        return _checked(home.absolute(), run, request, reporter)


def _checked(home: Path, run: Shippable, request: ParityRequest, reporter: Reporter) -> ParityCheck:
    metric, margin = _rule(run, request)
    artefact = shipped.artefact_at(request.location, run, request.server)
    blank = ParityCheck(
        experiment=run.experiment.experiment_id,
        arm=run.entry.arm,
        seed=run.entry.seed,
        eval_id=str(run.entry.eval_id),
        after="",
        kind=artefact.kind,
        artefact=artefact.name,
        artefact_hash=artefact.artefact.files_hash or artefact.artefact.hash,
        metric=metric.name,
        primary=metric.name == run.experiment.task["metrics"]["primary"],
        margin=margin,
        confidence=request.confidence,
    )
    if artefact.problem:
        result = replace(blank, words=artefact.problem)
        ingest.check(run.store, home, result, [])
        return result
    worker.set_threads(artefact.plan)
    reporter.label = f"parity {run.entry.arm} {artefact.kind}"
    evaluate.evaluate(artefact.plan, artefact.artefact, reporter)
    after = evaluate.identity(artefact.plan, artefact.artefact)
    rows = ingest.evaluation_rows(home / "evals" / after)
    result = judged(run, replace(blank, after=after), rows)
    entry = Entry(run.experiment.experiment_id, run.entry.arm, run.entry.seed, "", 1, "ok", after)
    looked = ingest.look(run.experiment, entry, f"harness parity: {artefact.kind}")
    ingest.check(run.store, home, result, [*rows, looked])
    return result


def _rule(run: Shippable, request: ParityRequest) -> tuple[metrics.Metric, float]:
    """The metric and the margin that are asked for."""
    task = run.experiment.task
    name = request.metric or str(task["metrics"]["primary"])
    metric = metrics.of_task(name, task)
    margin = request.margin
    if margin is None:
        winner = run.experiment.spec.get("winner") or {}
        margin = float(winner.get("margin") or 0.0) if name == task["metrics"]["primary"] else 0.0
        if not margin:
            raise UsageError(
                f"no margin is known for {name}", hint="Give --margin, the largest difference that does not matter"
            )
    if not (margin > 0 and math.isfinite(margin)):
        raise UsageError(f"--margin {margin:g} is no margin", hint="Give a number above 0, in the metric's own unit")
    if not 0.5 < request.confidence < 1:
        raise UsageError(f"--confidence {request.confidence:g} is none", hint="Give a number between 0.5 and 1")
    return metric, margin


def judged(run: Shippable, blank: ParityCheck, rows: Sequence[Any]) -> ParityCheck:
    """`blank` with what follows from the `rows` of what ships and from what is stored of the run and other arms."""
    predictions = [row for row in rows if isinstance(row, Prediction)]
    ours = ModelAnswers.of("shipped", predictions, [row for row in rows if isinstance(row, Likelihood)])
    own = _side(run, "run", blank.eval_id)
    wrong = judge.mismatch(own, ours)
    if wrong:
        return replace(blank, words=wrong)
    bases, siblings = _others(run, own)
    near = _closeness(run, (own, ours), bases, siblings, blank.confidence)
    measured = _measured(run, blank, rows, judge.same_function(own, ours))
    same = sum(row.text == ours.answers[name].text for name, row in own.answers.items())
    check = replace(measured, answers=len(own.answers), same_answers=same, closeness=near)
    check = judge.judge(check, judge.twin(own, ours, [*bases, *siblings]))
    return replace(check, notes=(*_notes(run, blank, rows), *_unresolved(check)))


def _side(run: Shippable, name: str, eval_id: str) -> ModelAnswers:
    return ModelAnswers.of(name, run.store.predictions([eval_id]), run.store.likelihoods([eval_id]))


def _others(run: Shippable, own: ModelAnswers) -> tuple[list[ModelAnswers], list[ModelAnswers]]:
    """Untrained arms, and other trained ones, that answered the same prompts."""
    bases: list[ModelAnswers] = []
    siblings: list[ModelAnswers] = []
    prompts = {name: row.prompt_hash for name, row in own.answers.items()}
    entries = run.store.entries(run.experiment.experiment_id)
    entries = [entry for entry in entries if entry.eval_id not in (None, run.entry.eval_id)]
    methods = {run_.train_id: run_.method for run_ in run.store.runs([entry.train_id for entry in entries])}
    for entry in entries:
        method = methods.get(entry.train_id)
        if entry.fraction != 1 or method in (None, "few_shot", "endpoint", "toy"):
            continue
        seed = "" if entry.seed is None else f"@{entry.seed}"
        side = _side(run, f"{entry.arm}{seed}", str(entry.eval_id))
        if {name: row.prompt_hash for name, row in side.answers.items()} == prompts:
            (bases if method == "untrained" else siblings).append(side)
    return bases, siblings


def _closeness(
    run: Shippable,
    sides: tuple[ModelAnswers, ModelAnswers],
    bases: Sequence[ModelAnswers],
    siblings: Sequence[ModelAnswers],
    confidence: float,
) -> tuple[Closeness, ...]:
    groups = run.experiment.groups
    # Any one of the siblings may be found by chance (Bonferroni).
    strict = 1 - (1 - confidence) / max(1, len(siblings))
    results: list[Closeness] = []
    for other in bases:
        results += judge.closeness(*sides, other, groups, base=True, confidence=confidence)
    for other in siblings:
        results += judge.closeness(*sides, other, groups, base=False, confidence=strict)
    return tuple(results)


def _measured(run: Shippable, blank: ParityCheck, rows: Sequence[Any], same: bool) -> ParityCheck:
    metric = metrics.of_task(blank.metric, run.experiment.task)
    scores = [*run.store.scores([blank.eval_id]), *(row for row in rows if isinstance(row, Score))]
    table = tabulate(scores)
    sides: list[Series] = []
    for who, eval_id in (("what ships", blank.after), ("the run", blank.eval_id)):
        values = series(table, [eval_id], blank.metric)
        if isinstance(values, str):
            return replace(blank, words=f"{who} has no value of {blank.metric}: {values}")
        sides.append(values)
    ours, theirs = sides
    estimator = Estimator(run.experiment.groups, int(digest([blank.eval_id, blank.after]), 16))
    if same and ours.items == theirs.items and not ours.missing and metric.kind == "example":
        clusters = len(set(estimator.clusters(ours.items)))
        if (ours.data == theirs.data).all():
            return judge.unchanged(blank, len(ours.items), clusters)
    return judge.measure(blank, metric, (ours, theirs), estimator)


def _notes(run: Shippable, blank: ParityCheck, rows: Sequence[Any]) -> tuple[str, ...]:
    """What a reader must know of how the two sides were scored."""
    if blank.kind == "endpoint":
        return ("the server's library versions and hardware are not known here",)
    [before] = run.store.evaluations([blank.eval_id])
    after = next(row for row in rows if isinstance(row, Evaluation))
    changed = differences(before.environment, after.environment)
    if not changed:
        return ()
    return (f"scored in another environment than the run: {', '.join(changed)}; that is part of the difference",)


def _unresolved(check: ParityCheck) -> tuple[str, ...]:
    """A note on siblings that what ships is not shown to be nearer to the run than to."""
    siblings = [each for each in check.closeness if not each.base]
    names = [each.other for each in siblings if each.estimate.low is None or each.estimate.low <= 0]
    if check.impostor or not names:
        return ()
    others = " and ".join(names)
    return (f"its answers do not tell it from {others}: whose it is can only be checked against export.json",)


def as_json(check: ParityCheck, name: str) -> dict[str, Any]:
    """The whole check, with a versioned schema; no text or id of an example."""
    return {"schema": SCHEMA, "run": name, "exit_code": PARITY_CODES[check.outcome], **to_json(check)}


def as_lines(check: ParityCheck, name: str) -> list[str]:
    """The check in words, the outcome last; no text or id of an example."""
    lines = [f"{name} as {check.kind}: {check.artefact}"]
    difference = check.difference
    if difference is not None:
        limits = "no interval" if difference.low is None else f"[{difference.low:+.4f}, {difference.high:+.4f}]"
        level = f"{100 * difference.level:.3g} %"
        p = "" if check.p_value is None else f", p {check.p_value:.2g}"
        lines.append(f"  {check.metric}, what ships minus the run: {difference.value:+.4f} {limits} ({level}{p})")
    if check.answers:
        percent = 100 * check.same_answers / check.answers
        lines.append(f"  same answers: {check.same_answers} of {check.answers} ({percent:.1f} %)")
    for closeness in check.closeness:
        nearness = closeness.estimate
        limits = "" if nearness.low is None else f" [{nearness.low:+.2f}, {nearness.high:+.2f}]"
        what = f"{nearness.n} {closeness.by} that differ"
        lines.append(f"  nearer to the run (+1) or to {closeness.other} (-1): {nearness.value:+.2f}{limits}, by {what}")
    return [*lines, *(f"  note: {note}" for note in check.notes), f"{check.outcome}: {check.words}"]
