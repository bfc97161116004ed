"""Looks and waivers as pure functions; and what two declared looks let through where retrying lets through more."""

from __future__ import annotations

import datetime
from dataclasses import replace

import numpy as np
import pytest
from gate_calls import made_call
from hypothesis import given, strategies as st

from harness import stats
from harness.config import WaiverSpec
from harness.records import EXIT_CODES, Estimate, Evidence, GateCall, GateOutcome, GateVerdict, RuleVerdict, WaiverUse
from harness.release.gate import judge, looks
from harness.release.gate.measures import with_test

TODAY = datetime.date(2026, 11, 22)
OUTCOMES: tuple[GateOutcome, ...] = ("PASS", "FAIL", "INCONCLUSIVE", "INVALID")


def rule(name: str = "a", outcome: GateOutcome = "FAIL", tier: str = "critical", n: int = 100) -> RuleVerdict:
    found = None if outcome == "INVALID" else Estimate(0.1, 0.0, 0.2, n, n, 1, "t")
    return RuleVerdict(name, tier, outcome, f"{outcome} words", found, -0.02)  # type: ignore[arg-type]


def call(outcome: GateOutcome = "FAIL", data: str | dict[str, str] = "d1", **changes: object) -> GateCall:
    verdict = GateVerdict(outcome, EXIT_CODES[outcome], (rule(outcome=outcome),), ())
    about = {"data": data if isinstance(data, dict) else {"a": data}, "look": None, "reason": ""}
    return made_call(verdict, **{**about, **changes})


def larger(one: GateCall, n: int) -> GateCall:
    rules = tuple(replace(each, estimate=replace(each.estimate, n=n)) for each in one.verdict.rules if each.estimate)
    return replace(one, verdict=replace(one.verdict, rules=rules))


# -------------------------------------------------------------------------------------------------------------- looks


def test_the_first_decisive_verdict_is_the_first_look() -> None:
    assert looks.examine([], call()) == looks.Finding(1, "first look")
    assert looks.examine([call("INVALID")], call()).look == 1
    assert looks.examine([], call("INVALID")).look is None


@given(st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from("abc")), max_size=6), st.sampled_from([1, 2]))
def test_no_more_looks_are_taken_than_were_declared(tries: list[tuple[GateOutcome, str]], declared: int) -> None:
    """Whatever is tried in whatever order: never more sets of scores are judged than declared, and never after a
    decision."""
    kept: list[GateCall] = []
    for number, (outcome, data) in enumerate(tries):
        now = larger(call(outcome, data, looks=declared), 100 + number)
        found = looks.examine(kept, now)
        assert found.look in (None, 1, 2)
        if found.refused:
            hidden = looks.refusal(now.verdict, found.reason)
            assert hidden.outcome == "INVALID" and all(each.estimate is None for each in hidden.rules)
            now = replace(now, outcome="INVALID", verdict=hidden)
        elif found.stored is not None:
            now = replace(now, outcome=found.stored.outcome, answered_by=found.stored.id)
        kept.append(replace(now, look=found.look))
    judged = [one for one in kept if one.outcome != "INVALID"]
    sets = list(dict.fromkeys(one.data["a"] for one in judged))
    assert len(sets) <= declared
    if len(sets) == 2:
        assert judged[0].outcome == "INCONCLUSIVE"


def test_looks_that_were_declared_late_are_refused() -> None:
    found = looks.examine([call("INCONCLUSIVE", looks=1, look=1)], larger(call("PASS", "d2", looks=2), 200))
    assert found.refused and "declared before the first look" in found.reason


def test_a_fingerprint_is_of_what_is_judged_and_not_of_the_last_bits() -> None:
    found = Estimate(0.1, 0.0, 0.2, 10, 5, 1, "t")

    def of(estimate: Estimate | None, about: str = "e", problem: str = "") -> str:
        evidence = Evidence("a", "critical", -0.02, True, estimate=estimate, problem=problem)
        return looks.fingerprints([about], [evidence])["a"]

    assert of(found) == of(replace(found, value=0.1 + 1e-12, low=0.01))
    others = {
        of(replace(found, value=0.101)),
        of(replace(found, n=11)),
        of(found, "e2"),
    }
    assert len({of(found), *others}) == 4 and "" not in others
    assert of(None) == of(None, problem="nobody has reviewed it") == "", "nothing was judged, so nothing is used up"


def test_a_rule_of_which_nothing_was_known_is_judged_within_the_same_look() -> None:
    """A gate is asked before and after a review: the second time it is no other evidence for the rules of the first."""
    before = call("PASS", {"a": "d1", "votes": ""}, look=1)
    after = call("PASS", {"a": "d1", "votes": "v1"})
    found = looks.examine([before], after)
    assert (found.look, found.refused, found.stored) == (1, False, None)
    assert looks.examine([before, replace(after, look=1)], call("PASS", {"a": "d1", "votes": "v2"})).refused


def passes(values: np.ndarray, margin: float, confidence: float) -> GateOutcome:
    found = stats.side_test(values, -margin, confidence=confidence)
    asked = Evidence("score", "critical", -margin, True, confidence)
    return judge([with_test(asked, found)]).outcome


def test_two_declared_looks_keep_the_error_rate_and_retrying_does_not() -> None:
    """Candidates that are worse by exactly the margin: how many pass. Both see the same growing samples."""
    runs, size, margin = 1500, 60, 0.05
    rng = np.random.default_rng(7)
    one = two = retried = 0
    level = looks.confidence(0.95, 2)
    for _ in range(runs):
        values = rng.normal(-margin, 0.3, size=8 * size)
        first, whole = passes(values[:size], margin, level), passes(values[:size], margin, 0.95)
        one += whole == "PASS"
        second = first == "INCONCLUSIVE" and passes(values[: 2 * size], margin, level) == "PASS"
        two += first == "PASS" or second
        retried += any(passes(values[: n * size], margin, 0.95) == "PASS" for n in range(1, 9))
    bound = 0.05 + 2.33 * (0.05 * 0.95 / runs) ** 0.5
    assert level == pytest.approx(0.975)
    assert one / runs <= bound and two / runs <= bound
    assert two / runs > 0.02, "the rule lets nothing through, which no test of it would notice"
    assert retried / runs > 2 * bound


# ------------------------------------------------------------------------------------------------------------ waivers


def waiver(name: str = "a", expires: str = "2026-12-01") -> WaiverSpec:
    return WaiverSpec(rule=name, owner="Ann", reason="known", expires=expires)


@given(
    st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(["critical", "supporting"])), min_size=1, max_size=4),
    st.sets(st.integers(0, 3)),
    st.sampled_from(["fail", "warn"]),
)
def test_a_waiver_takes_a_rule_out_of_the_decision_and_changes_nothing_else(
    found: list[tuple[GateOutcome, str]], waived: set[int], policy: str
) -> None:
    rules = tuple(rule(str(number), *each) for number, each in enumerate(found))
    given_up = [waiver(str(number)) for number in waived if number < len(rules)]
    plain = judge_all(rules, policy)
    verdict, uses = looks.apply_waivers(plain, given_up, TODAY, policy)  # type: ignore[arg-type]
    assert [each.outcome for each in verdict.rules] == [each.outcome for each in rules]
    used = {use.rule for use in uses if use.state == "used"}
    assert used == {
        each.rule
        for each in rules
        if each.rule in {one.rule for one in given_up}
        and each.tier == "critical"
        and each.outcome in ("FAIL", "INCONCLUSIVE")
    }
    assert all(bool(each.waived) == (each.rule in used) for each in verdict.rules)
    left = [each.outcome for each in rules if each.tier == "critical" and each.rule not in used]
    if any(each.tier == "critical" for each in rules):
        worst = next((each for each in ("INVALID", "FAIL", "INCONCLUSIVE") if each in left), "PASS")
        assert verdict.outcome == worst
    assert len([line for line in verdict.warnings if "is waived until 2026-12-01 by Ann: known" in line]) == len(used)


def judge_all(rules: tuple[RuleVerdict, ...], policy: str) -> GateVerdict:
    from harness.release.gate.judge import conclude

    return conclude(rules, policy)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("outcome", "expires", "state"),
    [
        ("FAIL", "2026-11-22", "used"),
        ("FAIL", "2026-11-21", "expired"),
        ("PASS", "2026-11-22", "not needed"),
        ("INVALID", "2026-11-22", "powerless"),
        ("INVALID", "2026-11-21", "expired"),
    ],
)
def test_what_comes_of_a_waiver(outcome: GateOutcome, expires: str, state: str) -> None:
    plain = judge_all((rule("a", outcome), rule("b", "PASS")), "fail")
    verdict, uses = looks.apply_waivers(plain, [waiver("a", expires)], TODAY)
    assert uses == (WaiverUse("a", "Ann", "known", expires, state),)  # type: ignore[arg-type]
    assert verdict.outcome == ("PASS" if state in ("used", "not needed") else outcome)


def test_a_waiver_holds_for_ninety_days_at_most() -> None:
    last = TODAY + datetime.timedelta(days=90)
    assert not looks.expires_too_late(waiver(expires=last.isoformat()), TODAY)
    assert looks.expires_too_late(waiver(expires=(last + datetime.timedelta(days=1)).isoformat()), TODAY)
