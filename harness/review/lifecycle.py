"""Opening, inviting, watching, closing and unblinding a round. Every change is a row that says when, who and why."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from harness.errors import ReviewError
from harness.judged import RoundVotes, counts, standing
from harness.records import Assignment, Invitation, ReviewText, Round, Stamp
from harness.review.blind import iso, make_token, matches, utc_now

if TYPE_CHECKING:
    from harness.store import Store
    from harness.store_rounds import Standing, Tally
    from harness.store_session import Session

LONGEST_NAME = 60
Monitor = Callable[[RoundVotes], Any]
"""An open round of two arms with its votes in the order they were cast → what may be shown of it now."""


@dataclass(frozen=True, slots=True)
class RaterProgress:
    """One reviewer, without any result. `total` is None before the first arrival."""

    name: str
    done: int
    total: int | None
    skipped: int
    last: str | None
    revoked: bool


@dataclass(frozen=True, slots=True)
class RoundStatus:
    """How far a round is. Names no arm and shows no arm's results."""

    id: str
    state: str
    split: str
    opened: Stamp
    closed: Stamp | None
    unblinded: Stamp | None
    items: int
    raters_per_item: int
    votes: int
    """Votes on ordinary pairs, of `wanted` in all."""
    wanted: int
    automatic_ties: int
    free_queues: int
    """Queues that nobody has taken yet."""
    raters: tuple[RaterProgress, ...]
    monitor: Any = None
    """What the monitor makes of the votes so far; None without one, after closing, and with more than two arms."""


def open_round(
    store: Store, there: Round, assignments: Sequence[Assignment], texts: Sequence[ReviewText]
) -> None:  # fmt: skip
    """Store a planned round with everything that will be shown; from now on it can be voted in."""
    with store.session() as session:
        if session.read(Round, "id = $1", [there.id]):
            raise ReviewError(f"there is a round {there.id} already", hint="`harness review status` lists the rounds")
        session.write(there, *assignments, *texts)


def rounds(store: Store) -> list[Round]:
    """All rounds, the newest last."""
    with store.session() as session:
        return session.read(Round)


def find_round(store: Store, name: str) -> Round:
    """The round with this id, or the only one whose id begins so. Raises ReviewError."""
    known = rounds(store)
    found = [one for one in known if one.id == name] or [one for one in known if name and one.id.startswith(name)]
    if len(found) != 1:
        what = "no round" if not found else "more than one round"
        listed = ", ".join(one.id for one in known) or "none yet: `harness review open` makes one"
        raise ReviewError(f"{what} is called {name!r}", hint=f"Rounds: {listed}")
    return found[0]


# ---------------------------------------------------------------------------------------------------- invitations


def invite(store: Store, round_id: str, name: str) -> str:
    """A new link's token for the reviewer `name`; the one they had before stops working, their votes stay theirs.

    The token is returned once and stored nowhere. Raises ReviewError for a closed round.
    """
    with store.session() as session:
        there = round_of(session, round_id)
        if there.closed is not None:
            raise ReviewError(f"the round {round_id} is closed", hint="Open another one")
        return _invite(session, there.id, _checked(name), iso(utc_now()))


def invite_owner(store: Store, name: str) -> str:
    """A new token that opens everything, for whoever owns the results."""
    with store.session() as session:
        return _invite(session, None, _checked(name), iso(utc_now()))


def _invite(session: Session, round_id: str | None, name: str, when: str) -> str:
    before = session.read(Invitation, "round IS NOT DISTINCT FROM $1 AND name = $2", [round_id, name])
    token, salt, hashed = make_token()
    if before:
        session.write(replace(before[0], salt=salt, token_hash=hashed, created=when, revoked=False))
    else:
        session.write(Invitation(name, round_id, "reviewer" if round_id else "owner", salt, hashed, when))
    return token


def _checked(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > LONGEST_NAME or not name.isprintable():
        raise ReviewError(f"a name has 1 to {LONGEST_NAME} printable characters", hint="Give another name")
    return name


def revoke(store: Store, round_id: str | None, name: str) -> None:
    """End an invitation (`round_id` None: an owner's). Votes stay; what is left of the queue goes to the others."""
    with store.session() as session:
        found = session.read(Invitation, "round IS NOT DISTINCT FROM $1 AND name = $2", [round_id, name])
        if not found:
            known = [one.name for one in session.read(Invitation, "round IS NOT DISTINCT FROM $1", [round_id])]
            raise ReviewError(f"nobody called {name!r} is invited", hint=f"Invited: {', '.join(known) or 'nobody'}")
        if not found[0].revoked:
            session.write(replace(found[0], revoked=True))


def authenticate(store: Store, token: str) -> Invitation | None:
    """Whose token this is; None when nobody's or revoked. Compared in constant time with every invitation."""
    with store.session() as session:
        known = session.read(Invitation, "NOT revoked")
    found = None
    for one in known:  # to the end: how long it takes says nothing of which one it was
        if matches(token, one.salt, one.token_hash):
            found = one
    return found


def invited(store: Store, name: str) -> Invitation | None:
    """The newest invitation of this name that is not revoked, for who has proved by a sign-in that it is theirs."""
    with store.session() as session:
        known = session.read(Invitation, "NOT revoked AND lower(name) = lower($1)", [name])
    return known[-1] if known else None


def invitations(store: Store, round_id: str | None) -> list[Invitation]:
    """Everybody invited to a round, revoked ones too; of None the owners."""
    with store.session() as session:
        return session.read(Invitation, "round IS NOT DISTINCT FROM $1", [round_id])


# ------------------------------------------------------------------------------------------------ closing, status


def close(store: Store, round_id: str, who: str, why: str = "") -> Round:
    """End the voting. Raises ReviewError when it is closed already."""
    with store.session() as session:
        there = round_of(session, round_id)
        if there.closed is not None:
            raise ReviewError(f"the round {round_id} was closed at {there.closed.when} by {there.closed.who}")
        closed = replace(there, closed=Stamp(iso(utc_now()), who, why))
        session.write(closed)
        return closed


def unblind(store: Store, round_id: str, who: str, why: str) -> Round:
    """Say which arm wrote what: closes the round if it is open, and is logged. Raises ReviewError without a reason."""
    if not why.strip():
        raise ReviewError("unblinding needs a reason", hint='Say why, for example --reason "all votes are in"')
    with store.session() as session:
        there = round_of(session, round_id)
        if not there.arms:
            hint = "Take the votes to the store where the round was opened: `harness review import`"
            raise ReviewError("this store holds a blinded copy, which does not know the arms", hint=hint)
        if there.unblinded is not None:
            raise ReviewError(f"the round {round_id} was unblinded at {there.unblinded.when} by {there.unblinded.who}")
        stamp = Stamp(iso(utc_now()), who, why.strip())
        opened = replace(there, closed=there.closed or stamp, unblinded=stamp)
        session.write(opened)
        return opened


def status(store: Store, round_id: str, monitor: Monitor | None = None) -> RoundStatus:
    """How far every reviewer is. Results are shown only as `monitor` allows: an anytime-valid interval, or nothing."""
    with store.session() as session:
        there = round_of(session, round_id)
        people = session.read(Invitation, "round = $1", [round_id])
    counted = store.tally(round_id)
    ordinary = [row for row in counted.standing if row.kind == "ordinary"]
    state = "unblinded" if there.unblinded else "closed" if there.closed else "open"
    watched = monitor is not None and state == "open" and len(there.arms) == 2
    return RoundStatus(
        id=there.id,
        state=state,
        split=there.split,
        opened=there.opened,
        closed=there.closed,
        unblinded=there.unblinded,
        items=there.items,
        raters_per_item=there.raters,
        votes=sum(row.number for row in ordinary if counts(row.winner)),
        wanted=sum(row.number for row in ordinary),
        automatic_ties=sum(row.number for row in counted.standing if row.kind == "automatic"),
        free_queues=there.queues - len({one.queue for one in people} - {None}),
        raters=tuple(_progress(one, counted) for one in people),
        monitor=monitor(_in_order(store, there)) if monitor is not None and watched else None,
    )


def _in_order(store: Store, there: Round) -> RoundVotes:
    """A round's votes, ordinary pairs only, in the order they were cast."""
    assignments, votes, _, _ = store.ballots(there.id)
    last = {vote.assignment: place for place, vote in enumerate(votes)}
    ordinary = [a for a in assignments if a.kind == "ordinary"]
    return RoundVotes(there, tuple(sorted(ordinary, key=lambda a: last.get(a.token, 0))), standing(votes))


def _progress(one: Invitation, counted: Tally) -> RaterProgress:
    """How far one reviewer is: their queue, and what they judged of others' queues."""

    def mine(row: Standing) -> bool:
        return row.rater == one.name and row.winner != "undone" and row.kind != "practice"

    def queued(row: Standing) -> bool:
        return one.queue is not None and row.queue == one.queue

    def closed(row: Standing) -> bool:
        return counts(row.winner) or (row.winner == "skip" and row.rater == one.name)

    done = sum(row.number for row in counted.standing if mine(row) or (queued(row) and closed(row)))
    total = sum(row.number for row in counted.standing if mine(row) or queued(row)) if one.arrived else None
    skipped = sum(row.number for row in counted.standing if mine(row) and row.winner == "skip")
    return RaterProgress(one.name, done, total, skipped, counted.last.get(one.name), one.revoked)


def round_of(session: Session, round_id: str) -> Round:
    found = session.read(Round, "id = $1", [round_id])
    if not found:
        raise ReviewError(f"no round is called {round_id!r}", hint="`harness review status` lists the rounds")
    return found[0]
