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

from harness.results.human.votes import (
    excluded_raters as excluded_raters,
    qualities as qualities,
)
from harness.review.blind import (
    Answer as Answer,
    Ballot as Ballot,
    BlindItem as BlindItem,
    Briefing as Briefing,
    ClosingQuestion as ClosingQuestion,
    Thanks as Thanks,
)
from harness.review.bundles import VOTES as VOTES, load_bundle as load_bundle, write_bundle as write_bundle
from harness.review.lifecycle import (
    RoundStatus as RoundStatus,
    authenticate as authenticate,
    close as close,
    find_round as find_round,
    invitations as invitations,
    invite as invite,
    invite_owner as invite_owner,
    invited as invited,
    open_round as open_round,
    revoke as revoke,
    round_votes as round_votes,
    rounds as rounds,
    status as status,
    unblind as unblind,
)
from harness.review.serve import (
    briefing as briefing,
    guess as guess,
    next_item as next_item,
    reference as reference,
    undo as undo,
    vote as vote,
    vote_and_next as vote_and_next,
)
