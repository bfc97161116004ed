"""Winner rules as they are declared: stored with their date, and set against the looks at the test split."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

from harness.records import ExperimentRecord, Question, SealedAccess, WinnerRule

SEEDS_OF_A_METHOD = 3
"""Fewer seeds say nothing about a method."""


def declared_rules(record: ExperimentRecord) -> tuple[WinnerRule, ...]:
    """Every winner rule that was declared for an experiment, dated, the last one in force."""
    return tuple(WinnerRule(**rule) for rule in record.spec.get("winner_rules") or ())


def declare(record: ExperimentRecord, stored: ExperimentRecord | None, now: str) -> ExperimentRecord:
    """The experiment to store: `stored` (or, the first time, `record`) with the rule of `record` declared, dated.

    A rule that was declared stands until another one is declared; leaving it out takes nothing back.
    """
    rule = record.spec.get("winner")
    if stored is None:
        stored, now = record, record.created
    rules = [dict(old) for old in stored.spec.get("winner_rules") or ()]
    if rule is None or (rules and {**rules[-1], "declared": None} == {**rule, "declared": None}):
        return stored
    return replace(stored, spec={**stored.spec, "winner": rule, "winner_rules": [*rules, {**rule, "declared": now}]})


def declaration(record: ExperimentRecord, looks: Sequence[SealedAccess], evaluations: Iterable[str]) -> str:
    """When the rule in force was declared, against the looks at this test split, in words.

    `evaluations` are those of this experiment's arms, `looks` all looks at its test split.
    """
    rules = declared_rules(record)
    if not rules:
        return "no rule was declared before the run"
    when = rules[-1].declared or ""
    # Times have seconds: what is stored with the experiment comes before any look of the same second.
    first = len(rules) == 1 and when == record.created
    before = [look for look in looks if look.when < when or (look.when == when and not first)]
    mine = set(evaluations)
    text = f"declared {when}, "
    if not before:
        text += "before the first look at the test split"
    elif any(look.eval_id in mine for look in before):
        times = "once" if len(before) == 1 else f"{len(before)} times"
        text += f"AFTER the test split had been looked at {times}, first {min(look.when for look in before)}"
    else:
        text += f"before this experiment's first look, after {len(before)} looks at the same test split by others"
    return text + (f"; it replaces a rule declared {rules[-2].declared}" if len(rules) > 1 else "")


def question(rule: WinnerRule, seeds: Iterable[int]) -> Question:
    """What estimates are about, from the seeds of each trained arm: the method from three on, unless the rule says."""
    enough = max(seeds, default=0) >= SEEDS_OF_A_METHOD
    return "method" if enough and rule.estimand != "checkpoints" else "checkpoints"
