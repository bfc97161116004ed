"""The journal of votes: one JSON line per vote, on disk before the vote is acknowledged.

Beside them stand the records of review rounds, without which votes would mean nothing; such a line says in `record`
what it is. Whoever writes holds the store's lock, so lines never interleave. A line cut short by a crash stays where it
is and is reported; the next vote starts on a line of its own.
"""

from __future__ import annotations

import errno
import json
import os
import typing
from contextlib import suppress
from pathlib import Path
from typing import Any

from harness.errors import DiskFull, StoreError
from harness.records import Assignment, Guess, Invitation, Judgment, ReviewText, Round, from_json, to_json

FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
"""Error numbers that mean that no more can be written: disk, quota or file size."""
KINDS: dict[str, type[Any]] = {kind.__name__: kind for kind in (Round, Assignment, ReviewText, Invitation, Guess)}
"""Records of review rounds that are journaled. Reservations are not: they say nothing that outlives half an hour."""
_WINNERS = frozenset(typing.get_args(typing.get_type_hints(Judgment)["winner"]))


def append(path: Path, *records: Any) -> None:
    """Write votes (and records of rounds) at the end of the journal, all or none, and wait until the disk has them.

    Raises DiskFull, with the journal as it was before, or StoreError when the journal cannot be written.
    """
    line = b"".join(json.dumps(_plain(record), separators=(",", ":")).encode() + b"\n" for record in records)
    try:
        fresh = not path.exists()
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_CLOEXEC", 0), 0o644)
        try:
            _write(descriptor, line)
        finally:
            os.close(descriptor)
        if fresh:
            _sync_folder(path.parent)
    except OSError as error:
        if error.errno in FULL:
            raise DiskFull(
                f"no space left for the journal of votes {path}", hint="Free some space and vote again"
            ) from error
        raise StoreError(
            f"the journal of votes {path} cannot be written: {error.strerror}", hint="The vote was not stored"
        ) from error


def _write(descriptor: int, line: bytes) -> None:
    size = os.fstat(descriptor).st_size
    if size and os.pread(descriptor, 1, size - 1) != b"\n":
        line = b"\n" + line
    try:
        rest = line
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    except OSError:
        # Not acknowledged, so it must not come back at a replay.
        with suppress(OSError):
            os.ftruncate(descriptor, size)
        raise


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _plain(record: Any) -> dict[str, Any]:
    tag = {} if isinstance(record, Judgment) else {"record": type(record).__name__}
    return {**tag, **to_json(record)}


def read(path: Path) -> tuple[list[Judgment], list[Any], list[str]]:
    """All whole votes of the journal in order, the records of rounds, and a message for every other line.

    A torn last line is such a one.
    """
    if not path.exists():
        return [], [], []
    votes: list[Judgment] = []
    others: list[Any] = []
    problems: list[str] = []
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            data = json.loads(line)
            if isinstance(data, dict) and data.get("record") in KINDS:
                others.append(from_json(KINDS[data["record"]], data))
            else:
                votes.append(_vote(data))
        except (ValueError, TypeError, AttributeError, KeyError, RecursionError):
            where = "the last line is cut short" if number == len(lines) else "this line is no vote"
            problems.append(f"{path}:{number}: {where} ({len(line)} bytes); left where it is and not taken in")
    return votes, others, problems


def _vote(data: object) -> Judgment:
    if not isinstance(data, dict):
        raise TypeError("not an object")
    vote = from_json(Judgment, data)
    texts = (vote.id, vote.assignment, vote.rater, vote.when)
    if vote.winner not in _WINNERS or not all(isinstance(text, str) for text in texts):
        raise ValueError("not a vote")
    if type(vote.revision) is not int or not isinstance(vote.seconds, (int, float)):
        raise ValueError("not a vote")
    return vote
