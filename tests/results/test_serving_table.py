"""From a pass to figures and ratios, by hand; and what is not shown, with its reason."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from harness.records import Artefact, BatchTry, ServedArm, ServingPass, ServingProbe, ServingVisit, WinnerRule
from harness.results.collect import Results
from harness.results.leaderboard.board import leaderboard
from harness.results.leaderboard.serving import ServingTable, serving_costs
from harness.results.render.json import to_json
from harness.results.render.leaderboard import render_markdown, to_latex, to_text
from harness.results.render.speed import serving_to_text
from harness.results.studies.figure_data import cost_views
from harness.results.winner.contest import price as price_of

MODEL = Artefact("adapter", "b", "b", "artefact", "f", None, "c", "", hash="model")
SPEED = {"untrained": [100.0, 80.0, 50.0], "lora": [50.0, 44.0, 24.0]}
"""Tokens a second in each round: the machine grows slower."""


def visit(number: int, speed: float) -> ServingVisit:
    first = tuple(1 / speed + n / 1000 for n in range(10))
    return ServingVisit(first, 70, 40, 40 / speed, 4, 160, 160 / (3 * speed), round=number)


def served(arm: str, **changes: Any) -> ServedArm:
    seed = None if arm == "untrained" else 0
    tries = (BatchTry(1, "ok", 1000), BatchTry(2, "ok", 1100), BatchTry(4, "ok", 1500), BatchTry(8, "oom", None, "no"))
    visits = tuple(visit(number, speed) for number, speed in enumerate(SPEED[arm]))
    made = ServedArm(
        arm, seed, f"train-{arm}-{seed}", "model", "ok", None, ServingProbe(640, "resident set", tries), visits
    )
    return replace(made, **changes)


def results_with(maker: Any, *arms: ServedArm) -> Results:
    maker.runs = [replace(run, artefact=MODEL) if run.status == "ok" else run for run in maker.runs]
    settings = {"rounds": 3, "prompts": 10, "new_tokens": 4, "batches": 8, "seed": 0}
    hardware = {"processor": "abacus", "cores": 2, "threads": 1, "accelerators": []}
    made = ServingPass("p1", "x1", "s", "2026-01-02T00:00:00+00:00", settings, {}, hardware, 9.0, arms)
    older = replace(made, pass_id="p0", created="2026-01-01T00:00:00+00:00", arms=())
    return replace(maker.results, serving=(made, older))


def table_of(maker: Any, *arms: ServedArm) -> ServingTable:
    table = leaderboard(results_with(maker, *arms)).serving
    assert table is not None
    return table


def test_figures_are_medians_over_rounds_and_ratios_are_taken_within_them(maker: Any) -> None:
    row = table_of(maker, served("untrained"), served("lora")).of("lora")
    assert row is not None
    speed = row.figures["tokens_per_second"]
    assert (speed.value, speed.low, speed.high, speed.n) == pytest.approx((44.0, 24.0, 50.0, 3))
    assert speed.level == 0.75  # three rounds: 1 - 2 / 2³
    assert row.figures["batch_tokens_per_second"].value == pytest.approx(3 * 44.0)
    # 50/100, 44/80, 24/50: not 44/80 alone, and not the ratio of the medians' neighbours.
    assert row.ratios["tokens_per_second"].value == pytest.approx(0.5)
    assert (row.ratios["tokens_per_second"].low, row.ratios["tokens_per_second"].high) == pytest.approx((0.48, 0.55))
    first = [1 / 44 + n / 1000 for n in range(10)]
    assert row.figures["first_token_seconds"].value == pytest.approx((first[4] + first[5]) / 2)
    assert row.figures["first_token_p90_seconds"].value == pytest.approx(first[8]), "9 of 10 are no longer"
    assert (row.batch, row.too_large, row.memory_bytes, row.batch_memory_bytes) == (4, 8, 1000, 1500)
    assert row.prompt_tokens == 7.0 and row.weights_bytes == 640
    assert serving_costs(table_of(maker, served("lora")))["lora"] == {
        "latency": row.figures["first_token_seconds"].value,
        "throughput": pytest.approx(1 / 132),
        "inference_memory": 1000,
    }


def test_what_has_no_figures_says_why(maker: Any) -> None:
    table = table_of(
        maker,
        served("untrained", status="failed", error="round 2: no room", visits=()),
        served("lora", artefact_hash="another"),
    )
    untrained, lora = table.of("untrained"), table.of("lora")
    assert untrained is not None and lora is not None
    assert untrained.error == "round 2: no room" and untrained.batch == 4
    assert "earlier model" in lora.error and lora.figures == lora.ratios == {}
    text = serving_to_text(leaderboard(results_with(maker, served("lora", artefact_hash="another"))))
    assert "lora: no serving figures: measured on an earlier model" in " ".join(text.split())


def test_without_the_reference_there_are_figures_and_no_ratios(maker: Any) -> None:
    row = table_of(maker, served("lora")).of("lora")
    assert row is not None and row.figures and not row.ratios


def test_an_endpoint_has_a_dash_where_nothing_is_known(maker: Any) -> None:
    visits = tuple(
        replace(one, batch_rows=None, batch_tokens=None, batch_seconds=None) for one in served("lora").visits
    )
    arm = served("lora", probe=ServingProbe(None, None, ()), visits=visits, forced=False)
    board = leaderboard(results_with(maker, served("untrained"), arm))
    line = next(line for line in serving_to_text(board).splitlines() if line.startswith("lora *"))
    assert line.split()[-4:] == ["-", "-", "-", "-"]
    assert "behind a URL" in serving_to_text(board)
    assert serving_costs(board.serving)["lora"]["inference_memory"] is None


def test_all_forms_show_them_and_a_board_without_them_is_as_before(maker: Any) -> None:
    before = leaderboard(maker.results)
    board = leaderboard(results_with(maker, served("untrained"), served("lora")))
    for shown in (to_text, render_markdown, to_latex):
        assert "tokens/s" in shown(board) and "tokens/s" not in shown(before)
    assert to_json(before)["serving"] is None
    assert to_json(board)["serving"]["rows"][0]["figures"]["tokens_per_second"]["n"] == 3
    assert "0.50 [0.48, 0.55]" in to_text(board) and "Out of memory: untrained at 8" not in to_text(before)
    assert all(len(line) <= 110 for line in serving_to_text(board).splitlines())
    assert replace(board, serving=None) == replace(before, runs=board.runs, serving=None)


@pytest.mark.parametrize(("cost", "price"), [("latency", 2.0), ("inference_memory", None), ("train_seconds", None)])
def test_a_price_is_found_by_its_name(cost: str, price: float | None) -> None:
    assert price_of(WinnerRule(cost=cost).cost, None, {"latency": 2.0}) == price


def test_quality_stands_against_latency_and_money_where_they_are_known(maker: Any) -> None:
    results = results_with(maker, served("untrained"), served("lora"))
    assert [view.measure for view in cost_views(leaderboard(results))][3:] == ["latency"]
    spec = {**results.experiment.spec, "resources": {"price_per_device_hour": 3.6}}
    board = leaderboard(replace(results, experiment=replace(results.experiment, spec=spec)))
    views = {view.measure: view for view in cost_views(board)}
    assert list(views)[3:] == ["latency", "money"]
    points = {point.arm: point for point in views["latency"].points}
    assert set(points) == {"untrained", "lora"} and set(views["latency"].unknown) == {"few_shot", "full", "dpo"}
    # The median prompt of the median round is half-way between the fifth and the sixth: 4.5 ms later.
    assert points["lora"].cost == pytest.approx(1000 / 44 + 4.5)
    assert (points["lora"].cost_low, points["lora"].cost_high) == pytest.approx((1000 / 50 + 4.5, 1000 / 24 + 4.5))
    costs = {point.arm: point.cost for point in views["money"].points}
    assert costs["lora"] == pytest.approx((9.25 + 1.0 + 4.0 + 0.5) / 1000)
    assert costs["dpo"] == pytest.approx((14.0 + 1.0 + 4.0 + 0.5 + 9.25 + 1.0) / 1000), "with its parent's training"
