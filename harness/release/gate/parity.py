"""Rules about what ships: a stored parity check must show that it scores as the candidate, and that it is its model.

The stored interval of the difference is that of two one-sided tests (Schuirmann 1987), so that a rule may have another
margin than the check had. The newest check of a kind counts, whatever it said: an older one cannot be chosen instead.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness.config import GateRule
from harness.records import Closeness, Estimate, Evidence, ParityCheck
from harness.records.gates import Question


def parity_rule(rule: GateRule, checks: Sequence[ParityCheck]) -> tuple[Question, Evidence]:
    """The size of the difference between what ships and the candidate, held below the margin.

    `checks` are those of the candidate's own evaluation, in the order they were made.
    """
    assert rule.parity is not None and rule.margin is not None
    question = Question(rule.title, rule.tier, rule.margin, False, rule.confidence, rule.least)
    mine = [one for one in checks if one.kind == rule.parity and one.primary]
    if not mine:
        way = "URL --model NAME" if rule.parity == "endpoint" else "FOLDER"
        words = f"no parity check of its {rule.parity} on the primary metric: harness parity RUN --artefact {way}"
        return question, Evidence(None, problem=words)
    newest = mine[-1]
    about = f"{newest.artefact} ({newest.artefact_hash}), {newest.when}"
    if newest.outcome == "INVALID" or newest.difference is None:
        return question, Evidence(None, problem=f"{newest.words}: {about}")
    if newest.confidence < rule.confidence:
        again = f"harness parity RUN --artefact … --confidence {rule.confidence:g}"
        words = f"checked at a confidence of {newest.confidence:g}, the rule asks for {rule.confidence:g}: {again}"
        return question, Evidence(None, problem=words)
    size = _size(newest.difference, f"{newest.metric} of {about}: {newest.difference.method}")
    # The number of examples was worked out for the margin of the check.
    more = newest.more_examples if newest.margin == rule.margin else None
    return question, Evidence(size, None, more, parts=tuple(_identity(newest, question)))


def _size(difference: Estimate, words: str) -> Estimate:
    """How far a difference is from 0: below a margin where the interval lies within both margins, above it where the
    interval lies beyond one."""
    low, high = difference.low, difference.high
    if low is None or high is None:
        return replace(difference, value=abs(difference.value), method=words)
    return replace(
        difference, value=abs(difference.value), low=max(0.0, low, -high), high=max(abs(low), abs(high)), method=words
    )


def _identity(check: ParityCheck, question: Question) -> list[tuple[Question, Evidence]]:
    """Whether it is the candidate's model at all: nearer to its run than to the base, and not another arm's."""
    bases = [one for one in check.closeness if one.base]
    shown = max(bases, key=_low, default=None)
    parts = []
    if shown is not None:
        parts.append((_nearness(question, f"nearer to the run than to {shown.other}"), Evidence(shown.estimate)))
    if check.impostor:
        words = f"{check.impostor}: {check.words}"
        found = Estimate(-1.0, -1.0, -1.0, check.answers, check.answers, 1, words)
        parts.append((_nearness(question, f"not the model of {check.impostor}"), Evidence(found)))
    return parts


def _nearness(question: Question, name: str) -> Question:
    return Question(name, question.tier, 0.0, True, question.confidence)


def _low(one: Closeness) -> float:
    return -1.0 if one.estimate.low is None else one.estimate.low
