"""What each kind of rule says, by hand: slices, forgetting, measures, votes and flags."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gate_worlds import HARDWARE, Arm, as_scored, pin, record, rule

from harness import stats
from harness.records import (
    Assignment,
    BatchTry,
    ExclusionRule,
    Judgment,
    Ledger,
    Round,
    RuleVerdict,
    ServedArm,
    ServingPass,
    ServingProbe,
    ServingVisit,
    Stamp,
)
from harness.records.release import MeasureFact, Scored
from harness.release import baselines
from harness.release.gate import judge_rule
from harness.release.gate.evidence import GateInputs, evidence_on
from harness.release.gate.measures import measures
from harness.results.human.statistics import human_review
from harness.results.human.votes import RoundVotes

N = 200
GOOD = [1.0] * 190 + [0.0] * 10
COLUMNS = {f"e{n}": {"site": "north" if n < 100 else "south", "urgent": n % 2 == 0, "age": n} for n in range(N)}


def said(sides: GateInputs, **fields: Any) -> RuleVerdict:
    return judge_rule(evidence_on(rule(**fields), sides))


def sides(theirs: Sequence[float], ours: Sequence[float], **known: Any) -> GateInputs:
    of = record(len(ours))
    return GateInputs(as_scored(Arm("new", ours), of), as_scored(Arm("old", theirs), of), **known)


# ------------------------------------------------------------------------------------------------------------ slices


def test_a_slice_is_ruled_by_its_own_examples() -> None:
    ours = [*GOOD[:150], *[0.0] * 50]
    both = sides(GOOD, ours, columns=COLUMNS)
    assert said(both, metric="exact_match", margin=0.1, slice={"site": "north"}).outcome == "PASS"
    south = said(both, metric="exact_match", margin=0.1, slice={"site": "south"})
    assert south.outcome == "FAIL" and south.rule == "exact_match [site=south] margin 0.1"
    assert south.estimate is not None and (south.estimate.n, south.estimate.value) == (100, pytest.approx(-0.4))
    expected = stats.side_test(np.array(ours[100:]) - np.array(GOOD[100:]), -0.1, bounds=(-1, 1)).estimate
    assert (south.estimate.low, south.estimate.high) == (expected.low, expected.high)


@pytest.mark.parametrize(
    ("wanted", "n"),
    [({"urgent": True}, 100), ({"age": 7}, 1), ({"age": 7.0}, 1), ({"site": "north", "urgent": False}, 50)],
)
def test_values_of_a_slice_are_compared_as_what_they_mean(wanted: dict[str, Any], n: int) -> None:
    found = said(sides(GOOD, GOOD, columns=COLUMNS), metric="exact_match", floor=0.1, slice=wanted, minimum_examples=0)
    assert found.estimate is not None and found.estimate.n == n


def test_a_slice_without_an_example_is_invalid_and_says_what_there_is() -> None:
    both = sides(GOOD, GOOD, columns=COLUMNS)
    none = said(both, metric="exact_match", margin=0.1, slice={"site": "west"})
    assert (none.outcome, none.words) == ("INVALID", "no test example has site=west")
    typo = said(both, metric="exact_match", margin=0.1, slice={"sit": "west"})
    assert (typo.outcome, typo.words) == ("INVALID", "no test example has a column 'sit'. Did you mean 'site'?")
    unread = said(sides(GOOD, GOOD), metric="exact_match", margin=0.1, slice={"site": "north"})
    assert unread.outcome == "INVALID" and "sealed test split" in unread.words


def test_a_small_slice_is_inconclusive_with_the_number_needed() -> None:
    both = sides(GOOD, GOOD, columns={name: {"site": "rare" if name < "e106" else "x"} for name in COLUMNS})
    found = said(both, metric="exact_match", margin=0.1, slice={"site": "rare"})
    assert found.estimate is not None and found.estimate.n == 9
    assert (found.outcome, found.more_examples) == ("INCONCLUSIVE", 11)
    assert found.words == "9 examples; the rule asks for 20"


# -------------------------------------------------------------------------------------------------------- forgetting


def retained(shift: float, spread: float = 0.1, seed: int = 1) -> list[float]:
    rng = np.random.default_rng(seed)
    return [float(v) for v in 25 + shift + rng.normal(0, spread, 80)]


def forgetting(shift: float, margin: float, **changes: Any) -> RuleVerdict:
    of = record(4)
    new = as_scored(Arm("new", [1.0] * 4, retained(shift)), of)
    start = as_scored(Arm("untrained", [0.0] * 4, retained(0.0, seed=2), method="untrained"), of)
    start = replace(start, **changes)
    both = GateInputs(new, as_scored(Arm("old", [1.0] * 4, retained(9.0)), of), untrained=start)
    return said(both, metric="retention_perplexity", margin=margin, against="untrained")


def test_forgetting_is_the_paired_difference_to_the_untrained_arm() -> None:
    # Ten tokens a text: a mean log-probability of -2.5 and of -2.6 a token.
    assert forgetting(0.0, 0.5).outcome == "PASS"
    worse = forgetting(1.0, 0.5)
    assert worse.outcome == "FAIL" and worse.rule == "retention_perplexity against untrained margin 0.5"
    assert worse.estimate is not None and worse.estimate.n == 80
    assert worse.estimate.value == pytest.approx(np.exp(2.6) - np.exp(2.5), abs=0.05)
    assert forgetting(1.0, 2.0).outcome == "PASS"


def test_a_corpus_metric_that_is_not_settled_says_how_many_more_would() -> None:
    difference = forgetting(1.0, 0.5).estimate
    assert difference is not None and difference.high is not None
    near = forgetting(1.0, difference.value + (difference.high - difference.value) / 2)
    assert near.outcome == "INCONCLUSIVE" and near.more_examples is not None and 80 < near.more_examples < 1600
    assert f"about {near.more_examples:,} more examples would settle it" in near.words


def test_forgetting_without_a_comparable_untrained_arm_is_invalid() -> None:
    assert "transformers" in forgetting(0.0, 0.5, environment={"transformers": "1"}).words
    assert forgetting(0.0, 0.5, scores=()).words == "untrained arm: retention_perplexity was not scored"
    assert forgetting(0.0, 0.5, prompts="others").outcome == "PASS", "retention texts have no prompt of the task"
    both = sides([1.0] * 4, [1.0] * 4, untrained="there is no untrained arm")
    found = said(both, metric="exact_match", margin=0.5, against="untrained")
    assert (found.outcome, found.words) == ("INVALID", "there is no untrained arm")


# ---------------------------------------------------------------------------------------------------------- measures


def served(speed: Sequence[float], name: str = "new", pass_id: str = "p1", **changes: Any) -> ServingPass:
    visits = tuple(
        ServingVisit(tuple(1 / s + n / 1000 for n in range(10)), 70, 40, 40 / s, 4, 160, 160 / (3 * s), round=number)
        for number, s in enumerate(speed)
    )
    probe = ServingProbe(640, "resident set", (BatchTry(1, "ok", 1000), BatchTry(4, "ok", 1500)))
    one = ServedArm(name, 0, f"train-{name}", f"model-{name}", "ok", None, probe, visits)
    made = ServingPass(
        pass_id, "x1", "s", "2026-01-02T00:00:00+00:00", {"rounds": 6}, {"torch": "2.13"}, dict(HARDWARE), 9.0, (one,)
    )
    return replace(made, **changes)


def costing(arm: Arm, *passes: ServingPass, price: float | None = None) -> Scored:
    of = record(len(arm.values), spec={"resources": {"price_per_device_hour": price}})
    return replace(as_scored(arm, of), measures=measures(of, arm.entry, arm.run, passes))


NEW, OLD = Arm("new", [1.0, 0.0]), Arm("old", [1.0, 0.0])
STEADY = [100.0, 101.0, 99.0, 100.5, 99.5, 100.2]


def test_what_was_counted_is_exact() -> None:
    bigger = replace(NEW, ledger=replace(NEW.ledger, artefact_bytes=1200))
    both = GateInputs(costing(bigger), costing(OLD))
    assert said(both, measure="artefact_bytes", ceiling=1200).outcome == "PASS"
    over = said(both, measure="artefact_bytes", ceiling=1199)
    assert (over.outcome, over.words) == ("FAIL", "1200, wanted at most 1199")
    assert said(both, measure="artefact_bytes", times=1.2).outcome == "PASS"
    assert said(both, measure="artefact_bytes", times=1.1).outcome == "FAIL"
    assert said(both, measure="trainable_parameters", times=1).outcome == "PASS"
    assert said(both, measure="peak_memory_bytes", ceiling=500).outcome == "PASS"


def test_costs_hold_those_of_the_arm_it_starts_from() -> None:
    child = replace(NEW, ledger=Ledger(train_seconds=4.0, predict_seconds=1.0, parent=Ledger(train_seconds=10.0)))
    known = costing(child, price=3600.0).measures
    assert known["train_seconds"].value == 14.0
    assert known["money"].value == pytest.approx(15.0)


def test_a_measure_that_nobody_took_is_invalid_and_says_how_to_take_it() -> None:
    both = GateInputs(costing(NEW), costing(OLD))
    assert "`harness serving EXPERIMENT.yaml`" in said(both, measure="tokens_per_second", floor=1).words
    assert "price_per_device_hour" in said(both, measure="money", ceiling=1).words
    elsewhere = GateInputs(costing(replace(NEW, method="imported")), costing(OLD))
    assert said(elsewhere, measure="train_seconds", ceiling=1e9).outcome == "INVALID"
    other = served(STEADY, arms=tuple(replace(a, artefact_hash="earlier") for a in served(STEADY).arms))
    assert (
        said(GateInputs(costing(NEW, other), costing(OLD)), measure="tokens_per_second", floor=1).outcome == "INVALID"
    )
    pinned_before = GateInputs(costing(NEW, served(STEADY)), costing(OLD))
    found = said(pinned_before, measure="tokens_per_second", times=0.9)
    assert found.outcome == "INVALID" and found.words.startswith("baseline: ")


def test_timings_are_ruled_by_the_limits_of_their_median() -> None:
    both = GateInputs(costing(NEW, served(STEADY)), costing(OLD))
    assert said(both, measure="tokens_per_second", floor=98).outcome == "PASS"
    assert said(both, measure="tokens_per_second", floor=102).outcome == "FAIL"
    between = said(both, measure="tokens_per_second", floor=100)
    assert between.outcome == "INCONCLUSIVE" and "more rounds may settle it" in between.words
    assert said(both, measure="batch_tokens_per_second", floor=290).outcome == "PASS"
    assert said(both, measure="first_token_seconds", ceiling=0.02).outcome == "PASS"
    assert said(both, measure="first_token_seconds", ceiling=0.01).outcome == "FAIL"
    few = said(GateInputs(costing(NEW, served(STEADY[:3])), costing(OLD)), measure="tokens_per_second", floor=1)
    assert (few.outcome, few.more_examples, few.counted) == ("INCONCLUSIVE", 2, "rounds")


def test_times_of_the_baseline_within_one_pass_are_paired() -> None:
    slower = [one * 0.5 for one in (200.0, 150.0, 100.0, 80.0, 60.0, 40.0)]
    one = GateInputs(
        costing(NEW, served(slower)), costing(OLD, served([200.0, 150.0, 100.0, 80.0, 60.0, 40.0], name="old"))
    )
    assert said(one, measure="tokens_per_second", times=0.49).outcome == "PASS"
    assert said(one, measure="tokens_per_second", times=0.51).outcome == "FAIL"
    # The machine grew slower by five times: without pairing nothing could be said.
    apart = GateInputs(one.candidate, costing(OLD, served([200.0, 150.0, 100.0, 80.0, 60.0, 40.0], "old", "p2")))
    assert said(apart, measure="tokens_per_second", times=0.49).outcome == "INCONCLUSIVE"


def test_times_of_the_baseline_in_another_pass_take_the_limits_of_both() -> None:
    both = GateInputs(costing(NEW, served(STEADY)), costing(OLD, served(STEADY, "old", "p2")))
    found = said(both, measure="tokens_per_second", times=0.95)
    assert found.outcome == "PASS" and found.estimate is not None
    assert (found.estimate.low, found.estimate.high) == pytest.approx((99 / 101, 101 / 99))
    assert said(both, measure="first_token_seconds", times=1.0).outcome == "INCONCLUSIVE"
    short = GateInputs(both.candidate, costing(OLD, served(STEADY[:5], "old", "p2")))
    assert said(short, measure="tokens_per_second", times=0.5).more_examples == 1, "five of six that two passes take"


@pytest.mark.parametrize("measure", ["tokens_per_second", "serving_memory_bytes", "train_seconds"])
def test_other_hardware_is_invalid(measure: str) -> None:
    faster = {**HARDWARE, "processor": "slide rule"}
    old = costing(replace(OLD, hardware=faster), served(STEADY, "old", "p2", hardware=faster))
    both = GateInputs(costing(NEW, served(STEADY)), old)
    found = said(both, measure=measure, times=0.1 if measure == "tokens_per_second" else 10)
    assert found.outcome == "INVALID" and "processor slide rule → abacus" in found.words
    assert said(both, measure="artefact_bytes", times=1).outcome == "PASS", "bytes are bytes"


def test_measures_are_pinned_and_read_back_and_older_releases_have_none(tmp_path: Path) -> None:
    folder = pin(OLD, record(2), tmp_path, scored=costing(OLD, served(STEADY, "old")))
    found = baselines.read(folder)
    assert found.scored.measures == costing(OLD, served(STEADY, "old")).measures and found.scored.examples == 2
    assert said(GateInputs(costing(NEW), found.scored), measure="artefact_bytes", times=1).outcome == "PASS"
    text = (folder / "release.json").read_text()
    import json

    plain = json.loads(text)
    del plain["scored"]["measures"], plain["scored"]["examples"]
    (folder / "release.json").write_text(json.dumps(plain))
    old = baselines.read(folder)
    assert old.scored.measures == {} and old.scored.examples is None
    assert said(GateInputs(costing(NEW), old.scored), measure="artefact_bytes", times=1).outcome == "INVALID"
    assert said(GateInputs(costing(NEW), old.scored), metric="exact_match", floor=0.1).outcome == "INCONCLUSIVE"


def test_every_measure_of_the_spec_can_be_known() -> None:
    from typing import get_args

    from harness.config.gates import MeasureName

    ledger = replace(NEW.ledger, total_parameters=1000)
    known = costing(replace(NEW, ledger=ledger), served(STEADY), price=1.0).measures
    assert set(known) == set(get_args(MeasureName))
    assert all(isinstance(one, MeasureFact) for one in known.values())


# ------------------------------------------------------------------------------------------------------------- votes


def a_round(**changes: Any) -> Round:
    fields: dict[str, Any] = {
        "id": "r1", "experiment": "x1", "arms": ("new", "lora"), "evaluations": {"new": "eval-new", "lora": "eval-l"},
        "split": "test", "items": 10, "raters": 2, "queues": 2, "seed": 1, "instructions": "", "criteria": (),
        "flags": ("fabrication",), "exclusion": ExclusionRule(0.7, at_least=2), "gold": 2, "identical": 0,
        "repeats": 0, "opened": Stamp("2026-01-01T00:00:00+00:00", "boss"),
        "unblinded": Stamp("2026-03-01T00:00:00+00:00", "boss", "why"),
    }  # fmt: skip
    return Round(**fields | changes)


class Votes:
    """Collects judged pairs of a round."""

    def __init__(self, **changes: Any) -> None:
        self.round = a_round(**changes)
        self.assignments: list[Assignment] = []
        self.votes: dict[str, Judgment] = {}

    def add(self, rater: str, example: str, winner: str, *, kind: Any = "ordinary", flag: str = "") -> None:
        """A vote; `winner` and `flag` name arms. Sides in turn."""
        turn = len(self.assignments) % 2
        names = ("lora", "new") if turn else ("new", "lora")
        token = f"t{len(self.assignments)}"
        left, right = (self.round.evaluations[name] for name in names)
        if kind == "gold":
            left, right = "gold:good", "gold:bad"
        elif kind == "identical":
            left = right = self.round.evaluations["new"]
        side = {names[0]: "left", names[1]: "right"}.get(winner, winner)
        flags = (f"{'left' if names[0] == flag else 'right'}:fabrication",) if flag else ()
        self.assignments.append(Assignment(token, "r1", kind, f"{example}-pair", example, left, right, 0, 0))
        self.votes[token] = Judgment(f"{token}-1", token, 1, rater, side, 5.0, "w", flags)  # type: ignore[arg-type]

    @property
    def sides(self) -> GateInputs:
        of = record(2)
        votes = RoundVotes(self.round, tuple(self.assignments), self.votes)
        return GateInputs(as_scored(NEW, of), as_scored(OLD, of), votes=votes)


def judged(wins: Callable[[int, int], str], examples: int = 40, raters: int = 8) -> Votes:
    made = Votes()
    for example in range(examples):
        for rater in range(raters):
            made.add(f"Rater {rater}", f"e{example}", wins(example, rater))
    return made


def mostly(example: int, rater: int) -> str:
    """The candidate wins on four of five examples; raters agree but for one in ten."""
    usual = "lora" if example % 5 == 0 else "new"
    return {"new": "lora", "lora": "new"}[usual] if (example * 3 + rater) % 10 == 0 else usual


def test_the_win_rate_has_the_leaderboards_value_and_interval() -> None:
    both = judged(mostly).sides
    found = said(both, metric="human_win_rate", floor=0.5, minimum_votes=100, confidence=0.975)
    assert found.outcome == "PASS" and found.rule == "human_win_rate floor 0.5"
    assert both.votes is not None and found.estimate is not None
    arm = human_review(both.votes).everyone.of("new")
    assert arm is not None and arm.win_rate.rate.estimate is not None
    shown = arm.win_rate.rate.estimate
    assert (found.estimate.value, found.estimate.low, found.estimate.high) == (shown.value, shown.low, shown.high)
    worse = judge_rule(evidence_on(rule(metric="human_win_rate", floor=0.95), both))
    assert worse.outcome == "FAIL"
    middle = said(both, metric="human_win_rate", floor=0.7)
    assert middle.outcome == "INCONCLUSIVE" and (middle.more_examples or 0) > 0 and "more votes" in middle.words


def test_the_p_value_of_a_win_rate_is_where_its_interval_meets_the_floor() -> None:
    evidence = evidence_on(rule(metric="human_win_rate", floor=0.85), judged(mostly).sides)
    assert evidence.p_fail is not None and 0 < evidence.p_fail < 0.05
    confidence = 1 - evidence.p_fail
    close = judged(mostly).sides
    surer = said(close, metric="human_win_rate", floor=0.85, confidence=confidence + 1e-6)
    looser = said(close, metric="human_win_rate", floor=0.85, confidence=confidence - 1e-6)
    assert (surer.outcome, looser.outcome) == ("INCONCLUSIVE", "FAIL")


def test_too_few_votes_are_inconclusive_with_the_number_missing() -> None:
    found = said(
        judged(mostly, 10, 3).sides, metric="human_win_rate", floor=0.1, minimum_votes=100, minimum_agreement=0.9
    )
    assert (found.outcome, found.more_examples, found.counted) == ("INCONCLUSIVE", 70, "votes")
    assert found.words == "30 votes; the rule asks for 100"
    nobody = said(Votes().sides, metric="human_win_rate", floor=0.1, minimum_votes=5)
    assert (nobody.outcome, nobody.more_examples) == ("INCONCLUSIVE", 5) and "nobody judged" in nobody.words


def test_raters_who_do_not_agree_stop_a_win_rate() -> None:
    fields = {"metric": "human_win_rate", "floor": 0.5}
    agreed = said(judged(mostly).sides, **fields, minimum_agreement=0.3)
    assert agreed.outcome == "PASS" and "agreement (alpha): " in agreed.words
    rng = np.random.default_rng(4)
    noise = judged(lambda example, rater: "new" if rng.random() < 0.8 else "lora").sides
    assert said(noise, **fields).outcome == "PASS"
    assert said(noise, **fields, minimum_agreement=0.5).outcome == "FAIL"
    alone = said(judged(mostly, raters=1).sides, **fields, minimum_agreement=0.3)
    assert alone.outcome == "INCONCLUSIVE" and "no comparison was judged by two raters" in alone.words


def test_a_gate_must_hold_without_the_raters_that_the_rule_leaves_out() -> None:
    made = judged(lambda example, rater: "new" if rater == 2 or mostly(example, 0) == "lora" else "lora", raters=3)
    for number in range(4):
        made.add("Rater 2", f"g{number}", "right", kind="gold")
        made.add("Rater 1", f"g{number}", "left", kind="gold")
    both = made.sides
    with_all = said(both, metric="human_win_rate", floor=0.4)
    assert "without 1 raters that the declared rule leaves out" in with_all.words
    assert with_all.outcome == "FAIL"


# ------------------------------------------------------------------------------------------------------------- flags


def flagged(answers: int, hits: int, raters: int = 1) -> GateInputs:
    made = Votes()
    for example in range(answers):
        for rater in range(raters):
            made.add(f"Rater {rater}", f"e{example}", "tie", flag="new" if example < hits else "")
    return made.sides


def test_no_flag_in_50_does_not_pass_two_percent_and_none_in_300_does() -> None:
    few = said(flagged(50, 0), flag="fabrication", ceiling=0.02)
    assert few.outcome == "INCONCLUSIVE" and few.counted == "answers"
    assert few.more_examples == 149 - 50, "0.98 ** 149 is the first below 5 %"
    assert few.estimate is not None and few.estimate.high == pytest.approx(1 - 0.05 ** (1 / 50))
    assert said(flagged(149, 0), flag="fabrication", ceiling=0.02).outcome == "PASS"
    assert said(flagged(148, 0), flag="fabrication", ceiling=0.02).outcome == "INCONCLUSIVE"
    assert said(flagged(300, 0), flag="fabrication", ceiling=0.02).outcome == "PASS"
    many = said(flagged(50, 5), flag="fabrication", ceiling=0.02)
    assert many.outcome == "FAIL" and many.rule == "flag fabrication ceiling 0.02"


def test_several_raters_of_one_answer_are_one() -> None:
    made = flagged(50, 0, raters=6)
    found = said(made, flag="fabrication", ceiling=0.02)
    assert found.outcome == "INCONCLUSIVE", "300 votes on 50 answers are 50 answers"
    evidence = evidence_on(rule(flag="fabrication", ceiling=0.02), made)
    assert evidence.estimate is not None and evidence.estimate.n == 50
    assert "0 of 50 answers flagged, 300 votes (an answer counts once" in evidence.estimate.method


def test_flags_on_gold_and_identical_pairs_and_on_the_other_arm_do_not_count() -> None:
    made = Votes()
    for number in range(40):
        made.add("Ann", f"e{number}", "tie", flag="lora")
        made.add("Ann", f"g{number}", "left", kind="gold", flag="new")
        made.add("Ann", f"i{number}", "tie", kind="identical", flag="new")
    evidence = evidence_on(rule(flag="fabrication", ceiling=0.1), made.sides)
    assert evidence.estimate is not None and (evidence.estimate.value, evidence.estimate.n) == (0.0, 40)


def test_a_flag_that_the_round_did_not_ask_for_is_invalid() -> None:
    found = said(flagged(10, 0), flag="fabricaton", ceiling=0.02)
    assert found.outcome == "INVALID" and "Did you mean 'fabrication'?" in found.words


def test_without_a_round_the_rule_says_what_to_do() -> None:
    both = sides([1.0], [1.0], votes="the round r1 is still open: `harness review unblind r1`")
    for fields in ({"flag": "fabrication", "ceiling": 0.1}, {"metric": "human_win_rate", "floor": 0.5}):
        found = said(both, **fields)
        assert (found.outcome, found.words) == ("INVALID", both.votes)
