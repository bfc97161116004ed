"""A round read from a store with the votes that stand on it; what is made of them is in `harness.judged`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.judged import (
    BAD,
    GOOD,
    OpenVote,
    PairCount,
    RaterQuality,
    RoundVotes,
    excluded_raters,
    open_votes,
    pair_counts,
    qualities,
    require_unblinded,
    standing,
)
from harness.records import Assignment, Guess, Judgment, ReviewText
from harness.review.desk import AMONG
from harness.review.lifecycle import round_of

if TYPE_CHECKING:
    from harness.store import Store

__all__ = [
    "BAD",
    "GOOD",
    "OpenVote",
    "PairCount",
    "RaterQuality",
    "RoundVotes",
    "excluded_raters",
    "open_votes",
    "pair_counts",
    "qualities",
    "require_unblinded",
    "round_votes",
]


def round_votes(store: Store, round_id: str) -> RoundVotes:
    """A round, its assignments and their votes."""
    with store.session() as session:
        there = round_of(session, round_id)
        assignments = session.read(Assignment, "round = $1", [round_id])
        votes = session.read(Judgment, f"assignment {AMONG}", [[a.token for a in assignments]], all_rows=True)
        guesses = session.read(Guess, "round = $1", [round_id])
        texts = session.read(ReviewText, "round = $1", [round_id])
    lengths = {(text.example, text.source): len(text.text) for text in texts}
    return RoundVotes(there, tuple(assignments), standing(votes), tuple(guesses), lengths)
