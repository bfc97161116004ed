"""What a page asks of a review round at every vote, counted by the database and not record by record."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

MINE = "(SELECT token FROM assignments WHERE round = $1)"


class Standing(NamedTuple):
    """Assignments that are alike, and how many they are."""

    kind: str
    queue: int | None
    rater: str | None
    """Who gave the vote that stands; None without one."""
    winner: str | None
    number: int


@dataclass(frozen=True, slots=True)
class Tally:
    """How far a round is."""

    standing: tuple[Standing, ...]
    last: Mapping[str, str]
    """Rater → when they last did something."""


def tally(cursor: Any, round_id: str) -> Tally:
    """Counts of a round's assignments by kind, queue and the vote that stands on them."""
    counted = """
        WITH every AS (SELECT token, kind, queue, rater, winner, revision FROM (
                           SELECT token, kind, queue FROM assignments WHERE round = $1
                       ) LEFT JOIN judgments ON assignment = token),
             revised AS (SELECT token, max(revision) AS standing FROM every WHERE revision > 1 GROUP BY token)
        SELECT kind, queue, rater, winner, count(*) FROM every LEFT JOIN revised USING (token)
        WHERE standing IS NULL OR standing = revision GROUP BY ALL ORDER BY ALL
    """
    last = f'SELECT rater, max("when") FROM judgments WHERE assignment IN {MINE} GROUP BY rater ORDER BY rater'
    rows = cursor.execute(counted, [round_id]).fetchall()
    return Tally(tuple(Standing(*row) for row in rows), dict(cursor.execute(last, [round_id]).fetchall()))
