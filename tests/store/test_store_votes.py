"""Votes: on disk twice before they are acknowledged, once in the store however often they are sent."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given, settings, strategies as st
from store_samples import cast_votes, vote

from harness.errors import StoreError
from harness.records import Judgment, to_json
from harness.store import Store, journal


def test_a_vote_stands_in_journal_and_database(store: Store) -> None:
    assert cast_votes(store, vote(1))
    assert store.judgments() == [vote(1)]
    assert [json.loads(line) for line in store.journal_path.read_text().splitlines()] == [to_json(vote(1))]


class FailingCommit:
    """A cursor whose transactions come to nothing at their end."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, query: str, *parameters: Any) -> Any:
        if query == "COMMIT":
            raise duckdb.IOException("the disk is gone")
        return self._cursor.execute(query, *parameters)


def test_a_vote_is_in_the_journal_before_it_is_committed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = store._file.open

    @contextmanager
    def failing() -> Iterator[FailingCommit]:
        with opened() as cursor:
            yield FailingCommit(cursor)

    store.counts()  # makes the file, which commits too
    monkeypatch.setattr(store._file, "open", failing)
    with pytest.raises(StoreError):
        cast_votes(store, vote(1))
    monkeypatch.undo()
    assert store.judgments() == []
    assert [json.loads(line) for line in store.journal_path.read_text().splitlines()] == [to_json(vote(1))]
    assert store.rebuild_journal() == 1 and store.judgments() == [vote(1)]


def test_a_vote_sent_twice_votes_once(store: Store) -> None:
    cast_votes(store, vote(1))
    assert not cast_votes(store, vote(1))
    assert not cast_votes(store, dataclasses.replace(vote(1), id="another", winner="right"))
    assert not cast_votes(store, dataclasses.replace(vote(1), assignment="elsewhere"))
    assert store.judgments(all_revisions=True) == [vote(1)]
    assert len(store.journal_path.read_text().splitlines()) == 1


def test_the_last_revision_counts(store: Store) -> None:
    second = dataclasses.replace(vote(1), id="again", revision=2, winner="skip", comment=None, flags=())
    for each in (vote(1), vote(2), second):
        assert cast_votes(store, each)
    assert store.judgments() == [second, vote(2)]
    assert store.judgments(all_revisions=True) == [vote(1), vote(2), second]


def test_votes_come_back_when_the_database_is_gone(store: Store) -> None:
    votes = [vote(number) for number in range(5)]
    for each in votes:
        cast_votes(store, each)
    store.path.unlink()
    fresh = Store(store.path)
    assert fresh.judgments() == []
    assert fresh.rebuild_journal() == 5
    assert fresh.judgments() == votes
    assert fresh.rebuild_journal() == 0 and fresh.messages == []


def test_a_torn_last_line_is_reported_and_the_rest_comes_back(store: Store) -> None:
    for number in range(3):
        cast_votes(store, vote(number))
    whole = store.journal_path.read_bytes()
    store.journal_path.write_bytes(whole[:-25])
    store.path.unlink()
    assert store.rebuild_journal() == 2
    assert store.messages == [
        f"{store.journal_path}:3: the last line is cut short ({len(whole.splitlines()[2]) - 24} bytes); "
        "left where it is and not taken in"
    ]
    assert cast_votes(store, vote(2))  # on a line of its own
    store.path.unlink()
    assert Store(store.path).rebuild_journal() == 3


def test_a_journal_of_votes_that_clash_is_replayed_as_they_were_taken(store: Store) -> None:
    clash = dataclasses.replace(vote(1), id="other", winner="right")
    same_id = dataclasses.replace(vote(1), assignment="elsewhere")
    lines = [json.dumps(to_json(each)) for each in (vote(1), clash, same_id, vote(1), vote(2))]
    store.journal_path.write_text("\n".join(lines) + "\n")
    assert store.rebuild_journal() == 2
    assert store.judgments(all_revisions=True) == [vote(1), vote(2)]


def test_an_empty_or_missing_journal_is_no_trouble(store: Store) -> None:
    assert store.rebuild_journal() == 0
    store.journal_path.write_bytes(b"\n\n")
    assert store.rebuild_journal() == 0 and store.messages == []


GOOD = json.dumps(to_json(vote(1))).encode()


@settings(max_examples=60, deadline=None)
@given(
    st.binary(max_size=60)
    | st.recursive(st.none() | st.integers() | st.text(max_size=5), lambda inner: st.lists(inner) | st.dictionaries(
        st.sampled_from([field.name for field in dataclasses.fields(Judgment)]), inner
    ), max_leaves=8).map(lambda value: json.dumps(value).encode())
)  # fmt: skip
def test_no_line_stops_the_replay(tmp_path_factory: object, line: bytes) -> None:
    folder: Path = tmp_path_factory.mktemp("journal")  # type: ignore[attr-defined]
    path = folder / "j.jsonl"
    path.write_bytes(line + b"\n" + GOOD + b"\n")
    votes, _, problems = journal.read(path)
    assert votes[-1] == vote(1) and len(votes) == 1
    wanted = [part for part in line.split(b"\n") if part.strip()]
    assert len(problems) == len(wanted)
