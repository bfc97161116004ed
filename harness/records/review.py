"""Blind review: rounds, what is shown to whom, invitations, reservations, and the closing guess.

A round and its assignments say which arm wrote what: they stay in the store, on the owner's machine. What leaves it
(an item on a page, a bundle) is made from them by `harness.review` and names no arm.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

RoundSplit = Literal["test", "validation", "prompts", "imported", "bundle"]
"""Where the reviewed prompts come from; `prompts`: fresh ones, of no split; `bundle`: a blinded copy does not know."""
AssignmentKind = Literal["ordinary", "gold", "identical", "repeat", "practice", "automatic"]
"""`automatic`: both answers are the same text, so that it is a tie which nobody was asked about."""
Render = Literal["text", "code"]


@dataclass(frozen=True, slots=True)
class Stamp:
    """When something was done to a round (ISO 8601, UTC), by whom, and why."""

    when: str
    who: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class ExclusionRule:
    """Declared when a round is opened: whose votes the results are also shown without.

    A share is only held against a rater who judged at least `at_least` such pairs.
    """

    gold_accuracy: float | None = 0.7
    """Least share of gold pairs on which the better answer was chosen."""
    identical_ties: float | None = None
    """Least share of identical pairs judged a tie (`both_bad` counts as one)."""
    repeat_agreement: float | None = None
    """Least share of side-swapped repeats judged as the first time."""
    at_least: int = 3
    """Pairs of a kind that must have been judged before its share counts."""


@dataclass(frozen=True, slots=True)
class Practice:
    """A first item that is not counted, with what most people would say to it."""

    prompt: str
    left: str
    right: str
    answer: Literal["left", "right", "tie", "both_bad"]
    why: str


@dataclass(frozen=True, slots=True)
class Round:
    """One round of blind review. Its three stamps are its state: opened, closed, unblinded."""

    id: str
    experiment: str
    """Experiment id; empty for a round that came from elsewhere."""
    arms: tuple[str, ...]
    evaluations: Mapping[str, str]
    """Arm → source of its answers: the evaluation whose predictions are shown."""
    split: RoundSplit
    items: int
    """(example, arm pair) combinations, automatic ties included."""
    raters: int
    """Raters of each item."""
    queues: int
    """Prepared queues, one a reviewer."""
    seed: int | None
    """Sealed: drawn when the round was opened, known to the store alone. None where nothing was drawn."""
    instructions: str
    criteria: tuple[str, ...]
    """Asked beside the overall choice, such as correctness and style."""
    flags: tuple[str, ...]
    """What an answer may be flagged for, such as fabrication."""
    exclusion: ExclusionRule
    gold: int
    """Gold pairs in each queue; likewise the next two."""
    identical: int
    repeats: int
    opened: Stamp
    closed: Stamp | None = None
    unblinded: Stamp | None = None
    practice: Practice | None = None
    render: Render = "text"
    question: str = ""
    """The closing question: which of two answers is by the first arm."""
    reservation_minutes: float = 30.0
    sensitive: bool = False
    """No text leaves store and app: neither bundle nor preferences."""


@dataclass(frozen=True, slots=True)
class Assignment:
    """One pair of answers for one rater, in the place and on the sides that were drawn for it. Never changed."""

    token: str
    """Opaque, random, at least 128 bits; all that a browser learns of it."""
    round: str
    kind: AssignmentKind
    item: str
    """Opaque; the same for all raters of one (example, arm pair)."""
    example: str
    left: str
    """Source of the left answer: an evaluation id, or a name of a gold answer."""
    right: str
    queue: int | None
    """The queue it stands in; None for practice, automatic ties and imported votes."""
    place: int
    """Position in the queue, from 0."""
    rater: str | None = None
    """Whose practice item or imported vote it is; a queue is its reviewer's by the invitation."""


@dataclass(frozen=True, slots=True)
class ReviewText:
    """A text of a round, kept with it so that what is judged cannot change underneath."""

    round: str
    example: str
    source: str
    """`prompt`, `reference`, `turns` (a conversation as JSON), an evaluation id, or a name of a gold answer."""
    text: str


@dataclass(frozen=True, slots=True)
class Invitation:
    """A person's way in. The token is in the link alone; kept is its keyed hash."""

    name: str
    round: str | None
    """None for an owner, who sees everything."""
    role: Literal["reviewer", "owner"]
    salt: str
    """Key of the hash, in hexadecimal."""
    token_hash: str
    """HMAC-SHA256 of the token."""
    created: str
    revoked: bool = False
    queue: int | None = None
    """The queue that this reviewer took at first arrival; None before, or when all were taken."""
    arrived: str | None = None


@dataclass(frozen=True, slots=True)
class Reservation:
    """An item that is in front of a rater until `expires` (ISO 8601, UTC). The last of an assignment counts."""

    assignment: str
    rater: str
    expires: str
    made: str


@dataclass(frozen=True, slots=True)
class Guess:
    """A rater's answer to the closing question, for the blinding index."""

    round: str
    rater: str
    assignment: str
    answer: Literal["left", "right", "unsure"]
    when: str
    extra: Mapping[str, str] = field(default_factory=dict)
    """What else the page asked, such as how they could tell."""
