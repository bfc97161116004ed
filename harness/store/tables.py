"""Which record stands in which table, and how a record becomes a row and a row a record. Pure: no database here.

A table has one column per field of its record, named alike: text, integers, floats and booleans as they are, everything
nested as JSON text, None as NULL. The columns themselves are written down in `migrations/*.sql`; a test holds the two
together.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import types
import typing
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from harness import records
from harness.errors import StoreError
from harness.records import from_json, to_json

Kind = Literal["text", "integer", "double", "boolean", "json"]
Row = tuple[Any, ...]
_KINDS: dict[Any, Kind] = {str: "text", bool: "boolean", int: "integer", float: "double"}


@dataclass(frozen=True, slots=True)
class Table:
    """A table and the record that its rows hold.

    `same` lists sets of columns: a new row is left out when a stored row agrees with it on all columns of one set.
    `against` says which stored rows count: `all`, so that replaying an old run folder never undoes a correction, or
    `current` for statements of the present (the last row of a key), which may go back to what they said before.
    """

    name: str
    record: type[Any]
    same: tuple[tuple[str, ...], ...] = ()
    """Without any, all columns."""
    key: tuple[str, ...] = ()
    """Natural key of statements of the present: of one batch only the last row of a key is kept."""
    outer: tuple[str, ...] = ()
    """Columns before the record's own that say what it belongs to."""

    @property
    def against(self) -> Literal["all", "current"]:
        """Which stored rows a new row is compared with."""
        return "current" if self.key else "all"


TRAIN_LOG = Table("train_log", records.TrainLogRow, outer=("train_id", "attempt"))
JUDGMENTS = Table("judgments", records.Judgment, same=(("id",), ("assignment", "revision")))
TABLES: dict[type[Any], Table] = {
    records.ExperimentRecord: Table("experiments", records.ExperimentRecord, key=("experiment_id",)),
    records.Entry: Table("entries", records.Entry, key=("experiment_id", "arm", "seed", "fraction")),
    records.Trial: Table("trials", records.Trial, key=("experiment_id", "arm", "number", "rung")),
    records.RunRecord: Table("runs", records.RunRecord),
    records.TrainLog: TRAIN_LOG,
    records.Evaluation: Table("evaluations", records.Evaluation),
    records.Prediction: Table("predictions", records.Prediction),
    records.Likelihood: Table("likelihoods", records.Likelihood),
    records.Score: Table("scores", records.Score),
    records.SealedAccess: Table("looks", records.SealedAccess),
    records.SentinelCheck: Table("sentinels", records.SentinelCheck),
    records.ServingPass: Table("serving", records.ServingPass),
    records.GateCall: Table("gates", records.GateCall),
    records.ParityCheck: Table("parities", records.ParityCheck),
    records.Round: Table("rounds", records.Round),
    records.Assignment: Table("assignments", records.Assignment, same=(("token",),)),
    records.ReviewText: Table("review_texts", records.ReviewText, same=(("round", "example", "source"),)),
    records.Invitation: Table("invitations", records.Invitation),
    records.Reservation: Table("reservations", records.Reservation),
    records.Guess: Table("guesses", records.Guess),
    records.Judgment: JUDGMENTS,
}
"""In the order in which a batch is written."""


@functools.cache
def columns(table: Table) -> dict[str, Kind]:
    """Columns of `table` without `seq`, in order, with the kind of value each holds."""
    outer: dict[str, Kind] = {"train_id": "text", "attempt": "integer"}
    own = {name: _kind(hint) for name, hint in _hints(table).items()}
    return {**{name: outer[name] for name in table.outer}, **own}


def encode(table: Table, records: Iterable[Any]) -> list[Row]:
    """Rows of `records`, in order, each distinct row once (of a statement of the present: the last of each key).

    Raises StoreError for a value that JSON cannot hold.
    """
    rows: list[Row] = []
    kinds = columns(table)
    if table is TRAIN_LOG:
        own = [name for name in kinds if name not in table.outer]
        for log in records:
            rows += [(log.train_id, log.attempt, *(getattr(row, name) for name in own)) for row in log.rows]
    else:
        plain = [(name, kind == "json") for name, kind in kinds.items()]
        for record in records:
            rows.append(tuple(_value(record, name) if nested else getattr(record, name) for name, nested in plain))
    if not table.key:
        return list(dict.fromkeys(rows))
    places = [list(kinds).index(name) for name in table.key]
    # A later row of a key takes the place of the earlier one, at the end, where it was said last.
    last: dict[Row, Row] = {}
    for row in rows:
        key = tuple(row[place] for place in places)
        last.pop(key, None)
        last[key] = row
    return list(last.values())


def decode(table: Table, rows: Sequence[Row]) -> list[Any]:
    """Records of `rows`, whose columns are the record's own fields in order."""
    nested = [(place, hint) for place, hint in enumerate(_hints(table).values()) if _kind(hint) == "json"]
    if not nested:
        return [table.record(*row) for row in rows]
    records = []
    values: dict[tuple[int, str], Any] = {}  # runs of one experiment share their provenance, evaluations their settings
    for row in rows:
        fields = list(row)
        for place, hint in nested:
            text = fields[place]
            if text is not None:
                if (place, text) not in values:
                    values[place, text] = from_json(hint, json.loads(text))
                fields[place] = values[place, text]
        records.append(table.record(*fields))
    return records


def _value(record: Any, name: str) -> str | None:
    value = getattr(record, name)
    if value is None:
        return None
    try:
        return json.dumps(to_json(value), ensure_ascii=False, separators=(",", ":"))
    except (TypeError, ValueError) as error:
        raise StoreError(f"{type(record).__name__}.{name} holds what JSON cannot: {error}") from error


@functools.cache
def _hints(table: Table) -> dict[str, Any]:
    hints = typing.get_type_hints(table.record)
    return {field.name: hints[field.name] for field in dataclasses.fields(table.record)}


def _without_none(hint: Any) -> Any:
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        inner = [arg for arg in typing.get_args(hint) if arg is not type(None)]
        return inner[0] if len(inner) == 1 else hint
    return hint


def _kind(hint: Any) -> Kind:
    hint = _without_none(hint)
    if typing.get_origin(hint) is Literal:
        return "text"
    return _KINDS.get(hint, "json")
