"""The evidence on every rule of a gate, from a scored candidate and baseline. A mismatch is a problem, never a number.

Candidate and baseline must have answered the same prompts for the same sealed examples with the same settings and been
scored by the same versions of the metrics in the same environment; and every example must have a value on both sides:
leaving out what went wrong would favour whoever fails on the hard ones. A rule with a floor compares nothing, but its
floor was set on those examples and prompts, so the same is asked of it, but for the environment.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from harness import stats
from harness.config import GateRule
from harness.config.documents import nearest
from harness.config.gates import HUMAN, shown
from harness.metrics import Metric, metric
from harness.records import Estimate, Evidence, ExampleDrop, ParityCheck, Score, differences
from harness.records.release import Scored
from harness.release.gate.measures import measure_rule, parity_rule, with_test
from harness.release.gate.votes import flag_rule, win_rate_rule
from harness.results.estimator import name_of
from harness.results.human.votes import RoundVotes
from harness.stats.intervals import span

WORST = 10
Values = Mapping[str, Score]
"""Item → its score."""


@dataclass(frozen=True, slots=True)
class GateInputs:
    """All that rules are judged on: candidate, baseline, what rules ask for beside scores, or why it is missing."""

    candidate: Scored
    baseline: Scored
    sensitive: bool = False
    """No id of an example may stand in a report."""
    untrained: Scored | str = "the untrained arm was not looked up"
    """The untrained arm of the same experiment, or why there is none."""
    columns: Mapping[str, Mapping[str, Any]] | str = "the sealed test split was not read"
    """Test example → its row, for slices; or why they are not known."""
    votes: RoundVotes | str = "no review round was looked up"
    """The newest unblinded round with this very artefact, or why there is none."""
    parities: tuple[ParityCheck, ...] = ()
    """Checks of what ships of it, in the order they were made."""

    def other_question(self) -> str:
        """Whether something else was asked of the two."""
        ours, theirs = self.candidate, self.baseline
        if ours.suite != theirs.suite:
            return "scored on another sealed suite: other test examples, retention texts or lm-eval tasks"
        if ours.prompts != theirs.prompts:
            return "asked with other prompts than the baseline"
        if ours.generation != theirs.generation:
            return "generated with other settings than the baseline"
        return ""

    def other_environment(self, other: Scored, hint: str) -> str:
        """Whether the candidate was scored elsewhere than `other`."""
        changed = differences(other.environment, self.candidate.environment)
        who = "baseline" if other is self.baseline else "untrained arm"
        return f"scored in another environment than the {who} ({', '.join(changed)}); {hint}" if changed else ""


def _asked(rule: GateRule, higher: bool) -> Evidence:
    """What a rule about a metric asks, in the metric's own direction, before anything is known."""
    if rule.margin is not None:
        limit, better = (-rule.margin if higher else rule.margin), higher
    elif rule.floor is not None:
        limit, better = rule.floor, True
    else:
        assert rule.ceiling is not None
        limit, better = rule.ceiling, False
    return Evidence(rule.title, rule.tier, limit, better, rule.confidence, rule.least)


def evidence_on(rule: GateRule, inputs: GateInputs) -> Evidence:
    """What a rule asks, and what is known of it."""
    evidence = _evidence_on(rule, inputs)
    if inputs.candidate.suite != inputs.baseline.suite:
        # Whatever a rule is about, a baseline of other data is not the one it was written for.
        asked = evidence.rule, evidence.tier, evidence.limit, evidence.higher_is_better, evidence.confidence
        return Evidence(*asked, evidence.minimum_examples, problem=inputs.other_question())
    return evidence


def _evidence_on(rule: GateRule, inputs: GateInputs) -> Evidence:
    if rule.measure is not None:
        return measure_rule(rule, inputs.candidate, inputs.baseline)
    if rule.parity is not None:
        return parity_rule(rule, inputs.parities)
    if rule.flag is not None or rule.metric == HUMAN:
        votes = inputs.votes
        if isinstance(votes, str):
            higher, limit = rule.flag is None, rule.floor if rule.ceiling is None else rule.ceiling
            assert limit is not None
            asked = Evidence(rule.title, rule.tier, limit, higher, rule.confidence, rule.least)
            return replace(asked, problem=votes)
        judged = flag_rule if rule.flag is not None else win_rate_rule
        return judged(rule, votes, inputs.candidate.arm)
    return _metric_rule(rule, inputs)


def _metric_rule(rule: GateRule, inputs: GateInputs) -> Evidence:
    assert rule.metric is not None
    metric = _metric(rule.metric, inputs)
    asked = _asked(rule, metric.direction == "higher")
    other = inputs.untrained if rule.against == "untrained" else inputs.baseline
    wrong, ours, theirs = _comparable(rule, inputs, metric)
    if wrong:
        return replace(asked, problem=wrong)
    if rule.slice is not None:
        items, wrong = _in_slice(rule.slice, ours, inputs)
        if wrong:
            return replace(asked, problem=wrong)
        ours = {item: ours[item] for item in items}
        theirs = {item: theirs[item] for item in items} if theirs is not None else None
    if rule.margin is None:
        return _evidence(metric, asked, ours, None, inputs.candidate.groups)
    assert theirs is not None and not isinstance(other, str)
    if inputs.candidate.artefact == other.artefact and _same(ours, theirs):
        words = "the candidate is the baseline's own artefact, with the same score on every example"
        groups = {inputs.candidate.groups.get(item, item) for item in ours}
        same = Estimate(0.0, 0.0, 0.0, len(ours), len(groups), 1, words, 1.0)
        return replace(asked, estimate=same, p_fail=1.0, more_examples=0)
    evidence = _evidence(metric, asked, ours, theirs, inputs.candidate.groups)
    return _with_worst(evidence, ours, theirs, inputs.sensitive)


def _metric(name: str, inputs: GateInputs) -> Metric:
    """A metric; of a user's own one what was pinned with its scores."""
    metric_ = metric(name)
    fact = inputs.baseline.metrics.get(name) or inputs.candidate.metrics.get(name)
    if fact is None:
        return metric_
    return replace(metric_, direction="lower" if fact.direction == "lower" else "higher", bounds=fact.bounds)


def _comparable(rule: GateRule, inputs: GateInputs, metric: Metric) -> tuple[str, Values, Values | None]:
    """What is wrong, the candidate's scores, and those of what it is held against (None: of nothing)."""
    assert rule.metric is not None
    name, wrong = rule.metric, inputs.other_question()
    facts = [side.metrics[name] for side in (inputs.candidate, inputs.baseline) if name in side.metrics]
    if len({(fact.version, fact.direction, fact.bounds) for fact in facts}) > 1:
        wrong = wrong or f"{name}: another version of the metric, or declared otherwise, than the baseline's"
    ours, problem = _values(inputs.candidate, name, metric)
    wrong = wrong or (f"candidate: {problem}" if problem else "") or _incomplete(inputs.candidate, name, ours)
    pinned, problem = _values(inputs.baseline, name, metric)
    compared = rule.margin is not None and rule.against == "baseline"
    if not wrong and (pinned or compared or "was not scored" not in problem):
        wrong = (f"baseline: {problem}" if problem else "") or _unlike(name, ours, pinned, "the baseline")
    if wrong or rule.margin is None:
        return wrong, ours, None
    if compared:
        return inputs.other_environment(inputs.baseline, "--rescore-baseline"), ours, pinned
    untrained = inputs.untrained
    if isinstance(untrained, str):
        return untrained, ours, None
    if _suite(ours) == "test" and untrained.prompts != inputs.candidate.prompts:
        return "the untrained arm was asked with other prompts", ours, None
    theirs, problem = _values(untrained, name, metric)
    wrong = (f"untrained arm: {problem}" if problem else "") or _unlike(name, ours, theirs, "the untrained arm")
    hint = "`harness run EXPERIMENT.yaml` scores both in the present one"
    return wrong or inputs.other_environment(untrained, hint), ours, theirs


def _unlike(name: str, ours: Values, theirs: Values, who: str) -> str:
    versions = {score.version for score in (*ours.values(), *theirs.values())}
    if len(versions) > 1:
        return f"{name}: scored by different versions of the metric"
    if ours.keys() != theirs.keys():
        gone, new = len(theirs.keys() - ours.keys()), len(ours.keys() - theirs.keys())
        return f"{gone} examples of {who} are missing, {new} are new"
    return ""


def _incomplete(side: Scored, name: str, ours: Values) -> str:
    """A test example without any row: nobody else may say how many there are, where nothing is compared."""
    if _suite(ours) != "test" or side.examples is None or len(ours) == side.examples:
        return ""
    return f"candidate: {side.examples - len(ours)} of {side.examples} test examples have no value of {name}"


def _suite(values: Values) -> str:
    return next((score.suite for score in values.values()), "")


def _in_slice(slice_: Mapping[str, object], ours: Values, inputs: GateInputs) -> tuple[list[str], str]:
    """The items whose columns hold the values that are wanted, and what is wrong."""
    columns = inputs.columns
    if isinstance(columns, str):
        return [], columns
    lost = sum(item not in columns for item in ours)
    if lost:
        return [], f"the columns of {lost} test examples are not known"
    for name in slice_:
        if not any(name in row for row in columns.values()):
            names = sorted({column for row in columns.values() for column in row})
            return [], f"no test example has a column {name!r}. {nearest(name, names)}".strip()
    asked = {name: shown(value) for name, value in slice_.items()}
    items = [item for item in sorted(ours) if all(shown(columns[item].get(k)) == v for k, v in asked.items())]
    if not items:
        words = ", ".join(f"{name}={value}" for name, value in asked.items())
        return [], f"no test example has {words}"
    return items, ""


def _same(ours: Values, theirs: Values) -> bool:
    return all(
        (score.value, score.statistics) == (theirs[item].value, theirs[item].statistics) for item, score in ours.items()
    )


def _values(side: Scored, name: str, metric: Metric) -> tuple[dict[str, Score], str]:
    """One side's scores of a metric by item, and what is wrong with them."""
    rows = [score for score in side.scores if name_of(score) == name]
    if not rows:
        return {}, f"{name} was not scored"
    twice = [item for item, count in Counter(score.item for score in rows).items() if count > 1]
    if twice:
        return {}, f"{len(twice)} examples have two values of {name}"
    bad = [score for score in rows if not _usable(score, metric.combine is not None)]
    if bad:
        return {}, f"{len(bad)} of {len(rows)} examples have no value of {name}"
    return {score.item: score for score in rows}, ""


def _usable(score: Score, corpus: bool) -> bool:
    if score.status != "ok":
        return False
    numbers: Sequence[float | None] = (score.statistics or (None,)) if corpus else (score.value,)
    return all(number is not None and np.isfinite(number) for number in numbers)


def _evidence(
    metric: Metric, asked: Evidence, ours: Values, theirs: Values | None, grouped: Mapping[str, str]
) -> Evidence:
    """From scores of the same items. Of corpus metrics the bootstrap interval alone decides, without a p-value."""
    items = sorted(ours)
    groups = [grouped.get(item, item) for item in items]

    def column(side: Values) -> NDArray[np.float64]:
        numbers = [side[item].value if metric.combine is None else side[item].statistics for item in items]
        return np.array(numbers, dtype=np.float64)

    if metric.combine is None:
        values, bounds = column(ours), metric.bounds
        if theirs is not None:
            values, bounds = values - column(theirs), span(bounds)
        test = stats.side_test(values, asked.limit, groups, bounds=bounds, confidence=asked.confidence)
        return with_test(asked, test)
    level, rng = 2 * asked.confidence - 1, np.random.default_rng(0)
    if theirs is None:
        estimate = stats.corpus_estimate(column(ours)[None], metric.combine, groups, rng, level)
    else:
        sides = column(ours)[None], column(theirs)[None]
        estimate = stats.corpus_paired_difference(*sides, metric.combine, groups, rng, level)
    more = stats.more_to_settle(estimate, asked.limit, asked.confidence)
    return replace(asked, estimate=estimate, more_examples=more)


def _with_worst(evidence: Evidence, ours: Values, theirs: Values, sensitive: bool) -> Evidence:
    """With the examples on which the candidate drops most; of corpus metrics each example's own value."""
    sign = 1.0 if evidence.higher_is_better else -1.0
    drops = []
    for item, score in ours.items():
        value, other = score.value, theirs[item].value
        if value is not None and other is not None and np.isfinite((value, other)).all() and sign * (value - other) < 0:
            drops.append((sign * (value - other), item, value, other))
    worst = [ExampleDrop(None if sensitive else item, value, other) for _, item, value, other in sorted(drops)[:WORST]]
    return replace(evidence, worst=tuple(worst), dropped=len(drops))
