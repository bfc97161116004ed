"""The gate's one function: every outcome in words, and what must hold for any gate."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from harness.records import EXIT_CODES, Estimate, Evidence
from harness.release.gate import judge, judge_rule

ASK = Evidence("recall", "critical", limit=-0.02, higher_is_better=True)


def known(low: float, high: float, n: int = 200, p: float | None = None, asked: Evidence = ASK) -> Evidence:
    estimate = Estimate((low + high) / 2, low, high, n, n, 1, "made up", 0.9)
    return replace(asked, estimate=estimate, p_fail=p, more_examples=90)


@pytest.mark.parametrize(
    ("low", "high", "outcome", "code"),
    [
        (-0.01, 0.02, "PASS", 0),
        (-0.06, -0.03, "FAIL", 1),
        (-0.05, 0.01, "INCONCLUSIVE", 3),
        (-0.02, 0.01, "INCONCLUSIVE", 3),
    ],
)
def test_the_interval_decides(low: float, high: float, outcome: str, code: int) -> None:
    found = judge([known(low, high, p=0.001 if outcome == "FAIL" else 0.9)])
    assert (found.outcome, found.exit_code, found.rules[0].outcome) == (outcome, code, outcome)
    if outcome == "INCONCLUSIVE":
        assert found.rules[0].more_examples == 90
        assert "about 90 more examples would settle it" in found.rules[0].words


def test_what_is_better_lower_is_held_against_a_ceiling() -> None:
    latency = replace(ASK, limit=100.0, higher_is_better=False)
    assert judge_rule(known(80.0, 95.0, asked=latency)).outcome == "PASS"
    assert judge_rule(known(105.0, 120.0, asked=latency)).outcome == "FAIL"
    assert judge_rule(known(95.0, 105.0, asked=latency)).outcome == "INCONCLUSIVE"
    assert "wanted at most 100" in judge_rule(known(80.0, 95.0, asked=latency)).words


def test_too_few_examples_are_said_with_a_number() -> None:
    found = judge_rule(known(-0.01, 0.02, n=200, asked=replace(ASK, minimum_examples=300)))
    assert (found.outcome, found.more_examples) == ("INCONCLUSIVE", 100)
    assert found.words == "200 examples; the rule asks for 300"


def test_what_is_missing_or_does_not_match_is_invalid_and_comes_first() -> None:
    bad = replace(known(0.0, 0.1), problem="the test split is another one")
    found = judge([bad, known(-0.06, -0.03, p=1e-9)])
    assert (found.outcome, found.exit_code) == ("INVALID", 4)
    assert judge([ASK]).outcome == "INVALID"
    assert judge([]).outcome == "INVALID"
    assert judge([replace(known(0.0, 0.1), tier="supporting")]).outcome == "INVALID", "nothing critical is asked"


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
@pytest.mark.parametrize("mode", ["fail", "warn"])
def test_the_worst_critical_rule_decides(order: tuple[int, ...], mode: str) -> None:
    """A rule that is failed is a failure whatever else is open: exit code 1, not 3."""
    evidence = [known(-0.06, -0.03, p=1e-9), known(-0.05, 0.01, p=0.9), known(0.0, 0.1, p=0.9)]
    found = judge([evidence[place] for place in order], mode)
    assert [found.rules[order.index(place)].outcome for place in range(3)] == ["FAIL", "INCONCLUSIVE", "PASS"]
    assert (found.outcome, found.exit_code) == ("FAIL", 1)
    both = judge_rule(replace(evidence[1], parts=(evidence[0],)))
    assert both.outcome == judge_rule(replace(evidence[0], parts=(evidence[1],))).outcome == "FAIL"


def test_a_supporting_rule_warns_and_an_informational_one_is_only_shown() -> None:
    worse = known(-0.2, -0.1, p=1e-9)
    others = replace(worse, rule="style", tier="supporting"), replace(worse, rule="length", tier="informational")
    found = judge([known(0.0, 0.1), *others])
    assert (found.outcome, found.exit_code) == ("PASS", 0)
    assert [rule.outcome for rule in found.rules] == ["PASS", "FAIL", "FAIL"]
    assert len(found.warnings) == 1 and found.warnings[0].startswith("style (supporting): FAIL: ")


def test_an_open_rule_is_let_through_only_in_words() -> None:
    found = judge([known(-0.05, 0.01)], "warn")
    assert (found.outcome, found.exit_code) == ("INCONCLUSIVE", 0)
    assert found.warnings == ("not settled, let through by on_inconclusive: warn: recall",)
    assert judge([known(-0.06, -0.03, p=1e-9)], "warn").exit_code == 1, "a FAIL is never let through"


def test_one_of_many_rules_fails_only_beyond_chance() -> None:
    others = [known(0.0, 0.1, p=0.9, asked=replace(ASK, rule=f"r{number}")) for number in range(1, 10)]
    weak = [known(-0.06, -0.021, p=0.03, asked=replace(ASK, rule="r0")), *others]
    found = judge(weak)
    assert (found.outcome, found.rules[0].outcome) == ("INCONCLUSIVE", "INCONCLUSIVE")
    assert "not among 10 rules (Holm p 0.3)" in found.rules[0].words
    # 200 examples gave 1.88 standard errors; 2.58 + 0.84 are asked for.
    assert found.rules[0].more_examples == pytest.approx(200 * ((2.5758 + 0.8416) / 1.8808) ** 2 - 200, abs=1)
    strong = [replace(weak[0], p_fail=0.004), *others]
    assert judge(strong).outcome == "FAIL"
    assert judge(weak[:1]).outcome == "FAIL"


limits = st.floats(-1, 1).map(lambda x: round(x, 3))
pieces = st.builds(
    lambda ends, tier, p, problem: replace(known(*sorted(ends), 50, p), tier=tier, more_examples=7, problem=problem),
    st.tuples(limits, limits),
    st.sampled_from(["critical", "supporting", "informational"]),
    st.one_of(st.none(), st.floats(0, 1)),
    st.sampled_from(["", "", "", "a NaN"]),
)


@given(st.lists(pieces, max_size=6), st.sampled_from(["fail", "warn"]))
@settings(max_examples=200, deadline=None)
def test_what_holds_for_every_gate(evidence: list[Evidence], mode: str) -> None:
    found = judge(evidence, mode)
    critical = [rule for rule in found.rules if rule.tier == "critical"]
    assert found.exit_code in (EXIT_CODES[found.outcome], 0)
    if found.outcome == "PASS":
        assert critical and all(rule.outcome == "PASS" for rule in critical)
        assert all(not each.problem for each in evidence if each.tier == "critical")
    if any(each.problem for each in evidence if each.tier == "critical"):
        assert found.outcome == "INVALID" and found.exit_code == 4
    if found.exit_code == 0 and found.outcome != "PASS":
        assert found.outcome == "INCONCLUSIVE" and mode == "warn" and found.warnings
    assert [rule.rule for rule in found.rules] == [each.rule for each in evidence]
    assert all("\n" not in rule.words for rule in found.rules)
    # Adding a rule that passes never turns a gate that passes into one that does not, or a FAIL into a PASS.
    more = judge([*evidence, known(0.0, 0.1, p=1.0)], mode)
    assert not (found.outcome == "PASS" and more.outcome != "PASS")
    assert not (found.outcome in ("FAIL", "INVALID") and critical and more.outcome == "PASS")
