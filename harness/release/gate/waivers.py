"""Waivers: a critical rule that fails or is open does not decide while somebody answers for it. Pure.

What is INVALID cannot be waived: there is nothing that anyone could have taken responsibility for.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from harness.config import WaiverSpec
from harness.records import GateVerdict, RuleVerdict, WaiverState, WaiverUse
from harness.release.gate.judge import conclude

LONGEST = datetime.timedelta(days=90)
"""How far ahead a waiver may expire: what should hold for longer is another rule."""


def too_long(waiver: WaiverSpec, today: datetime.date) -> bool:
    """Whether the waiver expires more than 90 days after `today`."""
    return datetime.date.fromisoformat(waiver.expires) > today + LONGEST


def apply(
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
    uses = tuple(
        WaiverUse(one.rule, one.owner, one.reason, one.expires, _state(one, by_rule[one.rule], today))
        for one in waivers
    )
    used = {one.rule: one for one in uses if one.state == "used"}
    rules = [_waived(rule, used[rule.rule]) if rule.rule in used else rule for rule in verdict.rules]
    found = conclude(rules, on_inconclusive)
    return replace(found, warnings=(*_warnings(uses, by_rule), *found.warnings)), uses


def _state(waiver: WaiverSpec, rule: RuleVerdict, today: datetime.date) -> WaiverState:
    if datetime.date.fromisoformat(waiver.expires) < today:
        return "expired"
    if rule.tier != "critical" or rule.outcome == "PASS":
        return "not needed"
    return "powerless" if rule.outcome == "INVALID" else "used"


def _waived(rule: RuleVerdict, use: WaiverUse) -> RuleVerdict:
    by = f"waived until {use.expires} by {use.owner}: {use.reason}"
    return replace(rule, waived=by, words=f"{rule.words}; {by}")


def _warnings(uses: Sequence[WaiverUse], rules: dict[str, RuleVerdict]) -> list[str]:
    told = []
    for use in uses:
        if use.state == "used":
            told.append(
                f"{use.rule}: its {rules[use.rule].outcome} is waived until {use.expires} by {use.owner}: {use.reason}"
            )
        elif use.state == "expired":
            told.append(f"{use.rule}: the waiver by {use.owner} expired on {use.expires} and counts for nothing")
        elif use.state == "powerless":
            told.append(f"{use.rule}: the waiver by {use.owner} does not cover INVALID")
    return told
