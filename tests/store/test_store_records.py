"""What is written is what is read: every record, twice, superseded, in any mix."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb
import pytest
from hypothesis import given, settings, strategies as st
from store_samples import experiment, look, one_of_each, run, vote

from harness import redaction
from harness.errors import StoreError
from harness.records import (
    Entry,
    Evaluation,
    Likelihood,
    Prediction,
    RunRecord,
    Score,
    SealedAccess,
    TrainLog,
    TrainLogRow,
)
from harness.store import Store
from harness.store.tables import TABLES, columns


def read_back(store: Store) -> list[object]:
    """Everything that `one_of_each` stored, in its order."""
    return [
        *store.experiments(),
        *store.entries("notes-1"),
        *store.trials("notes-1"),
        *store.runs(["t1", "t2"]),
        *store.train_logs(["t1"]),
        *store.evaluations(["e1"]),
        *store.predictions(["e1"]),
        *store.likelihoods(["e1"]),
        *store.scores(["e1"]),
        *store.looks("notes-1"),
        *store.sentinels("s" * 16),
        *store.serving("notes-1"),
        *store.gates(),
        *store.parities("e1"),
    ]


def test_every_record_comes_back_as_it_was(store: Store) -> None:
    records = one_of_each()
    assert store.ingest(records) == len(records) + 1  # the training log has two rows
    assert read_back(store) == records
    types = [type(value) for value in dataclasses.astuple(store.scores(["e1"])[0])]
    assert types == [str, str, str, str, str, int, str, float, tuple]


def test_a_second_ingest_stores_nothing(store: Store) -> None:
    store.ingest(one_of_each())
    before = store.counts()
    assert store.ingest(one_of_each()) == 0
    assert store.ingest(list(reversed(one_of_each())) * 2) == 0
    assert store.counts() == before
    assert before["train_log"] == 2 and before["judgments"] == 0


def test_nothing_asked_nothing_found(store: Store) -> None:
    assert store.ingest([]) == 0
    assert not store.path.exists()
    assert store.experiments() == [] and store.predictions([]) == [] and store.runs(["none"]) == []
    assert not store.has_evaluation("e1")


def test_a_correction_supersedes_and_a_replay_does_not_undo_it(store: Store) -> None:
    first = [Prediction("e1", f"x{i}", "ph", "old", "stop", 1, 1, 0.0) for i in range(3)]
    better = dataclasses.replace(first[0], text="new")
    store.ingest(first)
    assert store.ingest([better]) == 1
    assert store.predictions(["e1"]) == [better, first[1], first[2]]
    assert store.ingest(first) == 0
    assert store.predictions(["e1"]) == [better, first[1], first[2]]
    assert store.counts()["predictions"] == 4


def test_null_is_a_value_when_rows_are_compared(store: Store) -> None:
    missing = Score("e1", "test", "x", "m", "none", 1, "missing", None)
    store.ingest([missing])
    assert store.ingest([missing]) == 0
    assert store.ingest([dataclasses.replace(missing, status="ok", value=0.5)]) == 1
    assert [score.value for score in store.scores(["e1"])] == [0.5]


def test_entries_state_the_present_and_may_go_back(store: Store) -> None:
    one = Entry("n", "lora", None, "t1", 1, "ok", "e1")
    two = dataclasses.replace(one, eval_id="e2")
    other = dataclasses.replace(one, arm="full")
    store.ingest([one, other])
    assert store.ingest([one]) == 0
    assert store.ingest([two]) == 1
    assert store.entries("n") == [two, other]
    assert store.ingest([one]) == 1
    assert store.entries("n") == [one, other]
    store.ingest([one, two, one])
    assert store.entries("n") == [one, other]


def test_an_experiment_is_found_by_id_and_by_its_newest_name(store: Store) -> None:
    old, new = experiment(number=1), experiment(number=2)
    store.ingest([old])
    store.ingest([new, experiment("other", 3)])
    assert store.experiment("notes") == new
    assert store.experiment("notes-1") == old
    again = dataclasses.replace(old, created="2026-02-01T00:00:00Z")
    store.ingest([again])
    assert store.experiment("notes") == again
    assert [record.experiment_id for record in store.experiments()] == ["notes-2", "other-3", "notes-1"]


def test_an_unknown_experiment_names_the_nearest(store: Store) -> None:
    store.ingest([experiment("visit_notes"), experiment("docstrings")])
    with pytest.raises(StoreError) as caught:
        store.experiment("visit-note")
    assert "Did you mean visit_notes?" in str(caught.value) and "harness store info" in str(caught.value)
    assert "docstrings" not in str(caught.value)


def test_train_logs_come_by_attempt_and_without_those_that_are_not_there(store: Store) -> None:
    one = TrainLog("a", 1, (TrainLogRow(1, 8, 80, 0.5, loss=2.0), TrainLogRow(2, 16, 160, 1.0, loss=1.5)))
    two = TrainLog("a", 2, (TrainLogRow(1, 8, 80, 0.5, loss=2.5),))
    store.ingest([one, two, TrainLog("b", 1, (TrainLogRow(1, 8, 80, 0.5, loss=9.0),))])
    assert store.train_logs(["a", "none"]) == [one, two]
    assert store.train_logs([]) == []


def test_train_log_keeps_both_rows_of_a_step_and_the_last_repetition(store: Store) -> None:
    loss, validation = TrainLogRow(4, 8, 9, 1.0, loss=2.0), TrainLogRow(4, 8, 9, 1.1, validation_loss=1.9)
    repeated = dataclasses.replace(loss, seconds=7.0)
    store.ingest([TrainLog("t", 1, (loss, validation))])
    assert store.ingest([TrainLog("t", 1, (loss, validation, repeated)), TrainLog("t", 2, (loss,))]) == 2
    assert [log.rows for log in store.train_logs(["t"])] == [(validation, repeated), (loss,)]


def test_looks_are_all_counted(store: Store) -> None:
    store.ingest([look(1), look(2)])
    store.ingest([look(2), dataclasses.replace(look(3), experiment="another")])
    assert [item.when for item in store.looks()] == ["1", "2", "3"]
    assert store.looks("another") == [dataclasses.replace(look(3), experiment="another")]


def test_an_unmeasurable_number_survives(store: Store) -> None:
    log = TrainLog("t", 1, (TrainLogRow(1, 1, 1, 0.1, loss=math.nan, gradient_norm=math.inf),))
    store.ingest([log])
    assert store.ingest([log]) == 0
    ((row,),) = [log.rows for log in store.train_logs(["t"])]
    assert row.loss is not None and math.isnan(row.loss) and row.gradient_norm == math.inf


def test_what_cannot_be_stored_is_named_and_nothing_of_the_batch_is_stored(store: Store) -> None:
    good = Prediction("e1", "x1", "ph", "fine", "stop", 1, 1, 0.0)
    for bad, field in [
        (dataclasses.replace(good, text="half a pair \ud800"), "Prediction.text"),
        (dataclasses.replace(good, tokens_in=2**70), "Prediction.tokens_in"),
        (Evaluation("e1", "t", "a", "s", {"stop": object()}, {}, "now"), "Evaluation.generation"),
    ]:
        with pytest.raises(StoreError, match=field) as caught:
            store.ingest([good, bad])
        assert "\n" not in str(caught.value)
    assert store.predictions(["e1"]) == []


def test_a_missing_value_stores_nothing_of_the_batch(store: Store) -> None:
    with pytest.raises(StoreError, match="NOT NULL"):
        store.ingest([experiment(), SealedAccess("e1", "n", "lora", "me", "why", None)])  # type: ignore[arg-type]
    assert store.experiments() == []


def test_what_duckdb_says_of_a_sensitive_row_is_not_repeated(store: Store) -> None:
    for sensitive in (True, False):
        with redaction.texts(sensitive), pytest.raises(StoreError, match="Constraint Error") as caught:
            store.ingest([SealedAccess("e1", "n", "lora", "me", "why", None)])  # type: ignore[arg-type]
        assert ("NOT NULL" not in str(caught.value)) is sensitive


def test_records_without_a_table_and_votes_are_refused(store: Store) -> None:
    with pytest.raises(TypeError, match="no table for dict"):
        store.ingest([{}])
    with pytest.raises(TypeError, match="session"):
        store.ingest([vote()])


def test_twenty_thousand_rows_in_one_batch(store: Store) -> None:
    scores = [Score("e1", "test", f"x{i}", "m", "none", 1, "ok", i / 7, (1.0, i / 3)) for i in range(20_000)]
    assert store.ingest(scores) == 20_000
    assert store.ingest(scores) == 0
    assert store.scores(["e1"]) == scores


def test_every_table_has_a_column_for_every_field(store: Store) -> None:
    store.counts()
    types = {"text": "VARCHAR", "integer": "BIGINT", "double": "DOUBLE", "boolean": "BOOLEAN", "json": "JSON"}
    connection = duckdb.connect(str(store.path))
    try:
        for table in TABLES.values():
            described = {row[0]: row[1] for row in connection.execute(f"DESCRIBE {table.name}").fetchall()}
            assert described == {"seq": "BIGINT", **{name: types[kind] for name, kind in columns(table).items()}}
        indexes = connection.execute("SELECT count(*) FROM duckdb_indexes()").fetchone()
        assert indexes == (0,)
    finally:
        connection.close()


NAMES = st.sampled_from(["a", "b", "ü"])
INTEGERS = st.integers(-(2**63), 2**63 - 1)
NUMBERS = st.floats(allow_nan=False).map(lambda number: number + 0.0)  # no negative zero: SQL and JSON disagree on it
PREDICTIONS = st.builds(
    Prediction, NAMES, NAMES, st.text(), st.text(), st.sampled_from(["stop", "length"]), INTEGERS, INTEGERS, NUMBERS
)
SCORES = st.builds(
    Score, NAMES, NAMES, NAMES, NAMES, st.just("none"), st.integers(1, 2), st.just("ok"),
    st.none() | NUMBERS, st.none() | st.lists(NUMBERS, max_size=4).map(tuple),
)  # fmt: skip
LIKELIHOODS = st.builds(Likelihood, NAMES, NAMES, NAMES, st.integers(0, 1), NAMES, NUMBERS, INTEGERS, INTEGERS)
RUNS = st.builds(run, NAMES, st.integers(1, 2), error=st.none() | st.text(), notes=st.lists(st.text()).map(tuple))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.lists(PREDICTIONS | SCORES | LIKELIHOODS | RUNS, max_size=12), min_size=1, max_size=3))
def test_any_batches_read_as_a_dictionary_of_last_rows(batches: list[list[object]]) -> None:
    """The store against its model: dictionaries by natural key, a row seen before changes nothing."""
    keys = {
        Prediction: ("eval_id", "example"),
        Likelihood: ("eval_id", "suite", "item", "continuation", "role"),
        Score: ("eval_id", "suite", "item", "metric", "filter", "version"),
        RunRecord: ("train_id", "attempt"),
    }
    seen: list[object] = []
    model: dict[type, dict[tuple[object, ...], object]] = {kind: {} for kind in keys}
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "s.duckdb")
        for batch in batches:
            new = 0
            for record in batch:
                if record not in seen:
                    seen.append(record)
                    new += 1
                    key = tuple(getattr(record, name) for name in keys[type(record)])
                    model[type(record)][key] = record
            assert store.ingest(batch) == new
        ids = ["a", "b", "ü"]
        assert store.predictions(ids) == list(model[Prediction].values())
        assert store.likelihoods(ids) == list(model[Likelihood].values())
        assert store.scores(ids) == list(model[Score].values())
        assert store.runs(ids) == list(model[RunRecord].values())
