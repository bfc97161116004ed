"""A board from columns is the board from rows, and all pairs at once give the verdict of pairs one by one."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from harness.records import ScoreBlock, ScoreColumns
from harness.results.collect import collect
from harness.results.leaderboard.board import leaderboard
from harness.results.score_table import ColumnTable, series, tabulate
from harness.results.winner import contest
from harness.results.winner.pairs import ManyComparer
from harness.store import Store


def stored(maker, folder: Path) -> Store:
    store = Store(folder / "store.duckdb")
    truth = maker.results
    store.ingest([truth.experiment, *maker.runs, *maker.entries, *maker.predictions, *maker.scores, *truth.looks])
    return store


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
def test_the_board_is_the_same(make, tmp_path: Path, seeds: tuple[int, ...]) -> None:
    store = stored(make(seeds=seeds), tmp_path)
    rows, columns = collect(store, "x1"), collect(store, "x1", columns=True)
    assert isinstance(columns.scores, ScoreColumns) and isinstance(rows.scores, list)
    assert leaderboard(columns) == leaderboard(rows)


def test_a_board_makes_no_records_of_scores_that_it_does_not_show(
    maker, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A thousand runs of a thousand examples are millions of them, and took half a minute."""
    results = collect(stored(maker, tmp_path), "x1", columns=True)
    made: list[int] = []
    own = ScoreBlock.scores
    monkeypatch.setattr(ScoreBlock, "scores", lambda self, row: made.append(row) or own(self, row))
    board = leaderboard(results)
    assert board.rows and not made
    assert dict(tabulate(results.scores)["eval-lora-0"]) and made


def test_missing_values_and_other_orders_make_the_same_series(maker, tmp_path: Path) -> None:
    lora = [one for one in maker.scores if one.eval_id == "eval-lora-0"]
    others = [one for one in maker.scores if one.eval_id != "eval-lora-0"]
    gone = [replace(one, status="missing", value=None) if one.item in ("e3", "e7") else one for one in lora[::-1]]
    maker.scores = [*others, *(one for one in gone if one.item != "e9")]
    store = stored(maker, tmp_path)
    evaluations = [entry.eval_id for entry in maker.entries if entry.eval_id]
    slow, fast = tabulate(store.scores(evaluations)), tabulate(store.score_columns(evaluations))
    assert isinstance(fast, ColumnTable) and set(fast) == set(slow)
    for evaluation in evaluations:
        assert set(fast[evaluation]) == set(slow[evaluation])
        for name in (*slow[evaluation], "chrf"):
            ours, theirs = (series(table, [evaluation, "eval-lora-0"], name) for table in (fast, slow))
            if isinstance(theirs, str):
                assert ours == theirs
                continue
            assert (ours.items, ours.missing) == (theirs.items, theirs.missing)
            assert (ours.data == theirs.data).all()
            assert dict(fast[evaluation].get(name, {})) == dict(slow[evaluation].get(name, {}))
    assert series(fast, [], "rouge_l") == "no evaluation"
    assert series(fast, ["nobody"], "rouge_l") == "not scored"


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2)])
@pytest.mark.parametrize("primary", ["rouge_l", "exact_match", "perplexity"])
def test_pairs_at_once_give_the_same_verdict(
    make, seeds: tuple[int, ...], primary: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    maker = make(seeds=seeds)
    maker.task["metrics"] = {**maker.task["metrics"], "primary": primary}
    at_once = leaderboard(maker.results).verdict
    asked = []
    monkeypatch.setattr(contest.Comparisons, "differences", lambda self, arms, level: asked.append(level), raising=True)
    assert isinstance(contest.Comparisons.__new__(contest.Comparisons), ManyComparer)
    assert leaderboard(maker.results).verdict == at_once
    assert asked
