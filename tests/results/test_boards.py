"""Leaderboards that were kept: the same as fresh ones, and never stale."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import harness
from harness.records import SealedAccess
from harness.results import cache
from harness.results.collect import collect
from harness.results.leaderboard.board import leaderboard
from harness.results.leaderboard.rows import Leaderboard
from harness.store import Store


@pytest.fixture
def store(tmp_path: Path, maker: Any) -> Store:
    results = maker.results
    store = Store(tmp_path / "harness.duckdb")
    store.ingest([results.experiment, *maker.runs, *maker.entries, *maker.predictions, *maker.scores, *results.looks])
    return store


def fresh(store: Store) -> Leaderboard:
    return leaderboard(collect(store, "x1"))


def test_a_kept_board_is_the_same_board(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cache.board(store, tmp_path, "x1")
    assert made == fresh(store)
    monkeypatch.setattr(cache, "leaderboard", lambda results: pytest.fail("made again"))
    assert cache.board(store, tmp_path, "x1") == made


def test_what_is_stored_later_is_seen(store: Store, tmp_path: Path) -> None:
    before = cache.board(store, tmp_path, "x1")
    store.ingest(
        [SealedAccess(before.rows[0].evaluations[0], "x1", "lora", "somebody", "again", "2026-02-01T00:00:00Z")]
    )
    after = cache.board(store, tmp_path, "x1")
    assert after.looks == before.looks + 1 and after == fresh(store)


def test_other_code_makes_its_own(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = cache.board(store, tmp_path, "x1")
    file = tmp_path / "boards" / "x1.json"
    kept = json.loads(file.read_text())
    kept["board"]["primary"] = "something old"
    file.write_text(json.dumps(kept))
    assert cache.board(store, tmp_path, "x1").primary == "something old", "the file was not read at all"
    monkeypatch.setattr(cache, "_code", lambda: "newer")
    assert cache.board(store, tmp_path, "x1") == made


def test_every_source_file_is_part_of_the_code(tmp_path: Path) -> None:
    deep = tmp_path / "room" / "inner" / "module.py"
    deep.parent.mkdir(parents=True)
    seen = []
    for path, content in ((deep, "a = 1"), (deep, "a = 2"), (tmp_path / "top.py", ""), (tmp_path / "other.py", "b")):
        path.write_text(content)
        seen.append(cache.source_hash(tmp_path))
    deep.rename(deep.with_name("renamed.py"))
    assert len({*seen, cache.source_hash(tmp_path)}) == 5


def test_a_board_is_kept_with_the_hash_of_the_whole_package(store: Store, tmp_path: Path) -> None:
    cache.board(store, tmp_path, "x1")
    kept = json.loads((tmp_path / "boards" / "x1.json").read_text())
    assert kept["state"].split()[-1] == cache.source_hash(Path(harness.__file__).parent)


@pytest.mark.parametrize("torn", [b"", b"{", b"[]", b'{"state": 1}', b"\xff\xfe"])
def test_a_torn_file_costs_time_only(store: Store, tmp_path: Path, torn: bytes) -> None:
    made = cache.board(store, tmp_path, "x1")
    (tmp_path / "boards" / "x1.json").write_bytes(torn)
    assert cache.board(store, tmp_path, "x1") == made


def test_a_store_that_was_built_again_in_another_order_has_another_board(tmp_path: Path, maker: Any) -> None:
    def build(entries: list[Any]) -> Store:
        for file in tmp_path.glob("harness.duckdb*"):
            file.unlink()
        store = Store(tmp_path / "harness.duckdb")
        store.ingest([results.experiment, *maker.runs, *entries, *maker.predictions, *maker.scores, *results.looks])
        return store

    results = maker.results
    store = build(maker.entries)
    before = cache.board(store, tmp_path, "x1")
    again = build(maker.entries[::-1])
    assert [run.arm for run in before.runs] != [run.arm for run in fresh(again).runs], "the order shows nowhere"
    assert cache.board(again, tmp_path, "x1") == fresh(again)
