"""Deleted experiments: a row hides what was stored of one, and what no other experiment needs is removed.

Looks at the test split stay counted, and verdicts of gates, votes and checks of environments stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass

from harness.store import Store
from harness.store.file import transaction

_HIDDEN = ("experiments", "entries", "trials", "serving")
_OF_TRAINING = ("runs", "train_log")
_STAYS = ("entries", "trials", "looks", "gates", "parities", "sentinels", "deletions")
"""Tables with the id of an evaluation that are no content of it."""


@dataclass(frozen=True, slots=True)
class Deletion:
    """One deleted experiment."""

    experiment_id: str
    name: str
    task_fingerprint: str
    when: str
    who: str
    why: str
    train_ids: tuple[str, ...]
    """Trainings that no other experiment had."""
    eval_ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Needed:
    """What stored experiments, checks, gates and reviews refer to."""

    train_ids: frozenset[str]
    """Parents of trainings included."""
    eval_ids: frozenset[str]


def needed(store: Store, without: str = "") -> Needed:
    """What all experiments but `without` need."""
    trainings = """
        WITH RECURSIVE kept AS (
            SELECT train_id FROM current_entries WHERE experiment_id != $1
            UNION SELECT train_id FROM current_trials WHERE experiment_id != $1
            UNION SELECT parent_train_id FROM kept JOIN runs USING (train_id) WHERE parent_train_id IS NOT NULL
        ) SELECT train_id FROM kept"""
    evaluations = """
        SELECT eval_id FROM current_entries WHERE experiment_id != $1
        UNION SELECT unnest([before, after]) FROM sentinels WHERE experiment != $1
        UNION SELECT unnest([eval_id, after]) FROM parities WHERE experiment != $1
        UNION SELECT unnest([eval_id, rescored]) FROM gates WHERE experiment != $1"""
    with store._file.open() as cursor:
        trained = {row[0] for row in cursor.execute(trainings, [without]).fetchall()}
        evaluated = {row[0] for row in cursor.execute(evaluations, [without]).fetchall()}
        rounds = cursor.execute("SELECT evaluations FROM current_rounds WHERE experiment != $1", [without]).fetchall()
    evaluated |= {eval_id for (text,) in rounds for eval_id in json.loads(text).values()}
    return Needed(frozenset(trained), frozenset(evaluated - {None, ""}))


def record(store: Store, deletion: Deletion) -> None:
    """Hide an experiment; again is harmless."""
    marks = ", ".join(f"(SELECT coalesce(max(seq), 0) FROM {name} WHERE experiment_id = $1)" for name in _HIDDEN)
    values = [deletion.experiment_id, deletion.name, deletion.task_fingerprint, deletion.when, deletion.who]
    values += [deletion.why, json.dumps(deletion.train_ids), json.dumps(deletion.eval_ids)]
    with store._file.open() as cursor, transaction(cursor):
        cursor.execute(
            f"INSERT INTO deletions SELECT (SELECT coalesce(max(seq), 0) + 1 FROM deletions), $1, $2, $3, $4, $5, $6, "
            f"$7, $8, {marks} "
            'WHERE NOT EXISTS (SELECT 1 FROM deletions WHERE experiment_id = $1 AND "when" = $4)',
            values,
        )


def remove(store: Store, train_ids: Collection[str], eval_ids: Collection[str]) -> None:
    """Remove the rows of these trainings and evaluations."""
    with store._file.open() as cursor, transaction(cursor):
        of_evaluation = cursor.execute(
            "SELECT table_name FROM duckdb_tables() JOIN duckdb_columns() USING (table_oid, table_name) "
            "WHERE column_name = 'eval_id'"
        ).fetchall()
        tables = [(name, "train_id", train_ids) for name in _OF_TRAINING]
        tables += [(name, "eval_id", eval_ids) for (name,) in of_evaluation if name not in _STAYS]
        for table, column, ids in tables:
            cursor.execute(f"DELETE FROM {table} WHERE {column} IN (SELECT unnest($1::VARCHAR[]))", [list(ids)])
