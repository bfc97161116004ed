"""The fairness ledger: sums with a parent, budgets of every kind, money, events, single runs, and retention."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from harness import stats
from harness.metrics import METRICS
from harness.records import Ledger, RunEvent, Score
from harness.results import numbers
from harness.results.leaderboard.board import leaderboard
from harness.results.leaderboard.costs import against_budget, cost_of
from harness.results.render.json import ledger_to_json, to_json
from harness.results.render.leaderboard import render_markdown, to_text
from harness.results.render.ledger import ledger_to_text

SPIKES = (
    RunEvent(12, "loss_spike", "the loss jumped to 3 at step 12 (running median 0.9)", 3.0, 1.4),
    RunEvent(20, "loss_spike", "the loss jumped to 4 at step 20 (running median 0.9)", 4.0, 1.4),
    RunEvent(21, "out_of_memory", "memory ran out at step 21: micro-batch halved", 4.0),
)


def row_of(board, arm):
    return next(row for row in board.rows if row.arm == arm)


def priced(results, **spec):
    record = results.experiment
    return replace(results, experiment=replace(record, spec={**record.spec, **spec}))


def columns_of(text):
    """Arm → the cells of its column, by the row's name, over all tables of the ledger."""
    found: dict[str, dict[str, str]] = {}
    names: list[str] = []
    for line in text.splitlines():
        if line.startswith("ledger"):
            names = [name for name in line.split()[1:] if name not in ("▲", "▼", "!")]
        for label in ("examples", "tokens", "optimiser steps", "train steps s", "total s", "est. FLOPs", "cost at"):
            if line.startswith(f"{label}  ") or (label == "cost at" and line.startswith(label)):
                cells = line.split()[-len(names) :]
                for name, cell in zip(names, cells, strict=True):
                    found.setdefault(name, {})[label] = cell
    return found


def test_with_its_parent_an_arm_costs_the_sum_but_not_its_parents_scoring():
    parent = Ledger(examples=200, tokens=9000, optimiser_steps=25, train_seconds=9.0, prepare_seconds=1.0, flops=6e9)
    parent = replace(parent, predict_seconds=50.0, peak_memory_bytes=900, validation_seconds=0.5)
    own = Ledger(examples=100, tokens=8000, optimiser_steps=13, train_seconds=14.0, lost_seconds=2.0, flops=8e9)
    own = replace(own, predict_seconds=4.0, peak_memory_bytes=700, trainable_parameters=70, parent=parent)
    cost = cost_of([own], price=3.6)
    whole = cost.with_parent
    assert (cost.examples, cost.tokens, cost.flops, cost.peak_memory_bytes) == (100, 8000, 8e9, 900)
    assert (whole.examples, whole.tokens, whole.optimiser_steps, whole.flops) == (300, 17_000, 38, 14e9)
    assert whole.train_seconds == 23.0 and whole.predict_seconds == 4.0 and whole.trainable_parameters == 70
    assert whole.total_seconds == pytest.approx(cost.all_seconds) == pytest.approx(14 + 2 + 4 + 9 + 1 + 0.5)
    assert cost.money == pytest.approx(20.0 / 1000) and whole.money == pytest.approx(30.5 / 1000)
    assert whole.with_parent is None and cost_of([own]).money is None
    assert cost_of([replace(parent, flops=None)]).flops is None


@pytest.mark.parametrize(
    ("budget", "given", "standing"),
    [
        ({"examples": 200}, {"examples": 200}, "equal"),
        ({"examples": 200}, {"examples": 199}, "less"),
        ({"examples": 200}, {"examples": 201}, "more"),
        ({"tokens": 5000}, {"examples": 100, "tokens": 5049}, "equal"),
        ({"tokens": 5000}, {"examples": 100, "tokens": 4999}, "less"),
        ({"tokens": 5000}, {"examples": 100, "tokens": 5300}, "more"),
        ({"device_seconds": 30.0}, {"examples": 9, "optimiser_steps": 60, "train_seconds": 30.4}, "equal"),
        ({"device_seconds": 30.0}, {"examples": 9, "optimiser_steps": 60, "train_seconds": 29.0}, "less"),
        ({"device_seconds": 30.0}, {"examples": 9, "optimiser_steps": 60, "train_seconds": 45.0}, "more"),
        ({"examples": 200}, {"examples": 0}, None),
    ],
)
def test_every_kind_of_budget_is_held_against_what_was_given(budget, given, standing):
    assert against_budget(budget, cost_of([Ledger(**given)])) == standing


def test_arms_that_got_more_or_less_are_marked_on_the_leaderboard(maker):
    maker.runs = [
        replace(one, ledger=replace(one.ledger, examples=150)) if one.arm == "full" else one for one in maker.runs
    ]
    board = leaderboard(maker.results)
    standings = {row.arm: row.budget for row in board.rows}
    assert standings == {
        **{"untrained": None, "few_shot": None, "qlora": None},
        **{"full": "less", "lora": "equal", "dpo": "more"},
    }
    text = to_text(board)
    assert "\ndpo ▲ " in text and "\nfull ▼ " in text and "\nlora  " in text
    assert "▲ got more than the budget (a parent's share counts); ▼ got less than the budget" in text
    assert "| dpo ▲ |" in render_markdown(board)
    assert "saw less than the budget: 150 examples, budget 200" in row_of(board, "full").notes
    rows = {row["arm"]: row for row in to_json(board)["rows"]}
    assert (rows["dpo"]["budget"], rows["untrained"]["budget"]) == ("more", None)


def test_an_unstable_training_is_flagged_with_its_steps(maker):
    maker.runs = [
        replace(one, ledger=replace(one.ledger, events=SPIKES)) if one.arm == "lora" else one for one in maker.runs
    ]
    board = leaderboard(maker.results)
    note = "seed 0: the loss jumped to 3 at step 12 (running median 0.9); again at step 20"
    assert note in row_of(board, "lora").notes and row_of(board, "lora").events == SPIKES
    assert not any("memory ran out" in one for one in row_of(board, "lora").notes), "the run's own notes say that"
    text = to_text(board)
    assert "\nlora ! " in text and "! signs of an unstable training" in text
    ledger = ledger_to_text(board)
    assert "lora, seed 0: loss spike: the loss jumped to 4 at step 20" in ledger
    assert "lora, seed 0: out of memory: memory ran out at step 21" in ledger
    assert next(row["events"] for row in to_json(board)["rows"] if row["arm"] == "lora")[1]["step"] == 20


@pytest.mark.parametrize("width", [100, 110, 120])
def test_the_ledger_is_whole_and_fits(results, width):
    board = leaderboard(priced(results, resources={"price_per_device_hour": 2.5}))
    text = ledger_to_text(board, width)
    assert max(map(len, text.splitlines())) <= width and "…" not in text
    found = columns_of(text)
    assert set(found) >= {"untrained", "few_shot", "full", "lora", "dpo+"}
    dpo = row_of(board, "dpo").cost
    assert found["dpo+"]["tokens"] == numbers.exact(dpo.with_parent.tokens) == "62,800"
    assert found["lora"]["tokens"] == found["full"]["tokens"] == "31,400"
    assert found["dpo+"]["cost at"] == numbers.money(dpo.with_parent.total_seconds * 2.5 / 3600)
    for label in ("preparation s", "validation s", "prediction s", "scoring s", "lost s", "tuning trials", "files MB"):
        assert f"\n{label} " in text
    assert "cost at 2.5 an hour" in text and "budget 200 examples" in text
    assert "\nqlora " in text and "qlora, seed 0: oom: out of memory at step 3" in text
    assert "cost at" not in ledger_to_text(leaderboard(results), width)


def test_every_run_stands_in_the_json_with_its_whole_ledger(make):
    maker = make(examples=8, seeds=(0, 1))
    first = next(run for run in maker.runs if run.train_id == "train-full-1")
    failed = replace(first, status="failed", error="boom", ledger=Ledger(train_seconds=3.0))
    maker.runs.append(replace(first, attempt=2))
    maker.runs[maker.runs.index(first)] = failed
    maker.entries = [replace(one, attempt=2) if one.train_id == "train-full-1" else one for one in maker.entries]
    board = leaderboard(maker.results)
    data = json.loads(json.dumps(ledger_to_json(board), allow_nan=False))
    runs = {(run["arm"], run["seed"], run["attempt"]): run for run in data["runs"]}
    assert runs["full", 1, 1]["status"] == "failed" and runs["full", 1, 1]["ledger"]["train_seconds"] == 3.0
    assert runs["full", 1, 2]["ledger"]["tokens"] == 31_400
    assert runs["dpo", 0, 1]["ledger"]["parent"]["tokens"] == 31_400
    assert len(runs) == 10 and data["price_per_device_hour"] is None
    text = ledger_to_text(board)
    assert "full, seed 1: failed: boom" in text and "Of several seeds the mean" in text
    lines = [line.split() for line in text.splitlines() if line.startswith("full  ")]
    assert [line[1:4] for line in lines] == [["0", "1", "ok"], ["1", "1", "failed"], ["1", "2", "ok"]]


def test_forgetting_is_the_paired_difference_to_the_untrained_base(maker):
    rng = np.random.default_rng(0)
    for eval_id, share in (("eval-untrained-None", 0.9), ("eval-lora-0", 0.5), ("eval-few_shot-None", 0.7)):
        for number in range(24):
            value = float(rng.random() < share)
            maker.scores.append(Score(eval_id, "retention:arith", f"d{number}", "acc", "none", 1, "ok", value))
    board = leaderboard(maker.results)
    found = {(one.arm, one.metric): one for one in board.forgetting}
    assert set(found) == {
        *((arm, "retention_perplexity") for arm in ("full", "lora", "dpo")),
        ("lora", "arith/acc"),
    }, "of arms that changed the base, where both were scored"

    def values(eval_id):
        return [s.value for s in maker.scores if (s.eval_id, s.suite) == (eval_id, "retention:arith")]

    items = [f"d{number}" for number in range(24)]
    after, before = values("eval-lora-0"), values("eval-untrained-None")
    one = found["lora", "arith/acc"]
    assert one.difference == stats.paired_difference(after, before, items, bounds=(0.0, 1.0))
    assert (one.before.value, one.after.value) == (np.mean(before), np.mean(after)) and one.direction == "higher"

    def sums(eval_id):
        return [s.statistics for s in maker.scores if (s.eval_id, s.metric) == (eval_id, "retention_perplexity")]

    combine = METRICS["retention_perplexity"].combine
    drop = combine(np.sum(sums("eval-full-0"), axis=0)) - combine(np.sum(sums("eval-untrained-None"), axis=0))
    assert found["full", "retention_perplexity"].difference.value == pytest.approx(drop)
    text = to_text(board)
    line = next(line for line in text.splitlines() if line.startswith("arith/acc ↑ ") and " lora " in line)
    assert numbers.with_interval(one.difference, (0.0, 1.0), sign=True) in line
    assert "after minus before [95 %]" in text and "## Forgetting" in render_markdown(board)
    stored = [row for row in to_json(board)["forgetting"] if row["metric"] == "arith/acc"]
    assert stored[0]["difference"]["value"] == one.difference.value


def test_without_an_untrained_arm_or_retention_nothing_is_said_of_forgetting(maker):
    maker.scores = [one for one in maker.scores if one.suite != "retention"]
    board = leaderboard(maker.results)
    assert board.forgetting == () and "forgetting" not in to_text(board)
    assert "## Forgetting" not in render_markdown(board)


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        (numbers.exact, 31_400.0, "31,400"),
        (numbers.exact, 33.5, "33.5"),
        (numbers.exact, None, "-"),
        (numbers.operations, 1.234e12, "1.23e+12"),
        (numbers.operations, 0.0, "0"),
        (numbers.operations, None, "-"),
        (numbers.money, 0.01234, "0.012"),
        (numbers.money, 1234.5, "1,234.50"),
        (numbers.money, 0.0, "0.00"),
    ],
)
def test_exact_numbers(function, value, expected):
    assert function(value) == expected
