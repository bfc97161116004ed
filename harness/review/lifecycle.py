"""Opens a round, invites its reviewers, watches, closes and unblinds it; every change says when, who and why."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from harness.errors import ReviewError
from harness.records import Assignment, Invitation, ReviewText, Round, Stamp
from harness.results.human.votes import RoundVotes, counts, joined, standing
from harness.review.blind import iso, make_token, matches, utc_now

if TYPE_CHECKING:
    from harness.store import Store
    from harness.store.session import Session
    from harness.store.states import Tally

LONGEST_NAME = 60
LEVEL = 0.95
"""Of the interval that may be seen while a round is open."""


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
    monitor: Monitored | None = None
    """What may be shown of the votes so far; None unless asked for, after closing, and with more than two arms."""


@dataclass(frozen=True, slots=True)
class Monitored:
    """Of pairs whose answers differ, the share in which one arm is preferred (ties count half), not saying which."""

    examples: int
    """Examples that have all their votes; only those count."""
    low: float
    """At least one half."""
    high: float
    level: float
    settled: bool
    """Whether the interval leaves out one half."""

    @property
    def words(self) -> str:
        """A line for people."""
        if not self.examples:
            return "no example has all its votes yet, so nothing can be said"
        how = "settled" if self.settled else "not settled yet"
        return (
            f"one of the two is preferred in {100 * self.low:.1f} to {100 * self.high:.1f} % of comparisons "
            f"({how}; {self.examples} examples, {100 * self.level:.0f} %, holds at every look)"
        )


def open_round(
    store: Store, round_: Round, assignments: Sequence[Assignment], texts: Sequence[ReviewText]
) -> None:  # fmt: skip
    """Store a planned round with everything that will be shown; from now on it can be voted in."""
    with store.session() as session:
        if session.read(Round, "id = $1", [round_.id]):
            raise ReviewError(f"there is a round {round_.id} already", hint="`harness review status` lists the rounds")
        session.write(round_, *assignments, *texts)


def rounds(store: Store) -> list[Round]:
    """All rounds, the newest last."""
    with store.session() as session:
        return session.read(Round)


def find_round(store: Store, name: str) -> Round:
    """The round with this id, or the only one whose id begins so. Raises ReviewError."""
    all_rounds = rounds(store)
    matching = [round_ for round_ in all_rounds if round_.id == name] or [
        round_ for round_ in all_rounds if name and round_.id.startswith(name)
    ]
    if len(matching) != 1:
        what = "no round" if not matching else "more than one round"
        listed = ", ".join(round_.id for round_ in all_rounds) or "none yet: `harness review open` makes one"
        raise ReviewError(f"{what} is called {name!r}", hint=f"Rounds: {listed}")
    return matching[0]


def invite(store: Store, round_id: str | None, name: str) -> str:
    """A new link's token for the reviewer `name`; the one they had before stops working, their votes stay theirs.

    With `round_id` None the link opens everything, for whoever owns the results. The token is returned once and stored
    nowhere. Raises ReviewError for a closed round.
    """
    with store.session() as session:
        if round_id is not None and round_of(session, round_id).closed is not None:
            raise ReviewError(f"the round {round_id} is closed", hint="Open another one")
        name = " ".join(name.split())
        if not name or len(name) > LONGEST_NAME or not name.isprintable():
            raise ReviewError(f"a name has 1 to {LONGEST_NAME} printable characters", hint="Give another name")
        before = session.read(Invitation, "round IS NOT DISTINCT FROM $1 AND name = $2", [round_id, name])
        token, salt, hashed = make_token()
        when = iso(utc_now())
        if before:
            session.write(replace(before[0], salt=salt, token_hash=hashed, created=when, revoked=False))
        else:
            session.write(Invitation(name, round_id, "reviewer" if round_id else "owner", salt, hashed, when))
        return token


def revoke(store: Store, round_id: str | None, name: str) -> None:
    """End an invitation (`round_id` None: an owner's). Votes stay; what is left of the queue goes to the others."""
    with store.session() as session:
        invited = session.read(Invitation, "round IS NOT DISTINCT FROM $1 AND name = $2", [round_id, name])
        if not invited:
            names = [person.name for person in session.read(Invitation, "round IS NOT DISTINCT FROM $1", [round_id])]
            raise ReviewError(f"nobody called {name!r} is invited", hint=f"Invited: {', '.join(names) or 'nobody'}")
        if not invited[0].revoked:
            session.write(replace(invited[0], revoked=True))


def authenticate(store: Store, token: str) -> Invitation | None:
    """The invitation with this token; None without one, or where it is revoked. Compares all in constant time."""
    with store.session() as session:
        people = session.read(Invitation, "NOT revoked")
    owner = None
    for person in people:  # to the end: how long it takes says nothing of which one it was
        if matches(token, person.salt, person.token_hash):
            owner = person
    return owner


def invited(store: Store, name: str) -> Invitation | None:
    """The newest invitation of this name that is not revoked, for somebody whose sign-in proved the name."""
    with store.session() as session:
        matching = session.read(Invitation, "NOT revoked AND lower(name) = lower($1)", [name])
    return matching[-1] if matching else None


def invitations(store: Store, round_id: str | None) -> list[Invitation]:
    """Everybody invited to a round, revoked ones too; of None the owners."""
    with store.session() as session:
        return session.read(Invitation, "round IS NOT DISTINCT FROM $1", [round_id])


def close(store: Store, round_id: str, who: str, why: str = "") -> Round:
    """End the voting. Raises ReviewError when it is closed already."""
    with store.session() as session:
        round_ = round_of(session, round_id)
        if round_.closed is not None:
            raise ReviewError(f"the round {round_id} was closed at {round_.closed.when} by {round_.closed.who}")
        closed = replace(round_, closed=Stamp(iso(utc_now()), who, why))
        session.write(closed)
        return closed


def unblind(store: Store, round_id: str, who: str, why: str) -> Round:
    """Say which arm wrote what: closes the round if it is open, and is logged. Raises ReviewError without a reason."""
    if not why.strip():
        raise ReviewError("unblinding needs a reason", hint='Say why, for example --reason "all votes are in"')
    with store.session() as session:
        round_ = round_of(session, round_id)
        if not round_.arms:
            hint = "Take the votes to the store where the round was opened: `harness review import`"
            raise ReviewError("this store holds a blinded copy, which does not know the arms", hint=hint)
        if round_.unblinded is not None:
            raise ReviewError(
                f"the round {round_id} was unblinded at {round_.unblinded.when} by {round_.unblinded.who}"
            )
        stamp = Stamp(iso(utc_now()), who, why.strip())
        opened = replace(round_, closed=round_.closed or stamp, unblinded=stamp)
        session.write(opened)
        return opened


def status(store: Store, round_id: str, *, monitor: bool = False) -> RoundStatus:
    """How far every reviewer is. With `monitor` also an anytime-valid interval, the only result that may be shown."""
    with store.session() as session:
        round_ = round_of(session, round_id)
        people = session.read(Invitation, "round = $1", [round_id])
    counted = store.tally(round_id)
    ordinary = [row for row in counted.standing if row.kind == "ordinary"]
    state = "unblinded" if round_.unblinded else "closed" if round_.closed else "open"
    watched = monitor and state == "open" and len(round_.arms) == 2
    return RoundStatus(
        id=round_.id,
        state=state,
        split=round_.split,
        opened=round_.opened,
        closed=round_.closed,
        unblinded=round_.unblinded,
        items=round_.items,
        raters_per_item=round_.raters,
        votes=sum(row.number for row in ordinary if counts(row.winner)),
        wanted=sum(row.number for row in ordinary),
        automatic_ties=sum(row.number for row in counted.standing if row.kind == "automatic"),
        free_queues=round_.queues - len({person.queue for person in people} - {None}),
        raters=tuple(_progress(person, counted) for person in people),
        monitor=preferred(_in_order(store, round_)) if watched else None,
    )


def _in_order(store: Store, round_: Round) -> RoundVotes:
    """A round's votes, ordinary pairs only, in the order they were cast."""
    assignments, votes, _, _ = store.ballots(round_.id)
    last = {vote.assignment: position for position, vote in enumerate(votes)}
    ordinary = [a for a in assignments if a.kind == "ordinary"]
    return RoundVotes(round_, tuple(sorted(ordinary, key=lambda a: last.get(a.token, 0))), standing(votes))


def _progress(person: Invitation, counted: Tally) -> RaterProgress:
    """How far one reviewer is: their queue, and what they judged of others' queues."""

    rows = counted.standing
    own = {row for row in rows if row.rater == person.name and row.winner != "undone" and row.kind != "practice"}
    queued = {row for row in rows if person.queue is not None and row.queue == person.queue}
    closed = {row for row in queued if counts(row.winner) or (row.winner == "skip" and row.rater == person.name)}
    done = sum(row.number for row in own | closed)
    total = sum(row.number for row in own | queued) if person.arrived else None
    skipped = sum(row.number for row in own if row.winner == "skip")
    return RaterProgress(person.name, done, total, skipped, counted.last.get(person.name), person.revoked)


def round_of(session: Session, round_id: str) -> Round:
    matching = session.read(Round, "id = $1", [round_id])
    if not matching:
        raise ReviewError(f"no round is called {round_id!r}", hint="`harness review status` lists the rounds")
    return matching[0]


def round_votes(store: Store, round_id: str) -> RoundVotes:
    """A round, its assignments and their votes."""
    with store.session() as session:
        round_ = round_of(session, round_id)
    return joined(round_, store.ballots(round_id))


def preferred(round_votes: RoundVotes) -> Monitored:
    """The folded anytime-valid interval of a round of two arms; from 0.5 to 1 before an example has all its votes.

    Whoever watches may be a reviewer too, so no arm may be named. The interval is of how often the more preferred of
    the two answers is preferred, whichever arm's it is: the limits of the first arm's win rate, folded at one half. It
    is symmetric in the arms, and holds whenever theirs does.

    Items with the same text on both sides are left out: which items those are does not hang on chance. *Both bad* is
    in no rate.
    """
    from harness.stats.votes import Vote, VoteTable, monitored_win_rate

    sources = round_votes.round.evaluations
    names = {sources[round_votes.round.arms[0]]: "first", sources[round_votes.round.arms[1]]: "second"}
    rows = [
        Vote(a.example, names[a.left], names[a.right], vote.rater, vote.winner)  # type: ignore[arg-type]
        for a, vote in round_votes.judged("ordinary")
    ]
    if not rows:
        return Monitored(0, 0.5, 1.0, LEVEL, False)
    measured = monitored_win_rate(VoteTable.of(rows), "first", "second", round_votes.round.raters, level=LEVEL).estimate
    if measured is None or measured.low is None or measured.high is None:
        return Monitored(0, 0.5, 1.0, LEVEL, False)
    ends = sorted((abs(measured.low - 0.5), abs(measured.high - 0.5)))
    settled = not measured.low <= 0.5 <= measured.high
    return Monitored(measured.clusters, 0.5 + ends[0] if settled else 0.5, 0.5 + ends[1], LEVEL, settled)
