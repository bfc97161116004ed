"""A server's engine that stays, and what it remembers of records that never change."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path

import pytest
from store_samples import cast_votes, vote

from harness.errors import StoreError
from harness.records import Assignment
from harness.store import Store
from harness.store.lease import Kept, Turn


def assignment(number: int) -> Assignment:
    return Assignment(f"token-{number}", "r", "ordinary", f"item-{number}", "x", "a", "b", 0, number)


def read(store: Store, asked: list[int]) -> list[Assignment]:
    """All assignments, remembered; notes that the database was asked."""
    with store.session() as session:

        def ask() -> list[Assignment]:
            asked.append(1)
            return session.read(Assignment)

        return session.remember("all", ask)


def test_what_never_changes_is_read_once_by_a_server_and_each_time_without_a_lease(tmp_path: Path) -> None:
    server, plain, asked = Store(tmp_path / "h.duckdb", lease=True), Store(tmp_path / "h.duckdb"), [0]
    with plain.session() as session:
        session.write(assignment(1))
    assert read(server, asked) == read(Store(server.path, lease=True), asked) == [assignment(1)]
    assert len(asked) == 2
    assert read(plain, asked) == read(plain, asked) == [assignment(1)]
    assert len(asked) == 4


def test_nothing_found_and_what_may_be_rolled_back_is_not_remembered(tmp_path: Path) -> None:
    server, asked = Store(tmp_path / "h.duckdb", lease=True), [0]
    assert read(server, asked) == read(server, asked) == []
    assert len(asked) == 3
    with pytest.raises(ZeroDivisionError), server.session() as session:
        session.write(assignment(1))
        assert session.remember("all", lambda: session.read(Assignment)) == [assignment(1)]
        _ = 1 / 0
    assert read(server, asked) == []


def test_another_database_in_the_same_place_is_noticed(tmp_path: Path) -> None:
    server, other, asked = Store(tmp_path / "h.duckdb", lease=True), Store(tmp_path / "other.duckdb"), [0]
    for store, number in ((server, 1), (other, 2)):
        with store.session() as session:
            session.write(assignment(number))
    assert read(server, asked) == [assignment(1)]
    server._file._lease.close()
    other.path.replace(server.path)
    assert read(server, asked) == [assignment(2)]


def test_only_the_values_last_asked_for_are_kept() -> None:
    kept = Kept(most=2)
    kept.put("a", 1)
    kept.put("b", 2)
    assert kept.get("a") == 1
    kept.put("c", 3)
    assert (kept.get("a"), kept.get("b"), kept.get("c")) == (1, None, 3)
    kept.belongs_to("another")
    assert kept.get("a") is None


@pytest.mark.skipif(sys.platform != "linux", reason="open files are looked up in /proc")
def test_a_lease_that_was_given_up_has_the_file_closed(tmp_path: Path) -> None:
    server = Store(tmp_path / "h.duckdb", lease=True)

    def has_it_open() -> bool:
        names = Path("/proc/self/fd").iterdir()
        links = [os.path.realpath(name) for name in names]
        return str(server.path) in links

    with server.session():
        assert has_it_open()
    server._file._lease.close()
    assert not has_it_open()
    assert cast_votes(server, vote(0)) and Store(server.path).judgments() == [vote(0)]


def test_an_engine_that_an_error_broke_is_replaced(tmp_path: Path) -> None:
    server = Store(tmp_path / "h.duckdb", lease=True)
    assert cast_votes(server, vote(0))
    server._file._lease.close()
    whole = server.path.read_bytes()
    server.path.write_bytes(b"not a database" * 100)
    with pytest.raises(StoreError, match="is not a DuckDB database"):
        server.judgments()
    server.path.write_bytes(whole)
    assert server.judgments() == [vote(0)]
    server._file._engine.close()
    with pytest.raises(StoreError, match="closed"):
        server.judgments()
    assert server.judgments() == [vote(0)]


def test_turns_are_taken_in_the_order_they_were_asked_for() -> None:
    """Who was served and asks again at once comes after all who are waiting."""
    turn, served = Turn(), []

    def ask(name: int) -> None:
        for _ in range(2 if name == 0 else 1):
            with turn:
                served.append(name)

    threads = [threading.Thread(target=ask, args=(name,)) for name in range(4)]
    with turn:
        for count, thread in enumerate(threads, 1):
            thread.start()
            while len(turn._waiting) < count:
                time.sleep(0.001)
    for thread in threads:
        thread.join()
    assert served == [0, 1, 2, 3, 0]
    with turn:
        pass
