"""How often one candidate may be judged, and which critical rules are waived. Pure.

A *look*, as in group-sequential testing, is one judgement of a candidate on new evidence.

A gate that is run again until it passes lets through more than its error rate: with new data each time, a candidate
that is worse by exactly the margin passes in 5 % of first looks, in up to 9.75 % of two, in 40 % of ten. So

- the same scores judged again give the stored verdict (with other waivers they are judged again: no new evidence);
- `looks: 1`: other scores of the same training are refused;
- `looks: 2`: each look is made at half of every rule's error rate (Bonferroni: the probability that one of two looks
  passes wrongly is at most the sum of the two, however much of the data they share). Pocock's boundary (1977) would
  leave 2.9 % to each look in place of 2.5 %, but needs equal amounts of evidence at both, which nobody promises here.
  The second look is made only after an INCONCLUSIVE first, and with more evidence; there is no third.

Waivers: a critical rule that fails or is open does not decide while somebody answers for it. What is INVALID cannot be
waived: there is nothing that anyone could have taken responsibility for.

What could not be judged (INVALID) is no look: nothing could have passed. Neither is a rule of which nothing was known
(nobody has reviewed yet), or less than it asks for (votes, examples): judging it once there is enough belongs to the
same look.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from harness.config import WaiverSpec
from harness.records import (
    EXIT_CODES,
    Evidence,
    GateCall,
    GateOutcome,
    GateVerdict,
    RuleVerdict,
    WaiverState,
    WaiverUse,
    digest,
)
from harness.release.gate.judge import conclude, worst_outcome

DIGITS = 6
"""Significant digits of a number that identify it: a library that moves the last bits of a mean is no new evidence."""
LONGEST_WAIVER = datetime.timedelta(days=90)
"""How far ahead a waiver may expire: what should hold for longer is another rule."""


def confidence(whole: float, looks: int) -> float:
    """Confidence of one look, so that all `looks` together keep the error rate of the `whole` (Bonferroni)."""
    return 1 - (1 - whole) / looks


def fingerprints(about: Sequence[str], evidence: Sequence[Evidence]) -> dict[str, str]:
    """Rule → identity of what it is judged on: the evaluations it is `about`, the number, its examples and seeds.

    Empty where nothing is known, or less than the rule asks for, so that it could be neither passed nor failed.
    """
    return {each.rule: digest([list(about), _number(each)]) if _is_enough(each) else "" for each in evidence}


def _is_enough(evidence: Evidence) -> bool:
    if evidence.problem or evidence.estimate is None:
        return False
    count = evidence.estimate.n if evidence.count is None else evidence.count
    return count >= evidence.minimum_examples


def _number(evidence: Evidence) -> list[Any]:
    value = evidence.estimate
    number = None if value is None else [f"{value.value:.{DIGITS}g}", value.n, value.clusters, value.seeds]
    return [evidence.problem, number, *map(_number, evidence.parts)]


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
        call
        for call in earlier
        if call.rules_digest == now.rules_digest and call.outcome != "INVALID" and not call.answered_by and call.settled
    ]
    if not taken:
        return Finding(1, "first look")
    first = taken[0]
    if first.looks != now.looks:
        return _refused(
            f"looks: {first.looks} was declared at the first look ({first.when[:10]}) and is {now.looks} now; it is "
            "declared before the first look: write it back, or train a new candidate"
        )
    last = {call.look: call for call in taken}
    for look, before in last.items():
        if _same(before, now):
            return _within(look, before, now)
    if len(last) >= now.looks:
        way = "train a new candidate" if now.looks == 2 else "train a new candidate, or declare `looks: 2` for the next"
        return _refused(
            f"other scores of a training that had {'its look' if now.looks == 1 else 'both looks'} "
            f"({first.outcome} on {first.when[:10]}); nothing is judged until it passes: {way}"
        )
    decided = [outcome for call in taken if (outcome := _own(call.verdict)) != "INCONCLUSIVE"]
    if decided:
        return _refused(
            f"the first look ({first.when[:10]}) was {decided[0]}, which is final; a second look follows an "
            "INCONCLUSIVE one: train a new candidate"
        )
    seen = taken[-1]
    if not adds(seen.verdict, now.verdict):
        return _refused(
            f"a second look needs more examples or seeds than the first ({_examples(seen.verdict)}), and has "
            f"{_examples(now.verdict)}: add test examples, score both sides and use --rescore-baseline"
        )
    return Finding(2, "second look")


def _own(verdict: GateVerdict) -> GateOutcome:
    """The outcome without waivers: what the evidence said."""
    return worst_outcome({rule.outcome for rule in verdict.rules if rule.tier == "critical"})


def _same(before: GateCall, now: GateCall) -> bool:
    """Whether every rule that could be judged then rests on the same evidence now."""
    return all(now.data.get(rule) == data for rule, data in before.data.items() if data)


def _within(look: int | None, before: GateCall, now: GateCall) -> Finding:
    """What a verdict on the evidence of an earlier look is."""
    if before.data != now.data:
        return Finding(look, "the same look: evidence that a rule waited for has come")
    if (before.outcome, before.exit_code, before.waivers) == (now.outcome, now.exit_code, now.waivers):
        return Finding(look, f"the stored verdict of {before.when}: these scores were judged before", before)
    return Finding(look, "the same scores judged again: other waivers, or another on_inconclusive")


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

    # Made anew, so that nothing that was found comes along.
    rules = (RuleVerdict(rule.rule, rule.tier, "INVALID", reason, None, rule.limit) for rule in verdict.rules)
    return GateVerdict("INVALID", EXIT_CODES["INVALID"], tuple(rules), ())


def other_rules(earlier: Sequence[GateCall], now: GateCall) -> list[str]:
    """A warning where the same candidate was judged by other rules before: rules are written before they are asked."""
    others = [call for call in earlier if call.rules_digest != now.rules_digest and call.outcome != "INVALID"]
    if not others:
        return []
    last = others[-1]
    return [
        f"this candidate was judged by other rules before: {last.outcome} on {last.when[:10]} ({last.gates_file}, "
        f"{len({call.rules_digest for call in others})} other sets of rules)"
    ]


def expires_too_late(waiver: WaiverSpec, today: datetime.date) -> bool:
    """Whether the waiver expires more than 90 days after `today`."""
    return datetime.date.fromisoformat(waiver.expires) > today + LONGEST_WAIVER


def apply_waivers(
    verdict: GateVerdict,
    waivers: Sequence[WaiverSpec],
    today: datetime.date,
    on_inconclusive: Literal["fail", "warn"] = "fail",
) -> tuple[GateVerdict, tuple[WaiverUse, ...]]:
    """The verdict once its waivers are applied, and what came of each of them.

    Every waiver but one that nothing needed is named in the warnings, an expired one too.
    """
    if not waivers:
        return verdict, ()
    by_rule = {rule.rule: rule for rule in verdict.rules}
    uses = tuple(WaiverUse(w.rule, w.owner, w.reason, w.expires, _state(w, by_rule[w.rule], today)) for w in waivers)
    notes = {use.rule: _note(use) for use in uses if use.state == "used"}
    rules = [
        replace(rule, waived=note, words=f"{rule.words}; {note}") if (note := notes.get(rule.rule)) else rule
        for rule in verdict.rules
    ]
    waived = conclude(rules, on_inconclusive)
    return replace(waived, warnings=(*_warnings(uses, by_rule), *waived.warnings)), uses


def _state(waiver: WaiverSpec, rule: RuleVerdict, today: datetime.date) -> WaiverState:
    if datetime.date.fromisoformat(waiver.expires) < today:
        return "expired"
    if rule.tier != "critical" or rule.outcome == "PASS":
        return "not needed"
    return "powerless" if rule.outcome == "INVALID" else "used"


def _note(use: WaiverUse) -> str:
    return f"waived until {use.expires} by {use.owner}: {use.reason}"


def _warnings(uses: Sequence[WaiverUse], rules: dict[str, RuleVerdict]) -> list[str]:
    words = {
        "used": lambda use: f"its {rules[use.rule].outcome} is {_note(use)}",
        "expired": lambda use: f"the waiver by {use.owner} expired on {use.expires} and counts for nothing",
        "powerless": lambda use: f"the waiver by {use.owner} does not cover INVALID",
    }
    return [f"{use.rule}: {words[use.state](use)}" for use in uses if use.state in words]
