"""Arms and seeds of several environments on one board; resumed trainings; when a movement counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from hypothesis import given, strategies as st

from harness.experiments import drift
from harness.experiments.running import worker
from harness.records import Estimate, Evaluation, Provenance, SentinelCheck
from harness.results.leaderboard.board import leaderboard
from harness.results.leaderboard.environments import examine
from harness.results.render.json import to_json

ENVIRONMENTS = [{"device": "cpu", "torch": str(number)} for number in range(3)]


def evaluation(eval_id: str, environment: dict[str, str]) -> Evaluation:
    return Evaluation(eval_id, "t", "a", "s", {}, environment, "now")


def check(before: int, after: int, accepted: bool = True) -> SentinelCheck:
    a, b = ENVIRONMENTS[before], ENVIRONMENTS[after]
    return SentinelCheck("x1", "", "untrained", "b", "a", a, b, (), 5, 0, accepted, "2026-01-01")


def test_seeds_of_two_environments_have_no_value(make) -> None:
    results = make(examples=8, seeds=(0, 1)).results
    rows = [
        evaluation(str(entry.eval_id), ENVIRONMENTS[entry.arm == "lora" and entry.seed == 1])
        for entry in results.entries
        if entry.eval_id
    ]
    board = leaderboard(replace(results, evaluations=rows))
    by_arm = {row.arm: row for row in board.rows}
    assert by_arm["lora"].cells["rouge_l"].estimate is None
    assert "its seeds were scored in different environments (torch 0 → 1)" in by_arm["lora"].unranked_reason
    assert by_arm["full"].cells["rouge_l"].difference is not None and not by_arm["full"].unranked_reason
    linked = leaderboard(replace(results, evaluations=rows, sentinels=[check(0, 1)]))
    assert linked.rows[1].arm == "lora" and not linked.rows[1].unranked_reason
    assert all(one["accepted"] for one in to_json(linked)["environments"])


def test_checks_link_by_way_of_others_and_the_last_one_counts(results) -> None:
    places = {"full": 1, "lora": 2}
    rows = [
        evaluation(str(entry.eval_id), ENVIRONMENTS[places.get(entry.arm, 0)])
        for entry in results.entries
        if entry.eval_id
    ]
    results = replace(results, evaluations=rows)
    assert examine(results).unranked == {"full": "torch 0 → 1", "lora": "torch 0 → 2"}
    assert set(examine(replace(results, sentinels=[check(1, 2)])).unranked) == {"full", "lora"}
    assert examine(replace(results, sentinels=[check(1, 2), check(0, 1)])).unranked == {}
    late = [check(0, 1), check(1, 2), check(2, 1, accepted=False)]
    assert set(examine(replace(results, sentinels=late)).unranked) == {"lora"}


def test_an_endpoint_stands_with_every_environment(results) -> None:
    rows = [
        evaluation(str(entry.eval_id), {"device": "remote"} if entry.arm == "full" else ENVIRONMENTS[0])
        for entry in results.entries
        if entry.eval_id
    ]
    assert examine(replace(results, evaluations=rows)).unranked == {}


def estimate(value: float, low: float | None, high: float | None) -> Estimate:
    return Estimate(value, low, high, 10, 10, 1, "m")


@given(st.floats(0.01, 10), st.floats(-20, 20), st.floats(0.001, 5))
def test_a_movement_counts_unless_its_whole_interval_is_inside(half: float, moved: float, spread: float) -> None:
    frozen = estimate(5.0, 5.0 - half, 5.0 + half)
    difference = estimate(moved, moved - spread, moved + spread)
    inside = abs(moved) + spread
    if abs(inside - half) > 1e-6:
        assert drift.within(frozen, difference) == (inside < half)


def test_no_movement_is_within_anything() -> None:
    assert drift.within(estimate(0.0, None, None), estimate(0.0, None, None))
    assert not drift.within(estimate(0.0, None, None), estimate(0.1, 0.0, 0.2))


def test_a_training_that_went_on_elsewhere_says_so(tmp_path: Path) -> None:
    def here(processor: str, torch: str) -> Provenance:
        return Provenance("0", None, None, {"torch": torch, "streamlit": torch}, {"processor": processor}, "now")

    assert worker._moved(worker._places(tmp_path, here("A", "1"))) == ()
    (tmp_path / "checkpoints").mkdir()
    assert worker._moved(worker._places(tmp_path, here("A", "1"))) == ()
    [note] = worker._moved(worker._places(tmp_path, here("B", "2")))
    assert note == "its training went on after a change of processor A → B, torch 1 → 2"
