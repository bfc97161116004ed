"""Arms that were trained elsewhere: what nobody here knows is unknown in every form, never 0."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from typing import Any

import pytest

from harness.results.collect import Results
from harness.results.leaderboard.board import leaderboard
from harness.results.leaderboard.rows import Leaderboard
from harness.results.render.json import ledger_to_json, to_json
from harness.results.render.leaderboard import render_markdown, to_csv, to_latex, to_text
from harness.results.render.ledger import ledger_to_text
from harness.results.studies.figure_data import cost_views

OPEN = (
    *("examples", "tokens", "optimiser_steps", "train_seconds", "total_seconds", "all_examples", "all_tokens"),
    *("all_train_seconds", "all_seconds", "trainable_parameters", "total_parameters", "trials", "money", "flops"),
)


@pytest.fixture
def outside(maker: Any) -> Results:
    """The made-up experiment, in which lora is an imported adapter and few_shot an endpoint."""
    methods = {"lora": "imported", "few_shot": "endpoint"}
    runs = [
        replace(
            run,
            method=methods[run.arm],
            ledger=replace(
                run.ledger, examples=0, tokens=0, optimiser_steps=0, train_seconds=0.0, trainable_parameters=0
            ),
        )
        if run.arm in methods
        else run
        for run in maker.runs
    ]
    results: Results = maker.results
    spec = {**results.experiment.spec, "resources": {"price_per_device_hour": 3.6}}
    return replace(results, runs=runs, experiment=replace(results.experiment, spec=spec))


@pytest.fixture
def board(outside: Results) -> Leaderboard:
    return leaderboard(outside)


def test_the_cost_is_unknown_and_what_happened_here_is_not(board: Leaderboard) -> None:
    costs = {row.arm: row.cost for row in board.rows}
    for arm in ("lora", "few_shot"):
        assert {name: getattr(costs[arm], name) for name in OPEN} == dict.fromkeys(OPEN)
        assert costs[arm].predict_seconds == 4.0 and costs[arm].score_seconds == 0.5
    assert costs["lora"].artefact_bytes == 300_000 and costs["few_shot"].artefact_bytes is None
    assert costs["untrained"].examples == 0 and costs["full"].examples == 200 and costs["full"].money is not None


def test_the_ledger_shows_a_dash_and_marks_the_arm(board: Leaderboard) -> None:
    lines = ledger_to_text(board).splitlines()
    head = next(line for line in lines if line.startswith("ledger"))
    assert "lora ?" in head and "few_shot ?" in head
    examples = next(line for line in lines if line.startswith("examples"))
    assert examples.split()[1:].count("-") == 2 and "0" in examples.split()
    assert any("budget unknown" in line for line in lines)


def test_json_has_nulls(board: Leaderboard) -> None:
    found = ledger_to_json(board)
    runs = {run["arm"]: run for run in found["runs"]}
    assert runs["lora"]["ledger"]["examples"] is None and runs["lora"]["budget_known"] is False
    assert runs["full"]["ledger"]["examples"] == 200 and runs["full"]["budget_known"] is True
    rows = {row["arm"]: row for row in found["rows"]}
    assert rows["few_shot"]["cost"]["tokens"] is None and rows["few_shot"]["budget_known"] is False
    json.dumps([found, to_json(board)], allow_nan=False)


def test_every_form_of_the_board_marks_it(board: Leaderboard) -> None:
    text = to_text(board)
    cost = text[text.index("cost  ") :].splitlines()
    line = next(one for one in cost if one.startswith("lora ?"))
    assert line.split()[2:4] == ["-", "4.5"]
    assert "?: trained elsewhere, what it took is unknown (-)" in text.replace("\n", " ")
    markdown = render_markdown(board)
    assert "| lora ? | - | 4.5 | - | - | - |" in markdown and "?: trained elsewhere" in markdown
    tex = to_latex(board)
    assert "lora$^{?}$" in tex and "? budget unknown: trained elsewhere" in tex
    rows = {row["arm"]: row["budget"] for row in csv.DictReader(io.StringIO(to_csv(board)))}
    assert (rows["lora"], rows["few_shot"], rows["full"], rows["dpo"], rows["untrained"]) == (
        *("unknown", "unknown", "equal", "more", ""),
    )


def test_no_tie_goes_to_it_for_costing_nothing(outside: Results) -> None:
    rule = {"margin": 0.2, "cost": "total_seconds", "estimand": "checkpoints", "declared": "2026-01-01T00:00:00Z"}
    spec = {**outside.experiment.spec, "winner_rules": [rule]}
    board = leaderboard(replace(outside, experiment=replace(outside.experiment, spec=spec)))
    assert "lora" in board.verdict.good
    assert board.verdict.arm in ("full", "dpo")
    assert "the total time of lora is not known" in board.verdict.notes


def test_a_cost_figure_leaves_it_out_and_says_so(board: Leaderboard) -> None:
    for view in cost_views(board):
        assert not {"lora", "few_shot"} & {point.arm for point in view.points} or view.measure == "peak_memory"
        assert "lora" in view.unknown and "few_shot" in view.unknown
