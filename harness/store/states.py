"""What a page asks again and again, counted by the database: whether anything has changed, and how far a round is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple


def of_experiment(cursor: Any, experiment_id: str) -> str:
    """The state of all that a leaderboard of this experiment is made from."""
    query = """
        WITH mine AS (SELECT train_id, eval_id FROM entries WHERE experiment_id = $1),
        alike AS (
            SELECT experiment_id FROM experiments WHERE task_fingerprint IN
            (SELECT task_fingerprint FROM experiments WHERE experiment_id = $1)
        )
        SELECT
            (SELECT max(seq) FROM experiments WHERE experiment_id = $1),
            (SELECT md5(string_agg(concat_ws(' ', arm, seed, train_id, attempt, status, eval_id), ',' ORDER BY seq))
             FROM entries WHERE experiment_id = $1),  -- a rebuilt store may list arms in another order
            (SELECT max(seq) FROM runs WHERE train_id IN (SELECT train_id FROM mine)),
            (SELECT max(seq) FROM trials WHERE experiment_id = $1),
            (SELECT max(seq) FROM evaluations WHERE eval_id IN (SELECT eval_id FROM mine)),
            (SELECT max(seq) FROM predictions WHERE eval_id IN (SELECT eval_id FROM mine)),
            (SELECT max(seq) FROM scores WHERE eval_id IN (SELECT eval_id FROM mine)),
            (SELECT max(seq) FROM looks WHERE experiment IN (SELECT experiment_id FROM alike)),
            (SELECT max(seq) FROM serving WHERE experiment_id = $1),
            (SELECT max(seq) FROM sentinels),
            (SELECT max(seq) FROM rounds WHERE experiment = $1 AND closed IS NOT NULL),
            (SELECT max(seq) FROM judgments WHERE assignment IN (
                SELECT token FROM assignments WHERE round IN
                (SELECT id FROM current_rounds WHERE experiment = $1 AND unblinded IS NOT NULL)
            )),
            (SELECT max(seq) FROM guesses WHERE round IN
                (SELECT id FROM current_rounds WHERE experiment = $1 AND unblinded IS NOT NULL))
    """
    return "-".join(str(part) for part in cursor.execute(query, [experiment_id]).fetchone())


def of_round(cursor: Any, round_id: str) -> str:
    """Changes whenever something is stored that belongs to this round."""
    query = """
        SELECT
            (SELECT max(seq) FROM rounds WHERE id = $1),
            (SELECT max(seq) FROM invitations WHERE round = $1),
            (SELECT max(seq) FROM guesses WHERE round = $1),
            (SELECT max(seq) FROM judgments WHERE assignment IN (SELECT token FROM assignments WHERE round = $1))
    """
    return "-".join(str(part) for part in cursor.execute(query, [round_id]).fetchone())


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
    last = """
        SELECT rater, max("when") FROM judgments
        WHERE assignment IN (SELECT token FROM assignments WHERE round = $1) GROUP BY rater ORDER BY rater
    """
    rows = cursor.execute(counted, [round_id]).fetchall()
    return Tally(tuple(Standing(*row) for row in rows), dict(cursor.execute(last, [round_id]).fetchall()))
