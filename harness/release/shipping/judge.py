"""Both sides of a parity check → its outcome. Pure.

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
from dataclasses import dataclass
from typing import Literal

import numpy as np

from harness import stats
from harness.metrics import Metric
from harness.records import Closeness, Estimate, Likelihood, ParityOutcome, Prediction
from harness.results.estimator import Estimator, Series

A_SIBLING = -0.5
"""Quantised to 4 bits, a model may answer a little more like a sibling than like itself (seen: -0.27); a sibling in its
place answers like the sibling (-1)."""
ROUNDING = 1e-4
"""Log-probabilities that differ by no more, in nats a token, are those of one function, up to rounding."""


@dataclass(frozen=True, slots=True)
class Side:
    """What one model answered, and how probable it found the targets."""

    name: str
    answers: Mapping[str, Prediction]
    """By example."""
    targets: Mapping[str, Likelihood]
    """By example; empty where a model gives none."""

    @staticmethod
    def of(name: str, predictions: Sequence[Prediction], likelihoods: Sequence[Likelihood]) -> Side:
        """One evaluation's records."""
        targets = {row.item: row for row in likelihoods if row.suite == "test" and row.role == "target"}
        return Side(name, {row.example: row for row in predictions}, targets)


@dataclass(frozen=True, slots=True)
class Measured:
    """The difference of the metric, what ships minus the run."""

    estimate: Estimate | None
    p_value: float | None = None
    more_examples: int | None = None
    problem: str = ""
    """Why there is none."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """An outcome and its reason in one line."""

    outcome: ParityOutcome
    words: str
    impostor: str = ""


def mismatch(run: Side, shipped: Side) -> str:
    """What makes the two incomparable; empty where they answered the same prompts."""
    gone, new = run.answers.keys() - shipped.answers.keys(), shipped.answers.keys() - run.answers.keys()
    if gone or new:
        return f"{len(gone)} examples of the run have no answer, {len(new)} are new"
    other = sum(row.prompt_hash != shipped.answers[name].prompt_hash for name, row in run.answers.items())
    if other:
        return f"{other} of {len(run.answers)} prompts are not the run's: its tokenizer or chat template is another"
    return ""


def same_answers(run: Side, shipped: Side) -> int:
    """Answers with the same text."""
    return sum(row.text == shipped.answers[name].text for name, row in run.answers.items())


def same_function(run: Side, shipped: Side) -> bool:
    """Whether every answer is the same and every target as probable, up to rounding."""
    if not run.targets or run.targets.keys() != shipped.targets.keys():
        return False
    gaps = [abs(row.logprob - shipped.targets[name].logprob) / row.tokens for name, row in run.targets.items()]
    same = sum(name in shipped.answers and row.text == shipped.answers[name].text for name, row in run.answers.items())
    return max(gaps) <= ROUNDING and same == len(run.answers)


def measure(
    known: Metric, sides: tuple[Series, Series], estimator: Estimator, margin: float, confidence: float
) -> Measured:
    """The paired difference `sides[0]` (what ships) minus `sides[1]` (the run), and its equivalence test."""
    ours, theirs = sides
    if ours.missing or theirs.missing or ours.items != theirs.items:
        return Measured(None, problem=f"{max(ours.missing, theirs.missing)} examples have no value of {known.name}")
    level = 2 * confidence - 1
    if known.combine is not None:
        found = estimator.difference(known, ours, theirs, ("shipped", "run"), level)
        if isinstance(found, str):
            return Measured(None, problem=found)
        gap = abs(margin - abs(found.value))
        more = estimator.needed(known, sides, gap, level)[0] if gap else None
        return Measured(found, None, more)
    clusters = estimator.clusters(ours.items)
    bounds = None if known.bounds is None else (known.bounds[0] - known.bounds[1], known.bounds[1] - known.bounds[0])
    test = stats.equivalence((ours.data - theirs.data)[0], margin, clusters, bounds=bounds, confidence=confidence)
    return Measured(test.estimate, test.p_value, test.more_examples)


def unchanged(series: Series, clusters: int, level: float) -> Measured:
    """The difference of one function from itself."""
    words = f"every answer is the run's, and every log-probability within {ROUNDING:g} nats a token"
    return Measured(Estimate(0.0, 0.0, 0.0, len(series.items), clusters, 1, words, level), None, 0)


def closeness(
    run: Side, shipped: Side, other: Side, groups: Mapping[str, str], *, base: bool, confidence: float
) -> tuple[Closeness, ...]:
    """Whether `shipped` is nearer to `run` than to `other`: by answers, and to the base by likelihoods, too.

    Empty where run and other do not differ.
    """
    found = []
    ways: tuple[Literal["answers", "likelihoods"], ...] = ("answers", "likelihoods") if base else ("answers",)
    for by in ways:
        rows = _by_answers(run, shipped, other) if by == "answers" else _by_likelihoods(run, shipped, other)
        if rows:
            values = np.array(list(rows.values()), dtype=np.float64)
            clusters = [groups.get(name, name) for name in rows]
            told = stats.estimate(values, clusters, bounds=(-1.0, 1.0), level=2 * confidence - 1)
            found.append(Closeness(other.name, base, by, told))
    return tuple(found)


def _by_answers(run: Side, shipped: Side, other: Side) -> dict[str, float]:
    rows = {}
    for name in sorted(run.answers.keys() & other.answers.keys() & shipped.answers.keys()):
        text, mine, theirs = shipped.answers[name].text, run.answers[name].text, other.answers[name].text
        if mine != theirs:
            rows[name] = _nearer(distance(text, theirs), distance(text, mine))
    return rows


def _by_likelihoods(run: Side, shipped: Side, other: Side) -> dict[str, float]:
    rows = {}
    for name in sorted(run.targets.keys() & other.targets.keys() & shipped.targets.keys()):
        value, mine, theirs = (side.targets[name].logprob for side in (shipped, run, other))
        if mine != theirs:
            rows[name] = _nearer(abs(value - theirs), abs(value - mine))
    return rows


def _nearer(to_other: float, to_run: float) -> float:
    return (to_other - to_run) / (to_other + to_run)  # not both 0: run and other differ


def distance(a: str, b: str) -> float:
    """0 for the same text, up to 1: one less twice the words in common, in order, over the words of both."""
    if a == b:
        return 0.0
    alike = difflib.SequenceMatcher(None, a.split(), b.split(), autojunk=False).ratio()
    # Texts that differ in white space alone are not the same.
    return max(1e-9, 1.0 - alike)


def unresolved(near: Sequence[Closeness]) -> list[str]:
    """Siblings that what ships is not shown to be nearer to the run than to."""
    return [one.other for one in near if not one.base and (one.estimate.low is None or one.estimate.low <= 0)]


def twin(run: Side, shipped: Side, others: Sequence[Side]) -> str:
    """The other arm whose function `shipped` is, up to rounding, while it is not the run's; empty without one."""
    if same_function(run, shipped):
        return ""
    return next((other.name for other in others if same_function(other, shipped)), "")


def judge(measured: Measured, near: Sequence[Closeness], margin: float, twin_of: str = "") -> Judgement:
    """The outcome from the difference, from whom the answers are nearest to, and from whose function it is."""
    if measured.problem:
        return Judgement("INVALID", measured.problem)
    bases = [one for one in near if one.base]
    if not bases:
        return Judgement("INVALID", "no untrained arm answered these prompts otherwise: nothing shows the adapter")
    if twin_of:
        return Judgement("DIFFERENT", f"it is the model of {twin_of}, up to rounding", twin_of)
    limits = [(one, 0.0 if one.base else A_SIBLING) for one in near]
    nearer = [one for one, limit in limits if one.estimate.high is not None and one.estimate.high < limit]
    if nearer:
        worst = min(nearer, key=lambda one: float(one.estimate.value))
        what = "the adapter is not there" if worst.base else "another model is in its place"
        return Judgement(
            "DIFFERENT", f"{what}: its {worst.by} are nearer to {worst.other} than to the run", worst.other
        )
    found = measured.estimate
    assert found is not None
    if found.low is None or found.high is None:
        return Judgement("INCONCLUSIVE", f"no interval: {found.method}")
    number = f"{found.value:+.4g} [{found.low:+.4g}, {found.high:+.4g}], margin ±{margin:g}"
    if found.low > margin or found.high < -margin:
        return Judgement("DIFFERENT", f"it scores otherwise: {number}")
    if not (-margin < found.low and found.high < margin):
        more = measured.more_examples
        told = f"about {more:,} more examples would settle it" if more else "too close for any number of examples"
        return Judgement("INCONCLUSIVE", f"{number}; {told}")
    if not any(one.estimate.low is not None and one.estimate.low > 0 for one in bases):
        words = "it scores alike, but nothing shows that it is nearer to the run than to the untrained base"
        return Judgement("INCONCLUSIVE", words)
    return Judgement("EQUIVALENT", number)
