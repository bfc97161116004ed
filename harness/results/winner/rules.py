"""Winner rules as they are declared: stored with their date, and set against the looks at the test split."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from harness.records import ExperimentRecord, Question, SealedAccess, WinnerRule

SEEDS_OF_A_METHOD = 3
"""Fewer seeds say nothing about a method."""


def declared_rules(record: ExperimentRecord) -> tuple[WinnerRule, ...]:
    """Every winner rule that was declared for an experiment, dated, the last one in force."""
    return tuple(WinnerRule(**rule) for rule in record.spec.get("winner_rules") or ())


def declare(record: ExperimentRecord, stored: ExperimentRecord | None, now: str) -> ExperimentRecord:
    """The experiment to store: `stored` (or, the first time, `record`) with the rule of `record` declared, dated.

    A rule that was declared stands until another one is declared; leaving it out takes nothing back. `now` is the date
    of a rule that is new; the first time see `first_declared`.
    """
    rule = record.spec.get("winner")
    if stored is None:
        stored = record
    rules = [dict(old) for old in stored.spec.get("winner_rules") or ()]
    if rule is None or (rules and {**rules[-1], "declared": None} == {**rule, "declared": None}):
        return stored
    return replace(stored, spec={**stored.spec, "winner": rule, "winner_rules": [*rules, {**rule, "declared": now}]})


def first_declared(record: ExperimentRecord, others: Iterable[ExperimentRecord]) -> str:
    """When the rule of a new experiment was first declared.

    An experiment whose arms are called otherwise, or are more or fewer, is another record; a rule that decided the same
    question on the same test split under the same name is as old as it was there.
    """
    when = record.created
    for other in others:
        rules = other.spec.get("winner_rules") or ()
        if rules and _decided(other) == _decided(record):
            # A primary metric that was changed after results is no older than its change.
            changes = [row for row in other.spec.get("changes") or () if row["field"] == "task.metrics"]
            when = min(when, max([str(rules[-1]["declared"]), *(str(row["when"]) for row in changes)]))
    return when


def _decided(record: ExperimentRecord) -> list[Any]:
    """What decides in an experiment, whatever its arms are called."""
    metrics, reference = record.task.get("metrics") or {}, record.spec.get("reference")
    arms = {arm.get("name"): arm for arm in record.spec.get("arms") or () if isinstance(arm, Mapping)}
    rule = dict(record.spec.get("winner") or {})
    rule.pop("declared", None)
    against = {**arms[reference], "name": None} if reference in arms else reference
    seeds, budget = record.spec.get("seeds"), record.spec.get("budget")
    return [record.name, record.task_fingerprint, metrics.get("primary"), rule, against, seeds, budget]


def declaration(record: ExperimentRecord, looks: Sequence[SealedAccess], evaluations: Iterable[str]) -> str:
    """When the rule in force was declared, against the looks at this test split, in words.

    `evaluations` are those of this experiment's arms, `looks` all looks at its test split.
    """
    rules = declared_rules(record)
    if not rules:
        return "no rule was declared before the run"
    when = rules[-1].declared or ""
    # Rules are dated to the second: what is stored with the experiment comes before any look of the same second.
    first = len(rules) == 1 and when <= record.created
    seconds = {look: _to_the_second(look.when) for look in looks}
    before = [look for look in looks if seconds[look] < when or (seconds[look] == when and not first)]
    mine = set(evaluations)
    text = f"declared {when}, "
    if not before:
        text += "before the first look at the test split"
    elif any(look.eval_id in mine for look in before):
        times = "once" if len(before) == 1 else f"{len(before)} times"
        text += f"AFTER the test split had been looked at {times}, first {min(seconds[look] for look in before)}"
    else:
        text += f"before this experiment's first look, after {len(before)} looks at the same test split by others"
    return text + (f"; it replaces a rule declared {rules[-2].declared}" if len(rules) > 1 else "")


def _to_the_second(when: str) -> str:
    return f"{when[:19]}{when[-6:]}" if "." in when else when


def question(rule: WinnerRule, seeds: Iterable[int]) -> Question:
    """What estimates are about, from the seeds of each trained arm: the method from three on, unless the rule says."""
    enough = max(seeds, default=0) >= SEEDS_OF_A_METHOD
    return "method" if enough and rule.estimand != "checkpoints" else "checkpoints"
