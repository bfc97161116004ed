"""Migrations from every older version, refusal of newer ones, and copies."""

from __future__ import annotations

import importlib.resources
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from store_samples import cast_votes, experiment, look, one_of_each, run, vote

from harness.errors import NewerSchema, StoreError
from harness.records import Entry, Score
from harness.store import Store
from harness.store.tables import TABLES, columns, encode

OWN = Path(str(importlib.resources.files("harness.store"))) / "migrations"
VERSIONS = [int(file.name[:4]) for file in sorted(OWN.glob("*.sql"))]


@pytest.fixture
def newer(tmp_path: Path) -> Path:
    """Our migrations and one more, in a folder."""
    folder = tmp_path / "migrations"
    shutil.copytree(OWN, folder)
    (folder / f"{VERSIONS[-1] + 1:04d}_colour.sql").write_text(
        "ALTER TABLE looks ADD COLUMN colour VARCHAR;\nCREATE TABLE colours(name VARCHAR);\n"
    )
    return folder


def applied(path: Path) -> list[int]:
    connection = duckdb.connect(str(path))
    try:
        return [row[0] for row in connection.execute("SELECT version FROM schema_migrations ORDER BY ALL").fetchall()]
    finally:
        connection.close()


def write_as_then(path: Path, records: list[Any]) -> None:
    """Write records into the columns that the schema of the file has, as an older harness would have."""
    connection = duckdb.connect(str(path))
    for record in records:
        table = TABLES[type(record)]
        row = dict(zip(columns(table), encode(table, [record])[0], strict=True))
        there = [line[0] for line in connection.execute(f"DESCRIBE {table.name}").fetchall() if line[0] in row]
        names, marks = ", ".join(f'"{name}"' for name in there), ", ".join("?" * len(there))
        values = [row[name] for name in there]
        connection.execute(f"INSERT INTO {table.name} (seq, {names}) VALUES (1, {marks})", values)
    connection.close()


@pytest.mark.parametrize("version", VERSIONS)
def test_a_store_of_every_older_version_opens_with_its_rows(tmp_path: Path, newer: Path, version: int) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for file in sorted(OWN.glob("*.sql"))[:version]:
        shutil.copy(file, old)
    path = tmp_path / "s.duckdb"
    assert Store(path, migrations=old).looks() == []
    written = [experiment(seeds={}), run(seeds={}, trial={}), Entry("notes-1", "lora", 0, "t1", 1, "ok", "e1")]
    write_as_then(path, written)
    assert applied(path) == VERSIONS[:version]
    now = Store(path)
    assert [*now.experiments(), *now.runs(["t1"]), *now.entries("notes-1")] == written
    assert now.ingest(written) == 0
    store = Store(path, migrations=newer)
    assert store.ingest([experiment(number=2)]) == 1
    assert store.experiments() == [written[0], experiment(number=2)]
    assert applied(path) == [*VERSIONS, VERSIONS[-1] + 1]


def test_the_second_copy_of_scores_of_an_older_store_goes_and_its_scores_stay(tmp_path: Path) -> None:
    old = tmp_path / "old"
    old.mkdir()
    for file in sorted(OWN.glob("*.sql"))[:9]:
        shutil.copy(file, old)
    path = tmp_path / "s.duckdb"
    Store(path, migrations=old).counts()
    scores = [Score("e1", "test", item, "bleu", "none", 1, "ok", 0.5, (1.0, 2.0)) for item in ("b", "a")]
    Store(path, migrations=old).ingest(scores)
    connection = duckdb.connect(str(path))
    lists = {"score_lists", "item_lists", "answer_lists"}
    connection.execute("INSERT INTO item_lists VALUES ('x', ['b', 'a'])")
    names = "SELECT table_name FROM duckdb_tables()"
    assert lists <= {name for (name,) in connection.execute(names).fetchall()}
    connection.close()
    assert list(Store(path).score_columns(["e1"])) == Store(path).scores(["e1"]) == scores
    connection = duckdb.connect(str(path))
    assert not lists & {name for (name,) in connection.execute(names).fetchall()}
    connection.close()


def test_a_newer_store_is_refused_with_both_versions(store: Store, newer: Path) -> None:
    store.ingest([look(1)])
    Store(store.path, migrations=newer).counts()
    with pytest.raises(NewerSchema) as caught:
        store.looks()
    text = str(caught.value)
    assert f"schema {VERSIONS[-1] + 1}" in text and f"up to {VERSIONS[-1]}" in text and "Upgrade" in text
    assert "\n" not in text and caught.value.exit_code == 2
    assert Store(store.path, migrations=newer).looks() == [look(1)]


def test_a_migration_that_fails_leaves_the_store_as_it_was(store: Store, newer: Path) -> None:
    store.ingest([look(1)])
    step = newer / f"{VERSIONS[-1] + 1:04d}_colour.sql"
    step.write_text(step.read_text() + "SELECT no_such_function(1);\n")
    with pytest.raises(duckdb.Error):
        Store(store.path, migrations=newer).counts()
    assert applied(store.path) == VERSIONS
    assert store.looks() == [look(1)]
    connection = duckdb.connect(str(store.path))
    assert ("colours",) not in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall()
    connection.close()


def test_migrations_with_a_gap_are_refused(tmp_path: Path, newer: Path) -> None:
    (newer / "0001_first.sql").unlink()
    with pytest.raises(StoreError, match="not numbered"):
        Store(tmp_path / "s.duckdb", migrations=newer)


def test_a_copy_holds_everything_and_is_a_store(store: Store, tmp_path: Path) -> None:
    store.ingest(one_of_each())
    cast_votes(store, vote(1))
    target = tmp_path / "backups" / "it's a copy.duckdb"
    store.copy(target)
    copied = Store(target)
    assert copied.counts() == store.counts()
    assert copied.experiments() == store.experiments() and copied.judgments() == [vote(1)]
    assert copied.ingest(one_of_each()) == 0
    assert sorted(file.name for file in target.parent.iterdir()) == [target.name, f"{target.name}.lock"]
    with pytest.raises(StoreError, match="exists already"):
        store.copy(target)


def test_an_export_loads_again(store: Store, tmp_path: Path) -> None:
    store.ingest(one_of_each())
    folder = tmp_path / "export"
    store.export(folder)
    connection = duckdb.connect()
    connection.execute(f"IMPORT DATABASE '{folder}'")
    for name, rows in store.counts().items():
        assert connection.execute(f"SELECT count(*) FROM {name}").fetchone() == (rows,)
    assert connection.execute("SELECT text FROM current_predictions").fetchone() == (store.predictions(["e1"])[0].text,)
    connection.close()
    with pytest.raises(StoreError, match="not an empty folder"):
        store.export(folder)
