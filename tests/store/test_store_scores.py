"""Scores as columns are the Scores that rows give, in whatever order and number they were stored."""

from __future__ import annotations

from dataclasses import replace

import pytest
from answer_counts import count_answers
from hypothesis import given, settings, strategies as st

from harness.records import Prediction, Score, ScoreColumns
from harness.results.collect import AnswerCounts
from harness.store import Store, scores as scores_module

ITEMS = ("a", "b'; --", "ü", "\x00", "")


def made(evaluation: str, item: str, metric: str = "rouge_l", value: float | None = 0.5, version: int = 1) -> Score:
    status = "ok" if value is not None else "missing"
    return Score(evaluation, "test", item, metric, "none", version, status, value)


def corpus(evaluation: str, item: str, total: float) -> Score:
    return Score(evaluation, "test", item, "bleu", "none", 1, "ok", None, (total, 1 / 3, 1e-300))


def same(store: Store, evaluations: list[str]) -> ScoreColumns:
    """The columns, which hold what rows hold: each metric of each evaluation in stored order."""
    columns = store.score_columns(evaluations)
    assert isinstance(columns, ScoreColumns)

    def sorted_by_kind(scores):
        return sorted(scores, key=lambda one: (one.suite, one.metric, one.filter, one.version, one.eval_id))

    assert sorted_by_kind(columns) == sorted_by_kind(store.scores(evaluations))
    assert len(columns) == len(store.scores(evaluations))
    return columns


def test_evaluations_that_are_alike(store: Store) -> None:
    rows = [
        score
        for evaluation in ("e2", "e1", "e3")
        for item in ("b", "a", "c")
        for score in (made(evaluation, item, value=len(evaluation + item) / 7), corpus(evaluation, item, 0.1))
    ]
    store.ingest(rows)
    columns = same(store, ["e1", "e2", "e3"])
    assert [block.metric for block in columns.blocks] == ["rouge_l", "bleu"]
    assert columns.blocks[0].items == ("b", "a", "c")
    assert columns.blocks[0].evaluations == ("e1", "e2", "e3")


def test_what_supersedes_keeps_the_place_of_what_it_supersedes(store: Store) -> None:
    store.ingest([made("e1", item) for item in "abc"] + [made("e2", item) for item in "abc"])
    store.ingest([made("e1", "a", value=0.9), made("e2", "c", value=None)])
    assert [(one.item, one.value) for one in same(store, ["e1"])] == [("a", 0.9), ("b", 0.5), ("c", 0.5)]
    same(store, ["e1", "e2"])


def test_other_evaluations_stay_out(store: Store) -> None:
    store.ingest([made(f"e{number}", item) for number in range(9) for item in "ab"])
    assert {one.eval_id for one in same(store, ["e3", "e7"])} == {"e3", "e7"}
    same(store, [f"e{number}" for number in range(8)])
    assert list(store.score_columns(["nobody"])) == []
    assert list(store.score_columns([])) == []


def test_statistics_of_differing_length_are_read_as_rows(store: Store) -> None:
    one = corpus("e1", "a", 1.0)
    rows = [one, replace(one, item="b", statistics=(1.0,))]
    store.ingest(rows)
    assert list(store.score_columns(["e1"])) == rows


def test_evaluations_that_share_few_items_are_read_as_rows(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.ingest([made("e1", "a"), made("e1", "b"), made("e2", "c")])
    monkeypatch.setattr(scores_module, "CELLS", 5)
    assert list(store.score_columns(["e1", "e2"])) == store.scores(["e1", "e2"])


def test_statistics_follow_what_supersedes_them(store: Store) -> None:
    store.ingest([corpus("e1", "a", 1.0), corpus("e1", "b", 2.0), made("e1", "a")])
    store.ingest([corpus("e1", "a", 3.0), replace(corpus("e1", "b", 0.0), statistics=None)])
    assert [one.statistics for one in same(store, ["e1"]) if one.metric == "bleu"] == [(3.0, 1 / 3, 1e-300), None]


scores = st.builds(
    lambda evaluation, item, metric, value, version: (
        corpus(evaluation, item, value or 0.0) if metric == "bleu" else made(evaluation, item, metric, value, version)
    ),
    st.sampled_from(("e1", "e2", "e3")),
    st.sampled_from(ITEMS),
    st.sampled_from(("rouge_l", "exact_match", "bleu")),
    st.none() | st.floats(-1e9, 1e9),
    st.sampled_from((1, 2**40)),
)


@settings(max_examples=25, deadline=None)
@given(batches=st.lists(st.lists(scores, max_size=12), min_size=1, max_size=3))
def test_any_batches_read_alike(tmp_path_factory: pytest.TempPathFactory, batches: list[list[Score]]) -> None:
    store = Store(tmp_path_factory.mktemp("any") / "store.duckdb")
    for batch in batches:
        store.ingest(batch)
    if store.counts()["scores"]:
        same(store, ["e1", "e2", "e3"])
        same(store, ["e2"])


def test_answers_are_counted_by_their_last_rows(store: Store) -> None:
    first = [Prediction("e1", item, "h", "t", "length", 1, 1, 0.1, truncated=True) for item in "ab"]
    store.ingest([*first, replace(first[0], eval_id="e2"), replace(first[0], eval_id="e3")])
    store.ingest([replace(first[1], finish="stop")])
    counts = {name: AnswerCounts(*numbers) for name, numbers in store.answer_counts(["e1", "e2", "e3"]).items()}
    bare = {name: replace(count, texts="", prompts="") for name, count in counts.items()}
    assert bare == count_answers(store.predictions(["e1", "e2", "e3"]))
    store.ingest(
        [
            Prediction("e4", item, "h", text, "stop", 1, 1, 0.1)
            for item, text in zip("ab", ("<think>x</think>y", "y"), strict=True)
        ]
    )
    assert AnswerCounts(*store.answer_counts(["e4"])["e4"]).thinking == 1
    assert bare["e1"] == AnswerCounts(2, 1, 2) and counts["e2"].texts == counts["e3"].texts != counts["e2"].prompts


@pytest.mark.parametrize("others", [("u", "u"), ("t", "u"), ("u", "t")])
def test_other_answers_have_another_hash(store: Store, others: tuple[str, str]) -> None:
    rows = [Prediction("e1", item, "h", "t", "stop", 1, 1, 0.1) for item in "ab"]
    store.ingest([*rows, *(replace(row, eval_id="e2", text=text) for row, text in zip(rows, others, strict=True))])
    counts = {name: AnswerCounts(*numbers) for name, numbers in store.answer_counts(["e1", "e2"]).items()}
    assert counts["e1"].texts != counts["e2"].texts and counts["e1"].prompts == counts["e2"].prompts


def test_a_store_that_is_open_answers_as_one_that_opens(store: Store) -> None:
    store.ingest([made("e1", "a")])
    with store.opened() as held:
        assert held.scores(["e1"]) == [made("e1", "a")]
        assert list(held.score_columns(["e1"])) == [made("e1", "a")]
        assert held.counts() == {**held.counts(), "scores": 1}
