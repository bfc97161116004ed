"""Lists of scores and counts of answers say what the rows say, whenever they were taken in."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from answer_counts import count_answers
from hypothesis import given, settings
from hypothesis import strategies as st

from harness import store_lists, store_scores
from harness.records import Prediction, Score, ScoreColumns
from harness.report import AnswerCounts
from harness.store import Store

EVALUATIONS = ("e1", "e2", "e3")


@contextmanager
def taking_in(rows: int) -> Iterator[None]:
    """Lists are made once so many rows wait."""
    usual, store_lists.MANY = store_lists.MANY, rows
    try:
        yield
    finally:
        store_lists.MANY = usual


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A store that makes lists of everything at once."""
    with taking_in(1):
        yield Store(tmp_path / "store.duckdb")


def made(evaluation: str, item: str, metric: str = "rouge_l", value: float | None = 0.5, version: int = 1) -> Score:
    return Score(evaluation, "test", item, metric, "none", version, "ok" if value is not None else "missing", value)


def corpus(evaluation: str, item: str, total: float, value: float | None = None) -> Score:
    return Score(evaluation, "test", item, "bleu", "none", 1, "ok", value, (total, 1 / 3, 1e-300))


def whole(*evaluations: str, items: str = "bac", value: float = 0.25) -> list[Score]:
    """Two metrics of every item, item by item."""
    rows = []
    for place, item in enumerate(items):
        for evaluation in evaluations:
            rows += [made(evaluation, item, value=value + place), corpus(evaluation, item, value * place)]
    return rows


def listed(store: Store, evaluations: list[str]) -> ScoreColumns | None:
    """What lists alone say."""
    with store._file.open() as cursor:
        return store_lists.score_columns(cursor, evaluations)


def of_rows(store: Store, evaluations: list[str]) -> ScoreColumns | None:
    with store._file.open() as cursor:
        return store_scores.columns_of_rows(cursor, tuple(evaluations))


def same(ours: ScoreColumns | None, theirs: ScoreColumns | None) -> None:
    """To the last bit, order included."""
    assert ours is not None and theirs is not None
    assert len(ours.blocks) == len(theirs.blocks)
    for a, b in zip(ours.blocks, theirs.blocks, strict=True):
        for name in ("suite", "metric", "filter", "version", "evaluations", "items"):
            assert getattr(a, name) == getattr(b, name)
        for name in ("present", "ok", "values", "valued"):
            assert getattr(a, name).dtype == getattr(b, name).dtype
            np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
        assert (a.statistics is None) == (b.statistics is None)
        if a.statistics is not None:
            np.testing.assert_array_equal(a.statistics, b.statistics)
            np.testing.assert_array_equal(a.counted, b.counted)
        for row in range(len(a.evaluations)):
            assert list(a.scores(row)) == list(b.scores(row))


def count(store: Store, table: str) -> int:
    with store._file.open() as cursor:
        return int(cursor.execute(f"SELECT count(*) FROM {table}").fetchone()[0])


def test_lists_are_the_columns_of_the_rows(store: Store) -> None:
    store.ingest(whole("e2", "e1", "e3"))
    for wanted in (["e1", "e2", "e3"], ["e3"], ["e3", "e1"], ["e3", "nobody"]):
        same(listed(store, wanted), of_rows(store, wanted))
    found = listed(store, ["nobody"])
    assert found is not None and list(found) == []
    assert (count(store, "score_lists"), count(store, "item_lists")) == (6, 1)


def test_a_few_rows_wait_and_are_read_all_the_same(tmp_path: Path) -> None:
    store = Store(tmp_path / "store.duckdb")
    with taking_in(12):
        store.ingest(whole("e1"))
        assert count(store, "score_lists") == 0 and listed(store, ["e1"]) is None
        assert store.score_columns(["e1"]) is not None
        store.ingest(whole("e2"))
        assert count(store, "score_lists") == 4
        store.ingest(whole("e3", items="xy"))
        assert count(store, "score_lists") == 4  # three are read from the rows that wait
        assert {score.eval_id for score in listed(store, ["e2", "e3"]) or ()} == {"e2", "e3"}
        same(listed(store, ["e1", "e2"]), of_rows(store, ["e1", "e2"]))
        same(listed(store, ["e3"]), of_rows(store, ["e3"]))


@pytest.mark.parametrize("waits", [False, True])
def test_what_supersedes_makes_a_list_that_supersedes(store: Store, waits: bool) -> None:
    store.ingest(whole("e1", "e2"))
    with taking_in(10**9 if waits else 1):
        store.ingest([made("e1", "a", value=0.9), made("e1", "d", value=0.8), made("e2", "b", version=2)])
    assert count(store, "score_lists") == (4 if waits else 6)
    same(listed(store, ["e1"]), of_rows(store, ["e1"]))
    same(listed(store, ["e2"]), of_rows(store, ["e2"]))
    found = listed(store, ["e1", "e2"])
    assert found is not None
    key = lambda one: (one.eval_id, one.metric, one.version)  # noqa: E731
    assert sorted(found, key=key) == sorted(store.scores(["e1", "e2"]), key=key)
    store.ingest([made("e3", "a")])  # takes in what waited
    same(listed(store, ["e1"]), of_rows(store, ["e1"]))


@pytest.mark.parametrize(
    "odd",
    [
        [made("e1", "a"), made("e1", "b", value=None)],
        [made("e1", "a"), replace(made("e1", "b"), status="missing")],
        [corpus("e1", "a", 1.0), replace(corpus("e1", "b", 1.0), statistics=None)],
        [corpus("e1", "a", 1.0), replace(corpus("e1", "b", 1.0), statistics=(1.0,))],
        [replace(corpus("e1", "a", 1.0), statistics=())],
    ],
)
def test_what_a_list_cannot_say_is_read_from_the_rows(store: Store, odd: list[Score]) -> None:
    store.ingest(odd)
    assert listed(store, ["e1"]) is None
    order = lambda one: (one.metric, one.item)  # noqa: E731
    assert sorted(store.score_columns(["e1"]), key=order) == sorted(store.scores(["e1"]), key=order)
    store.ingest(whole("e2"))
    same(listed(store, ["e2"]), of_rows(store, ["e2"]))  # others are none the slower for it


def test_rows_that_supersede_others_of_their_batch(store: Store) -> None:
    store.ingest([corpus("e1", "a", 1.0), corpus("e1", "b", 1.0), corpus("e1", "a", 2.0), corpus("e2", "a", 1.0)])
    found = listed(store, ["e1", "e2"])
    assert found is not None and list(found) == store.scores(["e1", "e2"])


def test_one_list_of_no_values_beside_one_of_values(store: Store) -> None:
    store.ingest([corpus("e1", "a", 1.0), corpus("e2", "a", 1.0, value=0.5), made("e3", "a")])
    same(listed(store, ["e1", "e2", "e3"]), of_rows(store, ["e1", "e2", "e3"]))


def test_rows_that_no_list_took_in_leave_reading_to_the_rows(store: Store) -> None:
    store.ingest(whole("e1"))
    with store._file.open() as cursor:
        cursor.execute("INSERT INTO scores SELECT * REPLACE (1 AS seq, 'e9' AS eval_id) FROM scores LIMIT 1")
    assert listed(store, ["e1"]) is None
    assert {score.eval_id for score in store.score_columns(["e1", "e9"])} == {"e1", "e9"}


def test_a_store_without_lists_gets_them_with_the_next_rows(tmp_path: Path) -> None:
    path = tmp_path / "store.duckdb"
    old = Store(path)
    old.ingest([*whole("e1"), Prediction("e1", "a", "h", "t", "stop", 1, 1, 0.1)])
    before = old.state("x1")
    connection = duckdb.connect(str(path))
    for table in ("score_lists", "item_lists", "answer_lists"):
        connection.execute(f"DROP TABLE {table}")
    connection.execute("DELETE FROM schema_migrations WHERE version >= 9")
    connection.close()
    store = Store(path)
    assert list(store.score_columns(["e1"])) == list(of_rows(store, ["e1"]) or ())
    assert store.state("x1") == before
    with taking_in(1):
        store.ingest([made("e2", "a"), Prediction("e2", "a", "h", "t", "stop", 1, 1, 0.1)])
    same(listed(store, ["e1"]), of_rows(store, ["e1"]))
    assert store.answer_counts(["e1", "e2"]) == {"e1": (1, 0, 0), "e2": (1, 0, 0)}


def test_a_batch_that_fails_leaves_no_list(store: Store) -> None:
    broken = Prediction("e1", "a", "h", None, "stop", 1, 1, 0.1)  # type: ignore[arg-type]
    with pytest.raises(Exception, match="NOT NULL"):
        store.ingest([broken, *whole("e1")])
    assert (count(store, "scores"), count(store, "score_lists")) == (0, 0)


items = st.lists(st.sampled_from(("a", "b'; --", "ü", "\x00", "", ",", '","')), min_size=1, max_size=4, unique=True)
values = st.floats(-1e9, 1e9)


@st.composite
def batches(draw: st.DrawFn) -> list[list[Score]]:
    """Evaluations scored whole, in any order and number, some of them more than once."""
    found = []
    for _ in range(draw(st.integers(1, 3))):
        batch = []
        for evaluation in draw(st.lists(st.sampled_from(EVALUATIONS), max_size=3, unique=True)):
            version, names = draw(st.sampled_from((1, 2**40))), draw(items)
            batch += [made(evaluation, item, value=draw(values), version=version) for item in names]
            if draw(st.booleans()):
                batch += [corpus(evaluation, item, draw(values), draw(values)) for item in draw(items)]
        found.append(batch)
    return found


@settings(max_examples=20, deadline=None)
@given(batches=batches(), rows=st.sampled_from((1, 6)), wanted=st.permutations(EVALUATIONS), some=st.integers(1, 3))
def test_any_batches_say_the_same(
    tmp_path_factory: pytest.TempPathFactory,
    batches: list[list[Score]],
    rows: int,
    wanted: list[str],
    some: int,
) -> None:
    store = Store(tmp_path_factory.mktemp("any") / "store.duckdb")
    with taking_in(rows):
        for batch in batches:
            store.ingest(batch)
    ours, theirs = listed(store, wanted[:some]), of_rows(store, wanted[:some])
    assert (ours is None) == (count(store, "score_lists") == 0)
    if ours is None:
        return

    def by_kind(scores: Sequence[Score]) -> dict[Any, list[Score]]:
        kinds: dict[Any, list[Score]] = {}
        for one in scores:
            kinds.setdefault((one.eval_id, one.metric, one.version), []).append(one)
        return kinds

    assert by_kind(ours) == by_kind(store.scores(wanted[:some]))
    if theirs is not None:  # as where rows with statistics are superseded
        assert [(a.metric, a.version) for a in ours.blocks] == [(b.metric, b.version) for b in theirs.blocks]


@pytest.mark.parametrize("waits", [False, True])
def test_counts_of_answers_follow_what_supersedes(store: Store, waits: bool) -> None:
    first = [Prediction("e1", item, "h", "t", "length", 1, 1, 0.1, truncated=True) for item in "ab"]
    store.ingest([*first, replace(first[0], eval_id="e2"), replace(first[0], eval_id="e2", finish="stop")])
    with taking_in(10**9 if waits else 1):
        store.ingest([replace(first[1], finish="stop"), replace(first[0], eval_id="e3")])
    with store._file.open() as cursor:
        found = store_lists.answer_counts(cursor, [*EVALUATIONS, "nobody"])
    assert found is not None
    counts = {one: AnswerCounts(*numbers) for one, numbers in found.items()}
    assert counts == count_answers(store.predictions(EVALUATIONS))
    assert counts["e1"] == AnswerCounts(2, 1, 2)


def test_the_state_of_an_experiment_is_that_of_its_rows(store: Store) -> None:
    from harness.records import Entry

    store.ingest([Entry("x1", "lora", 0, "t1", 1, "ok", "e1"), *whole("e1", "e2")])
    state = store.state("x1")
    store.ingest(whole("e3"))
    assert store.state("x1") == state
    with taking_in(10**9):
        store.ingest([made("e1", "a", value=0.7)])
    late = store.state("x1")
    assert late != state
    store.ingest([made("e3", "z")])  # takes in the row that waited
    assert store.state("x1") == late
