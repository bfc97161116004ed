"""How often one candidate may be judged: once on one set of scores, or twice under a rule declared beforehand. Pure.

A gate that is run again until it passes lets through more than its error rate: with new data each time, a candidate
that is worse by exactly the margin passes in 5 % of first looks, in up to 9.75 % of two, in 40 % of ten. So

- the same scores judged again give the stored verdict (with other waivers they are judged again: no new evidence);
- `looks: 1`: other scores of the same training are refused;
- `looks: 2`: each look is made at half of every rule's error rate (Bonferroni: the probability that one of two looks
  passes wrongly is at most the sum of the two, however much of the data they share). Pocock's boundary (1977) would
  leave 2.9 % to each look in place of 2.5 %, but needs equal amounts of evidence at both, which nobody promises here.
  The second look is made only after an INCONCLUSIVE first, and with more evidence; there is no third.

What could not be judged (INVALID) is no look: nothing could have passed.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from harness.records import Evidence, GateCall, GateVerdict, RuleVerdict, digest
from harness.records.gates import EXIT_CODES, Question

DIGITS = 6
"""Significant digits of a number that identify it: a library that moves the last bits of a mean is no new evidence."""


def confidence(whole: float, looks: int) -> float:
    """Confidence of one look, so that all `looks` together keep the error rate of the `whole` (Bonferroni)."""
    return 1 - (1 - whole) / looks


def fingerprint(about: Sequence[str], questions: Sequence[Question], evidence: Sequence[Evidence]) -> str:
    """Identity of what is judged: the evaluations it is `about`, and every rule's number, examples and seeds."""
    rows: list[Any] = []
    for question, known in zip(questions, evidence, strict=True):
        found = known.estimate
        number = None if found is None else [f"{found.value:.{DIGITS}g}", found.n, found.clusters, found.seeds]
        rows.append([question.rule, known.problem, number])
    return digest([list(about), rows])


@dataclass(frozen=True, slots=True)
class Finding:
    """What earlier verdicts on the same candidate say about this one."""

    look: int | None
    reason: str
    stored: GateCall | None = None
    """The call whose verdict answers."""
    refused: bool = False
    """Nothing may be judged, for the `reason`."""


def examine(earlier: Sequence[GateCall], now: GateCall) -> Finding:
    """Which look `now` is, given `earlier` calls about the same baseline and training, the oldest first."""
    if now.outcome == "INVALID":
        return Finding(None, "nothing could be judged, which is no look")
    taken = [
        one
        for one in earlier
        if one.rules_digest == now.rules_digest and one.outcome != "INVALID" and not one.answered_by and one.settled
    ]
    if not taken:
        return Finding(1, "first look")
    first = taken[0]
    if first.looks != now.looks:
        return _refused(
            f"looks: {first.looks} was declared at the first look ({first.when[:10]}) and is {now.looks} now; it is "
            "declared before the first look: write it back, or train a new candidate"
        )
    same = [one for one in taken if one.data == now.data]
    if same:
        last = same[-1]
        if (last.outcome, last.exit_code, last.waivers) == (now.outcome, now.exit_code, now.waivers):
            return Finding(last.look, f"the stored verdict of {last.when}: these scores were judged before", last)
        return Finding(last.look, "the same scores judged again: other waivers, or another on_inconclusive")
    seen = len({one.data for one in taken})
    if seen >= now.looks:
        way = "train a new candidate" if now.looks == 2 else "train a new candidate, or declare `looks: 2` for the next"
        return _refused(
            f"other scores of a training that had {'its look' if now.looks == 1 else 'both looks'} "
            f"({first.outcome} on {first.when[:10]}); nothing is judged until it passes: {way}"
        )
    if first.outcome != "INCONCLUSIVE":
        return _refused(
            f"the first look ({first.when[:10]}) was {first.outcome}, which is final; a second look follows an "
            "INCONCLUSIVE one: train a new candidate"
        )
    if not adds(first.verdict, now.verdict):
        return _refused(
            f"a second look needs more examples or seeds than the first ({_examples(first.verdict)}), and has "
            f"{_examples(now.verdict)}: add test examples, score both sides and use --rescore-baseline"
        )
    return Finding(2, "second look")


def _refused(reason: str) -> Finding:
    return Finding(None, reason, refused=True)


def adds(before: GateVerdict, after: GateVerdict) -> bool:
    """Whether the numbers of `after` rest on no less than those of `before` for every critical rule, and on more for
    one: more examples or more seeds."""
    old = {rule.rule: rule.estimate for rule in before.rules if rule.tier == "critical"}
    pairs = [(old.get(rule.rule), rule.estimate) for rule in after.rules if rule.tier == "critical"]
    sizes = [((a.n, a.seeds), (b.n, b.seeds)) for a, b in pairs if a is not None and b is not None]
    no_less = all(b[0] >= a[0] and b[1] >= a[1] for a, b in sizes)
    return no_less and any(b != a for a, b in sizes)


def _examples(verdict: GateVerdict) -> str:
    counts = [rule.estimate.n for rule in verdict.rules if rule.tier == "critical" and rule.estimate is not None]
    return f"{max(counts, default=0)} examples"


def refusal(verdict: GateVerdict, reason: str) -> GateVerdict:
    """A verdict that says why nothing was judged, and shows no number."""

    def hidden(rule: RuleVerdict) -> RuleVerdict:
        nothing = replace(rule, estimate=None, more_examples=None, worst=(), dropped=0)
        return replace(nothing, outcome="INVALID", words=reason, waived="")

    return GateVerdict("INVALID", EXIT_CODES["INVALID"], tuple(map(hidden, verdict.rules)), ())


def other_rules(earlier: Sequence[GateCall], now: GateCall) -> list[str]:
    """A warning where the same candidate was judged by other rules before: rules are written before they are asked."""
    others = [one for one in earlier if one.rules_digest != now.rules_digest and one.outcome != "INVALID"]
    if not others:
        return []
    last = others[-1]
    return [
        f"this candidate was judged by other rules before: {last.outcome} on {last.when[:10]} ({last.gates_file}, "
        f"{len({one.rules_digest for one in others})} other sets of rules)"
    ]
