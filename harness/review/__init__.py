"""Blind review: rounds in which people judge answers side by side without knowing whose they are.

plan.py, sides.py   who judges what, in which order, on which sides; pure
blind.py            what a browser is sent, and tokens
serve.py            next item, vote, undo, reference, closing guess
lifecycle.py        open, invite, revoke, status, close, unblind
results.py          a round with the votes on it; `results.human.votes` says whose they are
monitor.py          what may be seen of an open round: an interval that holds at every look and names no arm
exchange.py         votes as csv and jsonl, both ways; finished annotations
preferences.py      votes → preference pairs to train on
bundles.py          a blinded folder for a machine without models
opening.py          an experiment's answers → a round (imports what runs models; not imported here)
"""

from harness.review.blind import Answer, Ballot, BlindItem, Briefing, ClosingQuestion, Progress, Receipt, Thanks
from harness.review.bundles import VOTES, load_bundle, write_bundle
from harness.review.lifecycle import (
    RaterProgress,
    RoundStatus,
    authenticate,
    close,
    find_round,
    invitations,
    invite,
    invite_owner,
    invited,
    open_round,
    revoke,
    rounds,
    status,
    unblind,
)
from harness.review.results import (
    OpenVote,
    PairCount,
    RaterQuality,
    RoundVotes,
    excluded_raters,
    open_votes,
    pair_counts,
    qualities,
    round_votes,
)
from harness.review.serve import briefing, guess, next_item, reference, undo, vote, vote_and_next

__all__ = [
    "VOTES",
    "Answer",
    "Ballot",
    "BlindItem",
    "Briefing",
    "ClosingQuestion",
    "OpenVote",
    "PairCount",
    "Progress",
    "RaterProgress",
    "RaterQuality",
    "Receipt",
    "RoundStatus",
    "RoundVotes",
    "Thanks",
    "authenticate",
    "briefing",
    "close",
    "excluded_raters",
    "find_round",
    "guess",
    "invitations",
    "invite",
    "invite_owner",
    "invited",
    "load_bundle",
    "next_item",
    "open_round",
    "open_votes",
    "pair_counts",
    "qualities",
    "reference",
    "revoke",
    "round_votes",
    "rounds",
    "status",
    "unblind",
    "undo",
    "vote",
    "vote_and_next",
    "write_bundle",
]
