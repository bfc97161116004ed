"""Defines what a reviewer's browser is sent and sends back: texts, tokens and counts, nothing that names an arm."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Literal

from harness.errors import ReviewError
from harness.records import Render, Winner

CHOICES: tuple[Winner, ...] = ("left", "right", "tie", "both_bad", "skip")
"""What a reviewer can answer; keys 1, 2, 3, 4 and 0."""
LONGEST_COMMENT = 4000
TOKEN_BYTES = 32

DEFAULT_INSTRUCTIONS = """\
You will see a text and two answers to it, side by side. Choose the better answer.

Read both answers to the end before you choose. Judge what they say, not how long they are. If they are equally good,
say so; if neither can be used, say that. Skip an item that you cannot judge. You can take back your last choice, stop
at any time and go on later: nothing is lost."""
DEFAULT_QUESTION = """\
One of these two answers was written by the new method that this review is about, the other by what it is compared
with. Which one do you think is the new method's?"""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a reviewer is; practice does not count. `minutes_left` is None before the first votes."""

    done: int
    total: int
    minutes_left: float | None = None


@dataclass(frozen=True, slots=True)
class Briefing:
    """What a reviewer reads before the first item."""

    instructions: str
    criteria: tuple[str, ...]
    flags: tuple[str, ...]
    render: Render
    practice: bool
    """Whether the first item is one to practise on."""
    open: bool


@dataclass(frozen=True, slots=True)
class BlindItem:
    """One pair of answers. `vote_id` is the id to vote with: two tabs and a double click send the same one."""

    token: str
    vote_id: str
    prompt: str
    left: str
    right: str
    practice: bool
    has_reference: bool
    progress: Progress
    criteria: tuple[str, ...]
    flags: tuple[str, ...]
    render: Render


@dataclass(frozen=True, slots=True)
class ClosingQuestion:
    """A pair that this reviewer has judged, asked about once more: which one is the first arm's?"""

    token: str
    text: str
    prompt: str
    left: str
    right: str


@dataclass(frozen=True, slots=True)
class Thanks:
    """There is nothing (more) for this reviewer: how much they did, and what others have still to do."""

    done: int
    left_in_total: int
    question: ClosingQuestion | None
    """None once it was answered, or where nothing was judged."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """What a reviewer answers. `flags` are `left:FLAG` or `right:FLAG`, `criteria` criterion → left, right or tie."""

    id: str
    token: str
    winner: Winner
    seconds: float
    flags: tuple[str, ...] = ()
    criteria: Mapping[str, str] = field(default_factory=dict)
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class Receipt:
    """The vote that is stored. `new` is False when it was stored before: by a double click, another tab, a retry."""

    winner: Winner
    new: bool
    explanation: str | None = None
    """After a practice item: what most people would say, and why."""


def check_ballot(ballot: Ballot, criteria: tuple[str, ...], flags: tuple[str, ...]) -> None:
    """Raise ReviewError for an answer that this round does not know."""
    if ballot.winner not in CHOICES:
        raise ReviewError(f"{ballot.winner!r} is no choice", hint=f"Give one of {', '.join(CHOICES)}")
    allowed = {f"{side}:{flag}" for side in ("left", "right") for flag in flags}
    for flag in ballot.flags:
        if flag not in allowed:
            raise ReviewError(
                f"{flag!r} is no flag of this review", hint=f"Flags: {', '.join(sorted(allowed)) or 'none'}"
            )
    for name, side in ballot.criteria.items():
        if name not in criteria or side not in ("left", "right", "tie"):
            hint = f"Criteria: {', '.join(criteria) or 'none'}; each left, right or tie"
            raise ReviewError(f"{name!r}: {side!r} is no answer to a criterion of this review", hint=hint)
    if not 0 <= ballot.seconds < float("inf"):
        raise ReviewError("the seconds of a vote must be a number from 0", hint="Send how long the pair was shown")
    if not ballot.id or (ballot.comment is not None and len(ballot.comment) > LONGEST_COMMENT):
        raise ReviewError(f"a vote needs an id, and a comment of at most {LONGEST_COMMENT} characters")


def utc_now() -> datetime:
    """The present, with its zone."""
    return datetime.now(UTC)


def iso(moment: datetime) -> str:
    """A moment as it is stored, to the second."""
    return moment.isoformat(timespec="seconds")


def make_token() -> tuple[str, str, str]:
    """A fresh token for a link (256 random bits), the key it is hashed with, and the hash."""
    token, salt = secrets.token_urlsafe(TOKEN_BYTES), secrets.token_hex(16)
    return token, salt, token_hash(token, salt)


def token_hash(token: str, salt: str) -> str:
    """HMAC-SHA256 of a token."""
    return hmac.new(bytes.fromhex(salt), token.encode("utf-8", "replace"), hashlib.sha256).hexdigest()


def matches(token: str, salt: str, stored: str) -> bool:
    """Whether `token` is the one whose hash is `stored`, in a time that does not depend on how nearly it is."""
    return hmac.compare_digest(token_hash(token, salt), stored)


Answer = Literal["left", "right", "unsure"]
"""To the closing question."""
