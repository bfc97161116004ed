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


def state(cursor: Any, round_id: str) -> str:
    """Changes whenever something is stored that belongs to this round."""
    query = f"""
        SELECT
            (SELECT max(seq) FROM rounds WHERE id = $1),
            (SELECT max(seq) FROM invitations WHERE round = $1),
            (SELECT max(seq) FROM guesses WHERE round = $1),
            (SELECT max(seq) FROM judgments WHERE assignment IN {MINE})
    """
    return "-".join(str(part) for part in cursor.execute(query, [round_id]).fetchone())


def tally(cursor: Any, round_id: str) -> Tally:
    """Counts of a round's assignments by kind, queue and the vote that stands on them."""
    counted = f"""
        WITH votes AS (SELECT assignment, rater, winner FROM judgments WHERE assignment IN {MINE}
                       QUALIFY row_number() OVER (PARTITION BY assignment ORDER BY revision DESC, seq DESC) = 1)
        SELECT a.kind, a.queue, votes.rater, votes.winner, count(*)
        FROM assignments a LEFT JOIN votes ON votes.assignment = a.token
        WHERE a.round = $1 GROUP BY ALL ORDER BY ALL
    """
    last = f'SELECT rater, max("when") FROM judgments WHERE assignment IN {MINE} GROUP BY rater ORDER BY rater'
    rows = cursor.execute(counted, [round_id]).fetchall()
    return Tally(tuple(Standing(*row) for row in rows), dict(cursor.execute(last, [round_id]).fetchall()))
