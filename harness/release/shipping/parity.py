"""`harness parity`: what ships, scored on the sealed examples of the run that was evaluated, and held against it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from harness import environment, metrics, redaction
from harness.errors import UsageError
from harness.experiments.evaluation import evaluate
from harness.experiments.running import ingest, worker
from harness.progress import Reporter
from harness.records import (
    Closeness,
    Entry,
    Evaluation,
    Likelihood,
    ParityCheck,
    Prediction,
    Score,
    differences,
    digest,
)
from harness.release.shipping import judge, shipped
from harness.release.shipping.runs import Shippable, find
from harness.results import queries
from harness.results.estimator import Estimator, Series, series, tabulate
from harness.store import Store


@dataclass(frozen=True, slots=True)
class Asked:
    """What a parity check is asked for."""

    place: str
    """Folder or URL."""
    margin: float | None = None
    """None: that of the experiment's winner rule."""
    metric: str | None = None
    """None: the task's primary one."""
    confidence: float = 0.95
    server: shipped.Server = field(default_factory=shipped.Server)
    base: str | None = None
    """Where the base model lies now."""


def check(home: Path, name: str, asked: Asked, reporter: Reporter) -> ParityCheck:
    """Score what lies at `asked.place` and hold it against the run `name`. A counted look at the test split.

    What is not the export that its papers say is INVALID without being scored. Raises UsageError, ModelError and
    ArmFailed, in one line, for what cannot be scored at all.
    """
    run = find(home.absolute(), name, asked.base)
    with redaction.texts(bool(run.record.task.get("sensitive"))):
        return _checked(home.absolute(), run, asked, reporter)


def _checked(home: Path, run: Shippable, asked: Asked, reporter: Reporter) -> ParityCheck:
    known, margin = _rule(run, asked)
    found = shipped.at(asked.place, run, asked.server)
    store = queries.open_store(home)
    blank = _blank(run, found, known, margin, asked.confidence)
    if found.problem:
        made = replace(blank, outcome="INVALID", words=found.problem)
        ingest.parity(store, home, made, [])
        return made
    worker.set_threads(found.plan)
    reporter.label = f"parity {run.entry.arm} {found.kind}"
    evaluate.evaluate(found.plan, found.artefact, reporter)
    after = evaluate.identity(found.plan, found.artefact)
    rows = ingest.evaluation_rows(home / "evals" / after)
    made = judged(store, run, replace(blank, after=after), rows)
    entry = Entry(run.record.experiment_id, run.entry.arm, run.entry.seed, "", 1, "ok", after)
    looked = ingest.look(run.record, entry, f"harness parity: {found.kind}")
    ingest.parity(store, home, made, [*rows, looked])
    return made


def _rule(run: Shippable, asked: Asked) -> tuple[metrics.Metric, float]:
    """The metric and the margin that are asked for."""
    task = run.record.task
    name = asked.metric or str(task["metrics"]["primary"])
    known = metrics.of_task(name, task)
    margin = asked.margin
    if margin is None:
        winner = run.record.spec.get("winner") or {}
        margin = float(winner.get("margin") or 0.0) if name == task["metrics"]["primary"] else 0.0
        if not margin:
            raise UsageError(
                f"no margin is known for {name}", hint="Give --margin, the largest difference that does not matter"
            )
    if not (margin > 0 and math.isfinite(margin)):
        raise UsageError(f"--margin {margin:g} is no margin", hint="Give a number above 0, in the metric's own unit")
    if not 0.5 < asked.confidence < 1:
        raise UsageError(f"--confidence {asked.confidence:g} is none", hint="Give a number between 0.5 and 1")
    return known, margin


def _blank(
    run: Shippable, found: shipped.Shipped, known: metrics.Metric, margin: float, confidence: float
) -> ParityCheck:
    assert run.entry.eval_id is not None
    return ParityCheck(
        experiment=run.record.experiment_id,
        arm=run.entry.arm,
        seed=run.entry.seed,
        eval_id=run.entry.eval_id,
        after="",
        kind=found.kind,
        artefact=found.name,
        artefact_hash=found.artefact.files_hash or found.artefact.hash,
        metric=known.name,
        primary=known.name == run.record.task["metrics"]["primary"],
        margin=margin,
        confidence=confidence,
        difference=None,
        p_value=None,
        more_examples=None,
        answers=0,
        same_answers=0,
        closeness=(),
        outcome="INVALID",
        impostor="",
        words="",
        notes=(),
        when=environment.now(),
    )


def judged(store: Store, run: Shippable, blank: ParityCheck, rows: Sequence[Any]) -> ParityCheck:
    """`blank` with what follows from the `rows` of what ships and from what is stored of the run and other arms."""
    mine = judge.Side.of(
        "shipped",
        [row for row in rows if isinstance(row, Prediction)],
        [row for row in rows if isinstance(row, Likelihood)],
    )
    theirs = _side(store, "run", blank.eval_id)
    wrong = judge.mismatch(theirs, mine)
    if wrong:
        return replace(blank, outcome="INVALID", words=wrong)
    bases, siblings = _others(store, run, theirs)
    near = _closeness(run, (theirs, mine), bases, siblings, blank.confidence)
    measured = _measured(store, run, blank, rows, judge.same_function(theirs, mine))
    answer = judge.judge(measured, near, blank.margin, judge.twin(theirs, mine, [*bases, *siblings]))
    return replace(
        blank,
        difference=measured.estimate,
        p_value=measured.p_value,
        more_examples=measured.more_examples if answer.outcome == "INCONCLUSIVE" else None,
        answers=len(theirs.answers),
        same_answers=judge.same_answers(theirs, mine),
        closeness=near,
        outcome=answer.outcome,
        impostor=answer.impostor,
        words=answer.words,
        notes=(*_notes(store, blank, rows), *_unresolved(near, answer)),
    )


def _side(store: Store, name: str, eval_id: str) -> judge.Side:
    return judge.Side.of(name, store.predictions([eval_id]), store.likelihoods([eval_id]))


def _others(store: Store, run: Shippable, mine: judge.Side) -> tuple[list[judge.Side], list[judge.Side]]:
    """Untrained arms, and other trained ones, that answered the same prompts."""
    bases: list[judge.Side] = []
    siblings: list[judge.Side] = []
    prompts = {name: row.prompt_hash for name, row in mine.answers.items()}
    entries = [
        entry for entry in store.entries(run.record.experiment_id) if entry.eval_id not in (None, run.entry.eval_id)
    ]
    methods = {one.train_id: one.method for one in store.runs([entry.train_id for entry in entries])}
    for entry in entries:
        method = methods.get(entry.train_id)
        if entry.fraction != 1 or method in (None, "few_shot", "endpoint", "toy"):
            continue
        seed = "" if entry.seed is None else f"@{entry.seed}"
        side = _side(store, f"{entry.arm}{seed}", str(entry.eval_id))
        if {name: row.prompt_hash for name, row in side.answers.items()} == prompts:
            (bases if method == "untrained" else siblings).append(side)
    return bases, siblings


def _closeness(
    run: Shippable,
    sides: tuple[judge.Side, judge.Side],
    bases: Sequence[judge.Side],
    siblings: Sequence[judge.Side],
    confidence: float,
) -> tuple[Closeness, ...]:
    groups = run.record.groups
    # Any one of the siblings may be found by chance (Bonferroni).
    strict = 1 - (1 - confidence) / max(1, len(siblings))
    found: list[Closeness] = []
    for other in bases:
        found += judge.closeness(*sides, other, groups, base=True, confidence=confidence)
    for other in siblings:
        found += judge.closeness(*sides, other, groups, base=False, confidence=strict)
    return tuple(found)


def _measured(store: Store, run: Shippable, blank: ParityCheck, rows: Sequence[Any], same: bool) -> judge.Measured:
    known = metrics.of_task(blank.metric, run.record.task)
    scores = [*store.scores([blank.eval_id]), *(row for row in rows if isinstance(row, Score))]
    table = tabulate(scores)
    sides: list[Series] = []
    for who, eval_id in (("what ships", blank.after), ("the run", blank.eval_id)):
        found = series(table, [eval_id], blank.metric)
        if isinstance(found, str):
            return judge.Measured(None, problem=f"{who} has no value of {blank.metric}: {found}")
        sides.append(found)
    ours, theirs = sides
    estimator = Estimator(run.record.groups, int(digest([blank.eval_id, blank.after]), 16))
    if same and ours.items == theirs.items and not ours.missing and known.kind == "example":
        clusters = len(set(estimator.clusters(ours.items)))
        if (ours.data == theirs.data).all():
            return judge.unchanged(ours, clusters, 2 * blank.confidence - 1)
    return judge.measure(known, (ours, theirs), estimator, blank.margin, blank.confidence)


def _notes(store: Store, blank: ParityCheck, rows: Sequence[Any]) -> tuple[str, ...]:
    """What a reader must know of how the two sides were scored."""
    if blank.kind == "endpoint":
        return ("the server's library versions and hardware are not known here",)
    [before] = store.evaluations([blank.eval_id])
    after = next(row for row in rows if isinstance(row, Evaluation))
    changed = differences(before.environment, after.environment)
    if not changed:
        return ()
    return (f"scored in another environment than the run: {', '.join(changed)}; that is part of the difference",)


def _unresolved(near: Sequence[Closeness], answer: judge.Judgement) -> tuple[str, ...]:
    names = [] if answer.impostor else judge.unresolved(near)
    if not names:
        return ()
    return (f"its answers do not tell it from {' and '.join(names)}: whose it is rests on its export.json",)
