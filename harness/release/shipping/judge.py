"""The outcome of a parity check, from what the run and what ships answered. Pure.

Two questions are asked. *Is it the run's model at all?* On every example on which the run and another arm differ, is
what ships nearer to the run or to the other: s = (d_other - d_run) / (d_other + d_run), from -1 (the other's) to 1 (the
run's), with d the distance of two answers (one less the share of common words in order, as difflib has it) or of two
log-probabilities of the same target. An adapter that was dropped on the way answers as the base, one that was swapped
as its sibling, and both may well score within the margin. It must be shown to lie nearer to the run than to the
untrained base. Of a sibling, a mean of s below -1/2 is held to show that it is there in place of the run;
log-probabilities say nothing of siblings, because quantisation moves all of them the same way, and so towards whichever
sibling is a little worse. A sibling whose answers and log-probabilities are those of what ships, up to rounding, is
what ships.

*Does it score alike?* The paired difference of the metric within ± the margin, by two one-sided tests (Schuirmann
1987).

    EQUIVALENT     it scores alike, and is shown to be nearer to the run than to the base
    DIFFERENT      the difference is shown to exceed the margin, or it is shown to be nearer to another model
    INCONCLUSIVE   neither
    INVALID        something is missing or does not match: nothing can be said
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from harness import stats
from harness.metrics import Metric
from harness.records import Closeness, Estimate, Likelihood, ParityCheck, ParityOutcome, Prediction
from harness.results.estimator import Estimator, Series
from harness.stats.intervals import span

A_SIBLING = -0.5
"""Quantised to 4 bits, a model may answer a little more like a sibling than like itself (seen: -0.27); a sibling in its
place answers like the sibling (-1)."""
ROUNDING = 1e-4
"""Log-probabilities that differ by no more, in nats a token, are those of one function, up to rounding."""


@dataclass(frozen=True, slots=True)
class ModelAnswers:
    """What one model answered, and how probable it found the targets."""

    name: str
    answers: Mapping[str, Prediction]
    """By example."""
    targets: Mapping[str, Likelihood]
    """By example; empty where a model gives none."""

    @staticmethod
    def of(name: str, predictions: Sequence[Prediction], likelihoods: Sequence[Likelihood]) -> ModelAnswers:
        """One evaluation's records."""
        targets = {row.item: row for row in likelihoods if row.suite == "test" and row.role == "target"}
        return ModelAnswers(name, {row.example: row for row in predictions}, targets)


def mismatch(run: ModelAnswers, shipped: ModelAnswers) -> str:
    """What makes the two incomparable; empty where they answered the same prompts."""
    gone, new = run.answers.keys() - shipped.answers.keys(), shipped.answers.keys() - run.answers.keys()
    if gone or new:
        return f"{len(gone)} examples of the run have no answer, {len(new)} are new"
    other = sum(row.prompt_hash != shipped.answers[name].prompt_hash for name, row in run.answers.items())
    if other:
        return f"{other} of {len(run.answers)} prompts are not the run's: its tokenizer or chat template is another"
    return ""


def same_function(run: ModelAnswers, shipped: ModelAnswers) -> bool:
    """Whether every answer is the same and every target as probable, up to rounding."""
    if not run.targets or run.targets.keys() != shipped.targets.keys():
        return False
    gaps = [abs(row.logprob - shipped.targets[name].logprob) / row.tokens for name, row in run.targets.items()]
    same = sum(name in shipped.answers and row.text == shipped.answers[name].text for name, row in run.answers.items())
    return max(gaps) <= ROUNDING and same == len(run.answers)


def measure(check: ParityCheck, metric: Metric, sides: tuple[Series, Series], estimator: Estimator) -> ParityCheck:
    """With the paired difference `sides[0]` (what ships) minus `sides[1]` (the run), and its equivalence test.

    Where there is no difference, `words` say why.
    """
    ours, theirs = sides
    missing = max(ours.missing, theirs.missing)
    if missing or ours.items != theirs.items:
        return replace(check, words=f"{missing} examples have no value of {metric.name}")
    level = 2 * check.confidence - 1
    if metric.combine is not None:
        difference = estimator.difference(metric, ours, theirs, ("shipped", "run"), level)
        if isinstance(difference, str):
            return replace(check, words=difference)
        gap = abs(check.margin - abs(difference.value))
        more = estimator.needed(metric, sides, gap, level)[0] if gap else None
        return replace(check, difference=difference, more_examples=more)
    clusters = estimator.clusters(ours.items)
    differences, bounds = (ours.data - theirs.data)[0], span(metric.bounds)
    test = stats.equivalence(differences, check.margin, clusters, bounds=bounds, confidence=check.confidence)
    return replace(check, difference=test.estimate, p_value=test.p_value, more_examples=test.more_examples)


def unchanged(check: ParityCheck, items: int, clusters: int) -> ParityCheck:
    """With the difference of one function from itself."""
    words = f"every answer is the run's, and every log-probability within {ROUNDING:g} nats a token"
    same = Estimate(0.0, 0.0, 0.0, items, clusters, 1, words, 2 * check.confidence - 1)
    return replace(check, difference=same)


def closeness(
    run: ModelAnswers,
    shipped: ModelAnswers,
    other: ModelAnswers,
    groups: Mapping[str, str],
    *,
    base: bool,
    confidence: float,
) -> tuple[Closeness, ...]:
    """Whether `shipped` is nearer to `run` than to `other`: by answers, and to the base by likelihoods, too.

    Empty where run and other do not differ.
    """
    results = []
    ways: tuple[Literal["answers", "likelihoods"], ...] = ("answers", "likelihoods") if base else ("answers",)
    for by in ways:
        rows = _nearness(run, shipped, other, by)
        if rows:
            values = np.array(list(rows.values()), dtype=np.float64)
            clusters = [groups.get(name, name) for name in rows]
            nearness = stats.estimate(values, clusters, bounds=(-1.0, 1.0), level=2 * confidence - 1)
            results.append(Closeness(other.name, base, by, nearness))
    return tuple(results)


def _nearness(run: ModelAnswers, shipped: ModelAnswers, other: ModelAnswers, by: str) -> dict[str, float]:
    """Example → (distance to the other - distance to the run) / (their sum), where run and other differ."""
    rows: dict[str, float] = {}

    def add(name: str, to_run: float, to_other: float) -> None:
        rows[name] = (to_other - to_run) / (to_other + to_run)  # not both 0: run and other differ

    if by == "answers":
        for name in sorted(run.answers.keys() & other.answers.keys() & shipped.answers.keys()):
            text, own, theirs = (side.answers[name].text for side in (shipped, run, other))
            if own != theirs:
                add(name, distance(text, own), distance(text, theirs))
    else:
        for name in sorted(run.targets.keys() & other.targets.keys() & shipped.targets.keys()):
            value, own_value, their_value = (side.targets[name].logprob for side in (shipped, run, other))
            if own_value != their_value:
                add(name, abs(value - own_value), abs(value - their_value))
    return rows


def distance(a: str, b: str) -> float:
    """0 for the same text, up to 1: one less twice the words in common, in order, over the words of both."""
    if a == b:
        return 0.0
    alike = difflib.SequenceMatcher(None, a.split(), b.split(), autojunk=False).ratio()
    # Texts that differ in white space alone are not the same.
    return max(1e-9, 1.0 - alike)


def twin(run: ModelAnswers, shipped: ModelAnswers, others: Sequence[ModelAnswers]) -> str:
    """The other arm whose function `shipped` is, up to rounding, while it is not the run's; empty without one."""
    if same_function(run, shipped):
        return ""
    return next((other.name for other in others if same_function(other, shipped)), "")


def judge(check: ParityCheck, twin_of: str = "") -> ParityCheck:
    """With the outcome from the difference, from whom the answers are nearest to, and from whose function it is."""

    def answer(outcome: ParityOutcome, words: str, impostor: str = "") -> ParityCheck:
        more = check.more_examples if outcome == "INCONCLUSIVE" else None
        return replace(check, outcome=outcome, words=words, impostor=impostor, more_examples=more)

    difference, margin = check.difference, check.margin
    if difference is None:
        return answer("INVALID", check.words)
    bases = [each for each in check.closeness if each.base]
    if not bases:
        return answer("INVALID", "no untrained arm answered these prompts otherwise: nothing shows the adapter")
    if twin_of:
        return answer("DIFFERENT", f"it is the model of {twin_of}, up to rounding", twin_of)
    limits = [(each, 0.0 if each.base else A_SIBLING) for each in check.closeness]
    nearer = [each for each, limit in limits if each.estimate.high is not None and each.estimate.high < limit]
    if nearer:
        worst = min(nearer, key=lambda each: float(each.estimate.value))
        what = "the adapter is not there" if worst.base else "another model is in its place"
        return answer("DIFFERENT", f"{what}: its {worst.by} are nearer to {worst.other} than to the run", worst.other)
    if difference.low is None or difference.high is None:
        return answer("INCONCLUSIVE", f"no interval: {difference.method}")
    number = f"{difference.value:+.4g} [{difference.low:+.4g}, {difference.high:+.4g}], margin ±{margin:g}"
    if difference.low > margin or difference.high < -margin:
        return answer("DIFFERENT", f"it scores otherwise: {number}")
    if not (-margin < difference.low and difference.high < margin):
        more = check.more_examples
        ending = f"about {more:,} more examples would settle it" if more else "too close for any number of examples"
        return answer("INCONCLUSIVE", f"{number}; {ending}")
    if not any(each.estimate.low is not None and each.estimate.low > 0 for each in bases):
        words = "it scores alike, but nothing shows that it is nearer to the run than to the untrained base"
        return answer("INCONCLUSIVE", words)
    return answer("EQUIVALENT", number)
