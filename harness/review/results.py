"""A round read from a store with the votes that stand on it; `results.human.votes` says what is made of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from harness.results.human.votes import (
    BAD,
    GOOD,
    OpenVote,
    PairCount,
    RaterQuality,
    RoundVotes,
    excluded_raters,
    joined,
    open_votes,
    pair_counts,
    qualities,
    require_unblinded,
)
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
        round_ = round_of(session, round_id)
    return joined(round_, store.ballots(round_id))
