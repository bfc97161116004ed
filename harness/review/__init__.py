"""Runs blind review: rounds in which people judge answers side by side without knowing which arm wrote them.

plan.py         who judges what, in which order, on which sides; pure
blind.py        what a browser is sent, and tokens
desk.py         one reviewer's desk: what waits for them, and what they may take over
serve.py        next item, vote, undo, reference, closing guess
lifecycle.py    open, invite, revoke, status, close, unblind; the votes of a round, and what an open one may show
exchange.py     votes as csv and jsonl, both ways; preference pairs to train on; finished annotations
bundles.py      a blinded folder for a machine without models
answers.py      arms' answers to read: stored ones, or generated for other prompts (imports what runs models)
opening.py      an experiment's answers → a round (the same)
"""

from harness.results.human.votes import excluded_raters, open_votes, pair_counts, qualities
from harness.review.blind import Answer, Ballot, BlindItem, Briefing, ClosingQuestion, Thanks
from harness.review.bundles import VOTES, load_bundle, write_bundle
from harness.review.lifecycle import (
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
    round_votes,
    rounds,
    status,
    unblind,
)  # fmt: skip
from harness.review.serve import briefing, guess, next_item, reference, undo, vote, vote_and_next

__all__ = [
    "VOTES", "Answer", "Ballot", "BlindItem", "Briefing", "ClosingQuestion", "RoundStatus", "Thanks", "authenticate",
    "briefing", "close", "excluded_raters", "find_round", "guess", "invitations", "invite", "invite_owner", "invited",
    "load_bundle", "next_item", "open_round", "open_votes", "pair_counts", "qualities", "reference", "revoke",
    "round_votes", "rounds", "status", "unblind", "undo", "vote", "vote_and_next", "write_bundle",
]  # fmt: skip
