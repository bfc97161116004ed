"""The leaderboard built from synthetic records: order, intervals, costs, failures, and every rendering."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest

from harness import stats
from harness.errors import UsageError
from harness.metrics import METRICS
from harness.records import Likelihood
from harness.results import numbers
from harness.results.leaderboard.board import leaderboard
from harness.results.render.json import ledger_to_json, to_json
from harness.results.render.leaderboard import print_board, render_markdown, to_text
from harness.results.render.ledger import ledger_to_text, print_ledger


@pytest.fixture(scope="module")
def board(results):
    return leaderboard(results)


def row_of(board, arm):
    return next(row for row in board.rows if row.arm == arm)


def test_arms_are_ranked_by_the_primary_metric_and_failures_come_last(board):
    values = [row.cells["rouge_l"].estimate.value for row in board.rows[:-1]]
    assert values == sorted(values, reverse=True)
    assert board.rows[-1].arm == "qlora"
    assert board.rows[-1].status == "oom"
    assert board.rows[-1].cells["rouge_l"].estimate is None
    assert board.rows[-1].cells["rouge_l"].reason == "no evaluation"
    assert board.rows[-1].errors == ("seed 0: oom: out of memory at step 3: [red]1.2 GB[/red] asked for",)


def test_a_metric_where_lower_is_better_ranks_upwards(maker):
    maker.task["metrics"] = {"primary": "perplexity", "also": ["rouge_l"]}
    board = leaderboard(maker.results)
    values = [row.cells["perplexity"].estimate.value for row in board.rows[:-1]]
    assert values == sorted(values)
    assert row_of(board, board.rows[0].arm).cells["perplexity"].p_holm is not None


def test_values_and_differences_are_those_of_stats(results, board):
    values = {}
    for arm in ("lora", "untrained"):
        entry = next(one for one in results.entries if one.arm == arm)
        mine = [one for one in results.scores if (one.eval_id, one.metric) == (entry.eval_id, "rouge_l")]
        values[arm] = [one.value for one in mine]
        groups = [results.groups[one.item] for one in mine]
    expected = stats.paired_difference(values["lora"], values["untrained"], groups, bounds=(0.0, 1.0))
    cell = row_of(board, "lora").cells["rouge_l"]
    assert cell.difference == expected
    assert cell.estimate == stats.estimate(values["lora"], groups, bounds=(0.0, 1.0))
    assert (cell.estimate.n, cell.estimate.clusters) == (40, 20)
    assert row_of(board, "untrained").cells["rouge_l"].difference is None


def test_corpus_metrics_are_combined_not_averaged(results, board):
    mine = [one for one in results.scores if (one.eval_id, one.metric) == ("eval-lora-0", "bleu")]
    combined = float(METRICS["bleu"].combine(np.sum([one.statistics for one in mine], axis=0)))
    cell = row_of(board, "lora").cells["bleu"]
    assert cell.estimate.value == pytest.approx(combined)
    assert abs(combined - np.mean([one.value for one in mine])) > 0.05
    assert cell.estimate.low < combined < cell.estimate.high
    assert "bootstrap" in cell.estimate.method


def test_p_values_of_the_primary_are_adjusted_for_the_arms(board):
    raw = {row.arm: row.cells["rouge_l"].p_value for row in board.rows if row.cells["rouge_l"].p_value is not None}
    assert set(raw) == {"full", "lora", "dpo", "few_shot"}
    adjusted = dict(zip(raw, stats.holm(list(raw.values())), strict=True))
    assert {arm: row_of(board, arm).cells["rouge_l"].p_holm for arm in raw} == adjusted
    assert all(row.cells["bleu"].p_value is None for row in board.rows)


def test_lm_eval_and_retention_appear_with_their_direction(board):
    columns = {column.name: column for column in board.columns}
    assert list(columns)[:5] == ["rouge_l", "bleu", "exact_match", "perplexity", "bits_per_byte"]
    assert columns["choice/acc"].direction == "higher"
    assert columns["retention_perplexity"].direction == "lower"
    assert [column.primary for column in board.columns] == [True] + [False] * (len(columns) - 1)


def test_costs_carry_the_parent_and_what_differs_from_the_budget_is_marked(board):
    dpo = row_of(board, "dpo").cost
    assert (dpo.examples, dpo.all_examples, dpo.has_parent) == (100, 300, True)
    assert dpo.all_train_seconds == pytest.approx(14.0 + 9.25)
    assert dpo.all_seconds == pytest.approx(14.0 + 1.0 + 4.5 + 9.25 + 1.0), "a parent's scoring is not added"
    assert row_of(board, "lora").cost.all_examples == 200
    assert "saw more than the budget: 300 examples, budget 200" in row_of(board, "dpo").notes
    assert not any("budget" in note for note in row_of(board, "lora").notes)


def test_answers_looks_and_leaks_are_counted(board):
    assert row_of(board, "lora").answers.length_limited == 3
    assert "3 of 40 answers were cut off at max_new_tokens" in row_of(board, "lora").notes
    assert (board.looks, board.looks_in_all, board.leaks, board.clusters) == (5, 6, 1, 20)
    assert [row.looks for row in board.rows] == [1, 1, 1, 1, 1, 0]


def test_the_same_results_give_the_same_board_and_another_metric_changes_no_interval(results, board):
    assert leaderboard(results) == board
    fewer = replace(results, scores=[one for one in results.scores if one.metric != "exact_match"])
    changed = leaderboard(fewer)
    assert row_of(changed, "lora").cells["bleu"] == row_of(board, "lora").cells["bleu"]
    assert leaderboard(results, np.random.default_rng(1)) != board


def test_seeds_are_averaged_before_the_comparison(make):
    results = make(examples=20, seeds=(0, 1, 2)).results
    board = leaderboard(results)
    row = row_of(board, "lora")
    assert row.seeds == (0, 1, 2)
    assert row.cost.seeds == 3
    assert row.cost.examples == 200, "cost is that of one seed"
    cell = row.cells["rouge_l"]
    assert (cell.estimate.n, cell.estimate.seeds) == (20, 3)
    assert "this method, 3 seeds" in cell.difference.method
    assert board.question == "method"
    assert "about these methods" in board.estimand
    per_seed = [
        np.mean([one.value for one in results.scores if (one.eval_id, one.metric) == (f"eval-lora-{seed}", "rouge_l")])
        for seed in (0, 1, 2)
    ]
    assert cell.estimate.value == pytest.approx(np.mean(per_seed))


def test_an_arm_with_a_failed_seed_is_partial(make):
    maker = make(examples=8, seeds=(0, 1))
    place = next(i for i, one in enumerate(maker.entries) if (one.arm, one.seed) == ("full", 1))
    maker.entries[place] = replace(maker.entries[place], status="diverged", eval_id=None)
    board = leaderboard(maker.results)
    row = row_of(board, "full")
    assert (row.status, row.seeds, row.cost.seeds) == ("partial", (0,), 1)
    assert row.errors == ("seed 1: diverged: no reason was recorded",)
    assert "full: seed 1: diverged" in to_text(board)


def test_missing_values_are_left_out_and_said(maker):
    maker.scores = [
        replace(one, status="missing", value=None) if (one.eval_id, one.item) == ("eval-lora-0", "e5") else one
        for one in maker.scores
    ]
    cell = row_of(leaderboard(maker.results), "lora").cells["rouge_l"]
    assert (cell.estimate.n, cell.difference.n, cell.missing) == (39, 39, 1)
    assert "1 test items have no value" in to_text(leaderboard(maker.results))


def test_a_missing_reference_leaves_values_and_says_why(maker):
    maker.entries = [one for one in maker.entries if one.arm != "untrained"]
    board = leaderboard(maker.results)
    cell = row_of(board, "lora").cells["rouge_l"]
    assert cell.difference is None
    assert cell.difference_reason == "reference untrained: no evaluation"
    assert "reference untrained: no evaluation" in to_text(board)


def test_older_versions_of_a_metric_do_not_mix_with_the_newest(maker):
    maker.scores = [
        replace(one, version=0) if (one.metric, one.eval_id) == ("exact_match", "eval-lora-0") else one
        for one in maker.scores
    ]
    cell = row_of(leaderboard(maker.results), "lora").cells["exact_match"]
    assert (cell.estimate, cell.reason) == (None, "not scored")


def test_nothing_scored_still_gives_a_board(maker):
    maker.entries = [replace(one, status="failed", eval_id=None) for one in maker.entries]
    maker.scores = []
    board = leaderboard(maker.results)
    text = to_text(board)
    assert all(row.status == "failed" for row in board.rows)
    assert text.count("failed: no reason was recorded") == 5
    assert "full" in render_markdown(board)


def test_a_perplexity_beyond_a_float_is_a_dash_with_a_reason(maker):
    from harness.metrics import score_likelihoods

    rows = [Likelihood("eval-full-0", "test", one.id, 0, "target", -9e6, 10, 50) for one in maker.examples]
    kept = [one for one in maker.scores if (one.metric, one.eval_id) != ("perplexity", "eval-full-0")]
    maker.scores = kept + score_likelihoods(["perplexity"], rows)
    board = leaderboard(maker.results)
    assert row_of(board, "full").cells["perplexity"].reason == "corpus value is not finite"
    text = to_text(board)
    assert "perplexity of full: corpus value is not finite." in text
    assert "inf" not in text.replace("information", "")
    json.dumps(to_json(board), allow_nan=False)


def test_an_unknown_primary_metric_is_named(maker):
    maker.task["metrics"] = {"primary": "rouge_x"}
    with pytest.raises(UsageError, match="rouge_x"):
        leaderboard(maker.results)


@pytest.mark.parametrize("width", [100, 110, 120])
def test_text_fits_its_width_and_loses_nothing_that_matters(board, width):
    text = to_text(board, width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for arm in ("untrained", "few_shot", "full", "lora", "dpo", "qlora"):
        assert arm in text
    assert "[red]1.2 GB[/red]" in text, "text of an error is not markup"
    assert "rouge_l ↑" in text
    assert "retention_perplexity ↓" in text
    assert "say nothing about other seeds" in text
    assert "once" not in text
    assert "5 times; all experiments together 6 times" in text
    assert "\x1b" not in text
    assert "nan" not in text.lower().split()


def test_long_names_and_many_arms_still_fit(maker):
    entries, runs = list(maker.entries), list(maker.runs)
    for number in range(9):
        name = f"lora-rank-{2**number}-all-linear-cosine"
        eval_id = f"copy-{number}"
        source = next(one for one in entries if one.arm == "lora")
        maker.entries.append(replace(source, arm=name, eval_id=eval_id))
        maker.runs.append(next(one for one in runs if one.train_id == source.train_id))
        maker.scores += [replace(one, eval_id=eval_id) for one in maker.scores if one.eval_id == source.eval_id]
    text = to_text(leaderboard(maker.results), 110)
    assert max(map(len, text.splitlines())) <= 110
    assert "…" not in text
    assert text.count("all metrics") > 1, "the metrics of many arms stand in several tables"


def test_printing_without_a_terminal_gives_plain_lines(board, capsys):
    print_board(board)
    print_ledger(board)
    out = capsys.readouterr().out
    assert out == to_text(board) + ledger_to_text(board)
    assert "dpo+" in ledger_to_text(board)


def test_control_characters_never_reach_the_terminal(maker):
    maker.runs = [replace(one, error="\x1b[2Jgone") if one.error else one for one in maker.runs]
    text = to_text(leaderboard(maker.results))
    assert "\x1b" not in text
    assert "\\x1b[2Jgone" in text


def test_json_has_a_stable_schema(board):
    data = json.loads(json.dumps(to_json(board), allow_nan=False))
    assert data["schema"] == "harness.leaderboard/2"
    assert set(data) == {
        *("schema", "experiment", "task", "primary", "reference", "estimand", "clusters", "looks", "leaks", "notes"),
        *("metrics", "forgetting", "rows", "question", "verdict", "winner_rules", "environments", "serving"),
        *("human", "race"),
        "race",
    }
    assert set(data["rows"][0]) == {
        *("arm", "method", "status", "seeds", "evaluations", "metrics", "difference_to_best", "cost", "answers"),
        *("looks", "notes", "errors", "budget", "events", "ranks", "best_probability", "apart", "budget_known"),
    }
    assert set(data["rows"][0]["metrics"]["rouge_l"]) == {
        *("estimate", "reason", "difference", "difference_reason", "p_value", "p_holm", "missing"),
    }
    assert set(data["rows"][0]["metrics"]["rouge_l"]["estimate"]) == {
        *("value", "low", "high", "n", "clusters", "seeds", "method", "level"),
    }
    assert data["metrics"][0]["direction"] == "higher"
    assert data["rows"][-1]["cost"] is None
    ledger = json.loads(json.dumps(ledger_to_json(board), allow_nan=False))
    assert ledger["schema"] == "harness.ledger/1"
    assert [row["arm"] for row in ledger["rows"]] == [row.arm for row in board.rows]


def test_markdown_has_every_arm_and_metric(board):
    text = render_markdown(board)
    for column in board.columns:
        assert f"## {column.name}\n" in text
    assert "- **qlora**: seed 0: oom" in text
    rows = [line for line in text.splitlines() if line.startswith("| lora |")]
    assert len(rows) == 2 + len(board.columns), "ranking, each metric, cost"
    assert "| lora | " + numbers.with_interval(row_of(board, "lora").cells["rouge_l"].estimate, (0.0, 1.0)) in text


# ---------------------------------------------------------------------------------------------------------- numbers


@pytest.mark.parametrize(
    ("value", "places", "sign", "expected"),
    [
        (0.84249, 3, False, "0.842"),
        (-0.0001, 3, True, "0.000"),
        (0.5, 3, True, "+0.500"),
        (1234.5, 1, False, "1,234.5"),
        (5e9, 0, False, "5.00e+09"),
        (math.inf, 1, False, "-"),
        (None, 1, False, "-"),
    ],
)
def test_numbers_have_sensible_digits(value, places, sign, expected):
    assert numbers.fixed(value, places, sign=sign) == expected


@pytest.mark.parametrize(
    ("function", "value", "expected"),
    [
        (numbers.count, 1234, "1,234"),
        (numbers.count, 56_700, "56.7k"),
        (numbers.count, 999_999, "1000k"),
        (numbers.count, 1_750_000, "1.75M"),
        (numbers.seconds, 0.0, "0"),
        (numbers.seconds, 0.417, "0.42"),
        (numbers.seconds, 12.34, "12.3"),
        (numbers.seconds, 7321.0, "7,321"),
        (numbers.megabytes, 300_000, "0.3"),
        (numbers.megabytes, 99_900_000, "100"),
        (numbers.megabytes, None, "-"),
        (numbers.probability, 0.00004, "<0.001"),
        (numbers.probability, 0.034, "0.034"),
        (numbers.probability, 1.0, "1.00"),
    ],
)
def test_counts_and_sizes(function, value, expected):
    assert function(value) == expected


def test_lm_evals_metrics_never_mix_with_ours_of_the_same_name(maker):
    theirs = [
        replace(one, metric="exact_match", filter=kind, value=1.0)
        for one in maker.scores
        if one.suite == "lm_eval:choice"
        for kind in ("none", "strict")
    ]
    maker.scores += theirs
    board = leaderboard(maker.results)
    names = [column.name for column in board.columns]
    assert {"exact_match", "choice/exact_match", "choice/exact_match,strict"} <= set(names)
    assert row_of(board, "lora").cells["choice/exact_match"].estimate.n == 30
    assert row_of(board, "lora").cells["exact_match"].estimate.n == 40
