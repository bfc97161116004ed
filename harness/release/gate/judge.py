"""The verdict of a gate, from the evidence on each of its rules.

A rule asks whether a number lies on the right side of a limit: the paired difference above minus the margin, a score
above its floor, a rate below its ceiling. Both ends of the interval are one-sided limits at the rule's confidence:

    PASS           the lower one is above the limit
    FAIL           the upper one is below it
    INCONCLUSIVE   the limit lies between them, or there are too few examples
    INVALID        something is missing or does not match: nothing can be said

A gate passes when every critical rule passes at its own level: a candidate that is truly beyond one rule's limit passes
in at most 1 - confidence of all gates, whatever the other rules (intersection-union test, Berger 1982), so passing
needs no adjustment for the number of rules. Failing does: with twenty rules one would fail by chance. The family of
critical rules is adjusted by Holm (1979), and a rule that fails at its own level alone is INCONCLUSIVE.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Literal

from harness import stats
from harness.records import EXIT_CODES, Evidence, GateOutcome, GateVerdict, RuleVerdict

SEVERITY: tuple[GateOutcome, ...] = ("INVALID", "FAIL", "INCONCLUSIVE", "PASS")
"""The worst critical rule decides; what cannot be believed comes before everything."""


def judge_rule(evidence: Evidence) -> RuleVerdict:
    """One rule's answer, before the adjustment for the number of rules: the worst of what it asks."""
    verdict = _judge_one(evidence)
    for part in map(_judge_one, evidence.parts):
        words = f"{verdict.words}; {part.rule}: {part.words}"
        if SEVERITY.index(part.outcome) < SEVERITY.index(verdict.outcome):
            verdict = replace(verdict, outcome=part.outcome, more_examples=part.more_examples, counted=part.counted)
        verdict = replace(verdict, words=words)
    return replace(verdict, worst=evidence.worst, dropped=evidence.dropped)


def _judge_one(evidence: Evidence) -> RuleVerdict:
    things = evidence.counted

    def answer(outcome: GateOutcome, words: str, more: int | None = None) -> RuleVerdict:
        return RuleVerdict(
            evidence.rule, evidence.tier, outcome, words, evidence.estimate, evidence.limit, more, counted=things
        )

    if evidence.problem:
        return answer("INVALID", evidence.problem)
    estimate, more = evidence.estimate, evidence.more_examples
    if estimate is None:
        if evidence.waiting:
            return answer("INCONCLUSIVE", evidence.waiting + (f"; {more:,} {things} are wanted" if more else ""), more)
        return answer("INVALID", "there is nothing to judge")
    count = estimate.n if evidence.count is None else evidence.count
    if count < evidence.minimum_examples:
        words = f"{count} {things}; the rule asks for {evidence.minimum_examples}"
        return answer("INCONCLUSIVE", words, evidence.minimum_examples - count)
    if estimate.low is None or estimate.high is None:
        ending = f"; {more:,} more {things} are wanted" if more else ""
        return answer("INCONCLUSIVE", f"no interval: {estimate.method}{ending}", more)
    sign, side = (1.0, "at least") if evidence.higher_is_better else (-1.0, "at most")
    low, high = sorted((sign * estimate.low, sign * estimate.high))
    limit = sign * evidence.limit
    between = (
        "" if estimate.low == estimate.value == estimate.high else f" [{number(estimate.low)}, {number(estimate.high)}]"
    )
    words = f"{number(estimate.value)}{between}, wanted {side} {number(evidence.limit)}"
    if low > limit or low == high == limit:
        return answer("PASS", words, 0)
    if high < limit:
        return answer("FAIL", words, 0)
    if more:
        ending = f"about {more:,} more {things} would settle it"
    else:
        ending = "more rounds may settle it" if things == "rounds" else f"too close for any number of {things}"
    return answer("INCONCLUSIVE", f"{words}; {ending}", more)


def number(value: float) -> str:
    """Four digits, of large whole numbers (bytes, parameters) all."""
    return f"{value:,.0f}" if abs(value) >= 10_000 and float(value).is_integer() else f"{value:.4g}"


def judge(evidence: Sequence[Evidence], on_inconclusive: Literal["fail", "warn"] = "fail") -> GateVerdict:
    """The gate's answer from the evidence on each of its rules.

    No critical rule is INVALID: a gate that asks nothing passes everything.
    """
    return conclude(_with_holm([judge_rule(each) for each in evidence], evidence), on_inconclusive)


def conclude(rules: Sequence[RuleVerdict], on_inconclusive: Literal["fail", "warn"] = "fail") -> GateVerdict:
    """The gate's answer from those of its rules: the worst of the critical ones that are not waived."""
    critical = [rule.outcome for rule in rules if rule.tier == "critical"]
    deciding = [rule.outcome for rule in rules if rule.tier == "critical" and not rule.waived]
    warnings = [
        f"{rule.rule} ({rule.tier}): {rule.outcome}: {rule.words}"
        for rule in rules
        if rule.outcome != "PASS" and rule.tier == "supporting"
    ]
    if not critical:
        return GateVerdict("INVALID", EXIT_CODES["INVALID"], tuple(rules), ("no rule is critical", *warnings))
    outcome = worst_outcome(deciding)
    code = EXIT_CODES[outcome]
    if outcome == "INCONCLUSIVE" and on_inconclusive == "warn":
        code = 0
        open_rules = [
            rule.rule for rule in rules if rule.outcome == outcome and rule.tier == "critical" and not rule.waived
        ]
        warnings.insert(0, f"not settled, let through by on_inconclusive: warn: {', '.join(open_rules)}")
    return GateVerdict(outcome, code, tuple(rules), tuple(warnings))


def worst_outcome(outcomes: Collection[GateOutcome]) -> GateOutcome:
    """The most severe of `outcomes`; PASS of none."""
    return next((outcome for outcome in SEVERITY if outcome in outcomes), "PASS")


def _with_holm(rules: Sequence[RuleVerdict], evidence: Sequence[Evidence]) -> list[RuleVerdict]:
    """Critical rules that fail at their own level but not in their family become INCONCLUSIVE."""
    family = [index for index, rule in enumerate(rules) if rule.tier == "critical" and rule.outcome != "INVALID"]
    p_values = [_p_fail(each) for each in evidence]
    raw = [1.0 if (p := p_values[index]) is None else p for index in family]
    adjusted = dict(zip(family, stats.holm(raw), strict=True)) if family else {}
    result = list(rules)
    for index, p in adjusted.items():
        rule, own, error = rules[index], p_values[index], 1 - evidence[index].confidence
        # No p-value: the interval alone has decided, and there is nothing to adjust.
        if rule.outcome == "FAIL" and own is not None and p > error:
            words = f"{rule.words}; worse on its own, not among {len(family)} rules (Holm p {p:.3g})"
            more = _more_for_family(rule, own, error / len(family))
            result[index] = replace(rule, outcome="INCONCLUSIVE", words=words, more_examples=more)
    return result


def _more_for_family(rule: RuleVerdict, p: float, error: float) -> int | None:
    """About how many more bring a p-value below `error` with 80 % power, where its quantile grows with their root."""
    from scipy.special import ndtri

    if rule.estimate is None or p >= 0.5:
        return None
    total = rule.estimate.n * float((ndtri(1 - error) + ndtri(0.8)) / ndtri(1 - p)) ** 2
    return max(1, math.ceil(total) - rule.estimate.n)


def _p_fail(evidence: Evidence) -> float | None:
    """The p-value of what a rule fails by: of several parts that do, the surest, each with its share (Bonferroni)."""
    asked = [evidence, *evidence.parts]
    failed = [part.p_fail for part in asked if _judge_one(part).outcome == "FAIL"]
    if not failed:
        return evidence.p_fail
    sure = [p for p in failed if p is not None]
    return min(1.0, len(asked) * min(sure)) if len(sure) == len(failed) else None
