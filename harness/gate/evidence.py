"""From two scored evaluations to the evidence of every rule. What does not match is a problem, never a number.

Candidate and baseline must have answered the same prompts for the same sealed examples with the same settings and been
scored by the same versions of the metrics in the same environment; and every example must have a value on both sides:
leaving out what went wrong would favour whoever fails on the hard ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from harness import stats
from harness.metrics import metric
from harness.records import Estimate, Evidence, Score, differences
from harness.records.gates import Question
from harness.records.released import Scored
from harness.report.series import name_of
from harness.spec import GateRule


@dataclass(frozen=True, slots=True)
class Sides:
    """What is compared."""

    candidate: Scored
    baseline: Scored

    def mismatch(self) -> str:
        """What makes the two incomparable as a whole; empty where they can be compared."""
        ours, theirs = self.candidate, self.baseline
        if ours.suite != theirs.suite:
            return "scored on another sealed suite: other test examples, retention texts or lm-eval tasks"
        if ours.prompts != theirs.prompts:
            return "asked with other prompts than the baseline"
        if ours.generation != theirs.generation:
            return "generated with other settings than the baseline"
        changed = differences(theirs.environment, ours.environment)
        if changed:
            return f"scored in another environment than the baseline ({', '.join(changed)}); --rescore-baseline"
        return ""


def question_of(rule: GateRule, higher: bool) -> Question:
    """What a rule asks, in the metric's own direction."""
    if rule.margin is not None:
        limit, better = (-rule.margin if higher else rule.margin), higher
    elif rule.floor is not None:
        limit, better = rule.floor, True
    else:
        assert rule.ceiling is not None
        limit, better = rule.ceiling, False
    return Question(rule.title, rule.tier, limit, better, rule.confidence, rule.minimum_examples)


def ask(rule: GateRule, sides: Sides) -> tuple[Question, Evidence]:
    """A rule's question and its evidence."""
    fact = sides.baseline.metrics.get(rule.metric.rpartition("/")[2]) or sides.candidate.metrics.get(rule.metric)
    ours, problem = _values(sides.candidate, rule.metric)
    higher = fact is None or fact.direction == "higher"
    question = question_of(rule, higher)
    if problem:
        return question, Evidence(None, problem=f"candidate: {problem}")
    known = metric(rule.metric)
    question = question_of(rule, known.direction == "higher")
    if rule.margin is None:
        return question, _evidence(ours, None, question, sides)
    wrong = sides.mismatch()
    theirs, problem = _values(sides.baseline, rule.metric)
    if wrong or problem:
        return question, Evidence(None, problem=wrong or f"baseline: {problem}")
    versions = {score.version for score in (*ours.values(), *theirs.values())}
    if len(versions) > 1:
        return question, Evidence(None, problem=f"{rule.metric}: scored by different versions of the metric")
    if ours.keys() != theirs.keys():
        gone, new = len(theirs.keys() - ours.keys()), len(ours.keys() - theirs.keys())
        return question, Evidence(None, problem=f"{gone} examples of the baseline are missing, {new} are new")
    if sides.candidate.artefact == sides.baseline.artefact and _same(ours, theirs):
        words = "the candidate is the baseline's own artefact, with the same score on every example"
        groups = {sides.baseline.groups.get(item, item) for item in ours}
        return question, Evidence(Estimate(0.0, 0.0, 0.0, len(ours), len(groups), 1, words, 1.0), 1.0, 0)
    return question, _evidence(ours, theirs, question, sides)


def _same(ours: dict[str, Score], theirs: dict[str, Score]) -> bool:
    return all(
        (one.value, one.statistics) == (theirs[item].value, theirs[item].statistics) for item, one in ours.items()
    )


def _values(side: Scored, name: str) -> tuple[dict[str, Score], str]:
    """One side's scores of a metric by item, and what is wrong with them."""
    rows = [score for score in side.scores if name_of(score) == name]
    if not rows:
        return {}, f"{name} was not scored"
    twice = [item for item, count in Counter(score.item for score in rows).items() if count > 1]
    if twice:
        return {}, f"{len(twice)} examples have two values of {name}"
    known = metric(name)
    bad = [score for score in rows if not _usable(score, known.combine is not None)]
    if bad:
        return {}, f"{len(bad)} of {len(rows)} examples have no value of {name}"
    return {score.item: score for score in rows}, ""


def _usable(score: Score, corpus: bool) -> bool:
    if score.status != "ok":
        return False
    numbers: Sequence[float | None] = (score.statistics or (None,)) if corpus else (score.value,)
    return all(number is not None and np.isfinite(number) for number in numbers)


def _evidence(ours: dict[str, Score], theirs: dict[str, Score] | None, question: Question, sides: Sides) -> Evidence:
    known = metric(next(name_of(score) for score in ours.values()))
    items = sorted(ours)
    groups = [sides.candidate.groups.get(item, item) for item in items]
    if known.combine is not None:
        return _corpus(
            [ours[item] for item in items], [theirs[item] for item in items] if theirs else None, question, groups
        )
    values = np.array([ours[item].value for item in items], dtype=np.float64)
    bounds = known.bounds
    if theirs is not None:
        values = values - np.array([theirs[item].value for item in items], dtype=np.float64)
        bounds = None if bounds is None else (bounds[0] - bounds[1], bounds[1] - bounds[0])
    found = stats.side_test(values, question.limit, groups, bounds=bounds, confidence=question.confidence)
    wrong_side = found.p_below if question.higher_is_better else found.p_above
    return Evidence(found.estimate, wrong_side, found.more_examples)


def _corpus(ours: Sequence[Score], theirs: Sequence[Score] | None, question: Question, groups: list[str]) -> Evidence:
    """Corpus metrics: the bootstrap interval of `stats`; no p-value, so the interval alone decides."""
    known = metric(name_of(ours[0]))
    assert known.combine is not None
    level, rng = 2 * question.confidence - 1, np.random.default_rng(0)
    mine = np.array([score.statistics for score in ours], dtype=np.float64)
    if theirs is None:
        return Evidence(stats.corpus_estimate(mine[None], known.combine, groups, rng, level))
    other = np.array([score.statistics for score in theirs], dtype=np.float64)
    return Evidence(stats.corpus_paired_difference(mine[None], other[None], known.combine, groups, rng, level))
