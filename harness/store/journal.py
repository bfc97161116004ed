"""The journal of votes: one JSON line per vote, on disk before the vote is acknowledged.

Beside them stand the records of review rounds, without which votes would mean nothing; such a line says in `record`
what it is. Whoever writes holds the store's lock, so lines never interleave. A line cut short by a crash stays where it
is and is reported; the next vote starts on a line of its own.
"""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any

from harness.errors import DiskFull, StoreError
from harness.records import Assignment, Guess, Invitation, Judgment, ReviewText, Round, from_json, to_json
from harness.records.journal import Journal

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers that mean that no more can be written: disk, quota or file size."""
KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Round, Assignment, ReviewText, Invitation, Guess)}
"""Records of review rounds that are journaled. Reservations are not: they say nothing that outlives half an hour."""


def append(path: Path, *records: Any) -> None:
    """Write votes (and records of rounds) at the end of the journal, all or none, and wait until the disk has them.

    Raises DiskFull, with the journal as it was before, or StoreError when the journal cannot be written.
    """
    try:
        Journal(path).append(*map(_plain, records))
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(
                f"no space left for the journal of votes {path}", hint="Free some space and vote again"
            ) from error
        raise StoreError(
            f"the journal of votes {path} cannot be written: {error.strerror}", hint="The vote was not stored"
        ) from error


def _plain(record: Any) -> dict[str, Any]:
    tag = {} if isinstance(record, Judgment) else {"record": type(record).__name__}
    return {**tag, **to_json(record)}


def read(path: Path) -> tuple[list[Judgment], list[Any], list[str]]:
    """All whole votes of the journal in order, the records of rounds, and a message for every other line.

    A torn last line is such a one.
    """
    votes: list[Judgment] = []
    others: list[Any] = []
    problems: list[str] = []
    for line in Journal(path).lines():
        data = line.value
        try:
            if isinstance(data, dict) and data.get("record") in KINDS:
                others.append(from_json(KINDS[data["record"]], data))
            else:
                votes.append(_vote(data))
        except (ValueError, TypeError, KeyError):
            where = "this line is no vote" if line.ended else "the last line is cut short"
            problems.append(f"{path}:{line.number}: {where} ({line.size} bytes); left where it is and not taken in")
    return votes, others, problems


def _vote(data: object) -> Judgment:
    if not isinstance(data, dict) or type(data.get("revision")) is not int:
        raise ValueError("not a vote")
    return from_json(Judgment, data)
