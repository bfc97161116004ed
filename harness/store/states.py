"""Short texts that change whenever something is stored that a leaderboard or a review round is made from."""

from __future__ import annotations

from typing import Any


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
