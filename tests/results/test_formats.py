"""CSV and LaTeX of the leaderboard, the verdict's lines, and boards whose intervals are about methods."""

from __future__ import annotations

import csv
import io
import re
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from harness import stats
from harness.records import WinnerRule
from harness.results.leaderboard.board import leaderboard
from harness.results.render import writers
from harness.results.render.leaderboard import render_markdown, to_csv, to_latex, to_text
from harness.results.render.words import verdict_lines


@pytest.fixture(scope="module")
def board(results):
    return leaderboard(results)


@pytest.fixture(scope="module")
def methods(make):
    """Three seeds of every trained arm but dpo, which has two."""
    maker = make(examples=24, seeds=(0, 1, 2))
    place = next(i for i, one in enumerate(maker.entries) if (one.arm, one.seed) == ("dpo", 2))
    maker.entries[place] = replace(maker.entries[place], status="diverged", eval_id=None)
    return maker.results


def row_of(board, arm):
    return next(row for row in board.rows if row.arm == arm)


# ------------------------------------------------------------------------------------------------------------- csv


def test_csv_keeps_all_digits_and_the_reason_of_what_is_absent(board):
    rows = {(row["arm"], row["metric"]): row for row in csv.DictReader(io.StringIO(to_csv(board)))}
    assert len(rows) == len(board.rows) * len(board.columns)
    cell = row_of(board, "lora").cells["bleu"]
    row = rows["lora", "bleu"]
    assert [float(row[name]) for name in ("value", "low", "high", "difference_low")] == [
        cell.estimate.value,
        cell.estimate.low,
        cell.estimate.high,
        cell.difference.low,
    ]
    assert (row["n"], row["clusters"], row["seeds"], row["estimand"]) == ("40", "20", "1", "checkpoints")
    assert (rows["qlora", "rouge_l"]["value"], rows["qlora", "rouge_l"]["reason"]) == ("", "no evaluation")
    assert rows["untrained", "rouge_l"]["difference"] == ""


def test_csv_cells_are_one_line_and_no_formula(board):
    hostile = replace(board, reference="=1+1\nx", experiment=replace(board.experiment, name='@SUM("a,b")'))
    rows = list(csv.DictReader(io.StringIO(to_csv(hostile))))
    assert {row["reference"] for row in rows} == {"'=1+1 x"}
    assert {row["experiment"] for row in rows} == {'\'@SUM("a,b")'}


# ----------------------------------------------------------------------------------------------------------- latex


@given(st.text())
def test_escaped_text_holds_no_command_of_its_own(text):
    escaped = writers.escape(text)
    ours = re.compile("|".join(re.escape(own) for own in sorted(writers._ESCAPES.values(), key=len, reverse=True)))
    assert not set(ours.sub("", escaped)) & set("\\{}$&#%_~^\n\r")


def test_latex_is_a_booktabs_table_with_a_row_for_every_scored_arm(board):
    text = to_latex(board)
    for rule in (r"\toprule", r"\midrule", r"\bottomrule", r"\begin{tabular}", r"\end{table}"):
        assert text.count(rule) == 1
    body = text.split(r"\midrule\n".replace(r"\n", "\n"))[1].split(r"\bottomrule")[0].strip().splitlines()
    assert [line.split(" & ")[0] for line in body] == ["lora", "full", "dpo$^{+}$", r"few\_shot", "untrained"]
    columns = re.search(r"\\begin{tabular}{(l r*|lr*)}", text)[1]
    assert {line.count("&") for line in body} == {len(columns) - 1}
    assert r"qlora has no result (oom)." in text
    assert "rouge\\_l $\\uparrow$" in text
    assert "−" not in text, "a minus sign is written for LaTeX"


def test_latex_escapes_names_and_verdict(board):
    verdict = replace(board.verdict, words="take a_b, 38 % of c & d's {memory}")
    text = to_latex(replace(board, verdict=verdict, reference="100%_x"))
    assert r"take a\_b, 38 \% of c \& d's \{memory\}" in text
    assert r"minus 100\%\_x [95\,\%]" in text


# --------------------------------------------------------------------------------------------------------- methods


def test_three_seeds_make_every_interval_one_about_methods(methods):
    board = leaderboard(methods)
    assert (board.question, board.verdict.estimand) == ("method", "method")
    table = {}
    for arm in ("full", "untrained"):
        ids = [one.eval_id for one in methods.entries if one.arm == arm]
        table[arm] = [
            [one.value for one in methods.scores if (one.eval_id, one.metric) == (eval_id, "rouge_l")]
            for eval_id in ids
        ]
    groups = [methods.groups[f"e{number}"] for number in range(24)]
    full, known = stats.method_arm(table["full"], groups, trained=True)
    untrained, _ = stats.method_arm(table["untrained"], groups, trained=False)
    less = stats.subtract(full, untrained)
    expected = stats.arm_estimate(less, known, "mean of paired differences", (-1.0, 1.0))
    found = row_of(board, "full").cells["rouge_l"].difference
    assert (found.value, found.low, found.high) == pytest.approx((expected.value, expected.low, expected.high))
    assert found.method == expected.method
    assert "this method, 3 seeds" in row_of(board, "full").cells["bleu"].estimate.method
    assert row_of(board, "full").cells["rouge_l"].p_value is not None
    assert verdict_lines(board.verdict)[0].startswith("Verdict on these methods: ")


def test_an_arm_with_two_seeds_has_a_value_and_says_what_it_lacks(methods):
    board = leaderboard(methods)
    cell = row_of(board, "dpo").cells["rouge_l"]
    assert (cell.estimate.low, cell.estimate.high, cell.difference) == (None, None, None)
    assert cell.difference_reason == "dpo has 2 seeds, and a statement about a method takes three"
    assert "dpo" in board.verdict.open
    assert "[-]" in to_text(board)


def test_a_rule_about_checkpoints_keeps_them(methods):
    rule = {"margin": 0.0, "cost": "total_seconds", "estimand": "checkpoints", "declared": "2026-01-01T00:00:00Z"}
    spec = {**methods.experiment.spec, "winner_rules": [rule]}
    board = leaderboard(replace(methods, experiment=replace(methods.experiment, spec=spec)))
    assert board.question == "checkpoints"
    assert board.verdict.rule == WinnerRule(**rule)
    assert row_of(board, "dpo").cells["rouge_l"].estimate.low is not None


# ------------------------------------------------------------------------------------------------ verdict and ranks


def test_the_board_opens_with_the_verdict(board):
    value = row_of(board, "lora").cells["rouge_l"].estimate.value
    assert to_text(board).splitlines()[:4] == [
        f"Verdict on these checkpoints: not enough data to tell lora from full: about {board.verdict.more_examples:,} "
        "more test examples.",
        f"Best rouge_l so far: lora, {value:.3g}. qlora has no result.",
        "Default winner rule (every difference matters): no rule was declared before the run.",
        "",
    ]
    assert render_markdown(board).splitlines()[2].startswith("**Verdict on these checkpoints: not enough data")


def test_ranks_and_chances_belong_together(board):
    ranked = [row for row in board.rows if row.evaluations]
    assert sum(row.best_probability for row in ranked) == pytest.approx(1)
    for place, row in enumerate(ranked, 1):
        assert row.ranks[0] <= place <= row.ranks[1]
    assert row_of(board, "untrained").ranks == (5, 5)
    assert (row_of(board, "qlora").ranks, row_of(board, "qlora").best_probability) == (None, None)
