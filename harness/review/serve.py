"""The next pair for a reviewer, their vote, and taking it back. Every call is one short session of the store.

An item is in front of one reviewer at a time: it is reserved for them, by default for 30 minutes, and comes back to
them after a reload, in a second tab, or when the server was restarted. A reviewer works through the queue that they
took at their first arrival. Whoever has finished it helps with ordinary pairs that others left: what was skipped, the
queue of somebody whose invitation was revoked, and, once everybody who is invited has arrived, queues that nobody took.
Nobody judges an item twice that way, so an item never gets more raters than it was planned for.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from harness.errors import ReviewError
from harness.records import Assignment, Guess, Invitation, Judgment, Reservation, ReviewText, Round
from harness.review.blind import (
    Answer,
    Ballot,
    BlindItem,
    Briefing,
    ClosingQuestion,
    Progress,
    Receipt,
    Thanks,
    check_ballot,
    iso,
    utc_now,
)
from harness.review.plan import new_token

if TYPE_CHECKING:
    from harness.store import Store
    from harness.store_session import Session

Clock = Callable[[], datetime]
AMONG = "IN (SELECT unnest($1::VARCHAR[]))"
_ASSIGNMENT_AMONG = f"assignment {AMONG}"


@dataclass(frozen=True, slots=True)
class _Desk:
    """What one reviewer has to do with."""

    round: Round
    who: Invitation
    own: list[Assignment]
    """Practice first, then the queue in its order."""
    helped: list[Assignment]
    """Of other queues, that this reviewer has or had in front of them."""
    votes: list[Judgment]
    """Every vote, of whatever revision, on any of these; in the order they were cast."""

    def standing(self) -> dict[str, Judgment]:
        """Token → the vote that counts now."""
        return standing(self.votes)

    def unfinished(self) -> list[Assignment]:
        """What waits in the own queue."""
        now = self.standing()
        return [a for a in self.own if not is_closed(now.get(a.token), self.who.name)]


def standing(votes: Sequence[Judgment]) -> dict[str, Judgment]:
    """Token → its vote of the highest revision."""
    found: dict[str, Judgment] = {}
    for vote in votes:
        if vote.assignment not in found or found[vote.assignment].revision < vote.revision:
            found[vote.assignment] = vote
    return found


def is_vote(vote: Judgment | None) -> bool:
    """Whether there is a judgment that counts: neither skipped nor taken back."""
    return vote is not None and vote.winner not in ("skip", "undone")


def is_closed(vote: Judgment | None, rater: str) -> bool:
    """Whether `rater` has no more to do with an assignment on which `vote` stands."""
    return is_vote(vote) or (vote is not None and vote.winner == "skip" and vote.rater == rater)


# ----------------------------------------------------------------------------------------------------- for a page


def briefing(store: Store, who: Invitation) -> Briefing:
    """The instructions of the reviewer's round. Raises ReviewError when the invitation does not hold (any more)."""
    with store.session() as session:
        found, _ = _admitted(session, who)
    practice = found.practice is not None
    return Briefing(found.instructions, found.criteria, found.flags, found.render, practice, found.closed is None)


def next_item(store: Store, who: Invitation, *, clock: Clock = utc_now) -> BlindItem | Thanks:
    """What this reviewer sees now: the pair in front of them, else the next one, else thanks.

    Raises ReviewError when the round is closed or the invitation does not hold.
    """
    with store.session() as session:
        return _next(session, _arrive(session, who, clock()), clock())


def vote(store: Store, who: Invitation, ballot: Ballot, *, clock: Clock = utc_now) -> Receipt:
    """Store a vote; when this returns, it is on disk twice. The same id again changes nothing and is no error.

    Raises ReviewError when the round is closed, the invitation does not hold, the answer is none that the round knows,
    or the pair is not (any more) in front of this reviewer.
    """
    with store.session() as session:
        return _vote(session, who, ballot, clock())


def vote_and_next(
    store: Store, who: Invitation, ballot: Ballot, *, clock: Clock = utc_now
) -> tuple[Receipt, BlindItem | Thanks]:
    """`vote` and `next_item` in one session, which is half the waiting."""
    with store.session() as session:
        receipt = _vote(session, who, ballot, clock())
        return receipt, _next(session, _desk(session, who), clock())


def undo(store: Store, who: Invitation, undo_id: str, *, clock: Clock = utc_now) -> BlindItem | Thanks:
    """Take back this reviewer's last standing vote and put its pair in front of them again; may be repeated.

    `undo_id` is made by the page for each press: the same id again takes nothing more back. Raises ReviewError when
    there is nothing to take back, or what was skipped went to somebody else.
    """
    with store.session() as session:
        desk = _desk(session, who)
        _refuse_closed(desk.round)
        now = clock()
        if not session.read(Judgment, "id = $1", [undo_id], all_rows=True):
            counted = desk.standing()
            mine = [
                v for v in desk.votes if counted[v.assignment] == v and v.rater == who.name and v.winner != "undone"
            ]
            if not mine:
                raise ReviewError("there is no choice to take back", hint="Go on with the item that is shown")
            last = mine[-1]
            if last.winner == "skip" and _holder(session, last.assignment, now) not in (None, who.name):
                raise ReviewError("the item that you skipped is with another reviewer now", hint="Go on with the next")
            session.write(Judgment(undo_id, last.assignment, last.revision + 1, who.name, "undone", 0.0, iso(now)))
            _reserve(session, desk.round, last.assignment, who.name, now)
        return _next(session, _desk(session, who), now)


def reference(store: Store, who: Invitation, token: str) -> str | None:
    """The reference answer to the pair's prompt, for the reviewer who has or had it in front of them."""
    with store.session() as session:
        desk = _desk(session, who)
        found = next((a for a in [*desk.own, *desk.helped] if a.token == token and a.kind != "practice"), None)
        return _texts(session, found, ("reference",)).get("reference") if found is not None else None


def guess(store: Store, who: Invitation, token: str, answer: Answer, *, clock: Clock = utc_now) -> None:
    """Store the answer to the closing question. Raises ReviewError for a pair that this reviewer has not judged."""
    with store.session() as session:
        desk = _desk(session, who)
        if answer not in ("left", "right", "unsure"):
            raise ReviewError(f"{answer!r} is no answer", hint="Give left, right or unsure")
        if not is_vote(desk.standing().get(token)):
            raise ReviewError("this pair is none that you have judged", hint="Reload the page")
        session.write(Guess(desk.round.id, who.name, token, answer, iso(clock())))


# --------------------------------------------------------------------------------------------------------- inside


def _admitted(session: Session, who: Invitation) -> tuple[Round, Invitation]:
    """The round and the invitation as they stand now."""
    values = [who.round, who.name]
    found = session.read(Invitation, "round IS NOT DISTINCT FROM $1 AND name = $2", values)
    if not found or found[0].revoked or found[0].token_hash != who.token_hash or who.round is None:
        raise ReviewError("this link is not valid (any more)", hint="Ask the person who sent it for a new one")
    (there,) = session.read(Round, "id = $1", [who.round])
    return there, found[0]


def _refuse_closed(there: Round) -> None:
    if there.closed is not None:
        raise ReviewError("this review is closed", hint="Thank you; your earlier answers are kept")


def _desk(session: Session, who: Invitation) -> _Desk:
    there, now = _admitted(session, who)
    where = "round = $1 AND (queue = $2 OR (kind = 'practice' AND rater = $3))"
    own = session.read(Assignment, where, [there.id, now.queue, now.name])
    own.sort(key=lambda a: (a.kind != "practice", a.place))
    touched = [r.assignment for r in session.read(Reservation, "rater = $1", [now.name], all_rows=True)]
    known = {a.token for a in own}
    others = [token for token in dict.fromkeys(touched) if token not in known]
    helped = session.read(Assignment, f"token {AMONG} AND round = $2", [others, there.id]) if others else []
    tokens = [a.token for a in [*own, *helped]]
    return _Desk(there, now, own, helped, session.read(Judgment, _ASSIGNMENT_AMONG, [tokens], all_rows=True))


def _arrive(session: Session, who: Invitation, now: datetime) -> _Desk:
    """The reviewer's desk; at the first arrival with the first queue that nobody has taken, and the practice item."""
    there, known = _admitted(session, who)
    _refuse_closed(there)
    if known.arrived is None:
        everyone = session.read(Invitation, "round = $1", [there.id])
        taken = {one.queue for one in everyone}
        free = next((queue for queue in range(there.queues) if queue not in taken), None)
        session.write(replace(known, queue=free, arrived=iso(now)))
        if there.practice is not None:
            session.write(
                Assignment(new_token(), there.id, "practice", "practice", "", "", "", None, 0, rater=known.name)
            )
    return _desk(session, who)


def _next(session: Session, desk: _Desk, now: datetime) -> BlindItem | Thanks:
    _refuse_closed(desk.round)
    found = _held(session, desk, now) or next(iter(_waiting(session, desk, now)), None)
    if found is None:
        found = next(iter(_left_by_others(session, desk, now)), None)
    if found is None:
        return _thanks(session, desk)
    _reserve(session, desk.round, found.token, desk.who.name, now)
    return _show(session, desk, found)


def _held(session: Session, desk: _Desk, now: datetime) -> Assignment | None:
    """The unfinished pair that was put in front of this reviewer last, unless the reservation has run out.

    A pair of somebody else's queue that ran out may have gone to others; one of the own queue comes in its turn.
    """
    counted = desk.standing()
    waiting = {
        a.token: a for a in [*desk.own, *desk.helped] if not is_closed(counted.get(a.token), desk.who.name)
    }  # fmt: skip
    if not waiting:
        return None
    latest: dict[str, Reservation] = {}
    for row in session.read(Reservation, _ASSIGNMENT_AMONG, [list(waiting)], all_rows=True):
        latest.pop(row.assignment, None)
        latest[row.assignment] = row
    good = [row for row in latest.values() if row.rater == desk.who.name and _lasts(row, now)]
    return waiting[good[-1].assignment] if good else None


def _waiting(session: Session, desk: _Desk, now: datetime) -> list[Assignment]:
    """What is unfinished in the own queue, less what another reviewer has in front of them."""
    unfinished = desk.unfinished()
    rows = session.read(Reservation, _ASSIGNMENT_AMONG, [[a.token for a in unfinished]])
    away = {row.assignment for row in rows if _lasts(row, now) and row.rater != desk.who.name}
    return [a for a in unfinished if a.token not in away]


def _lasts(row: Reservation, now: datetime) -> bool:
    return datetime.fromisoformat(row.expires) > now


def _holder(session: Session, token: str, now: datetime) -> str | None:
    """In front of whom an assignment is; None when nobody or when it ran out."""
    rows = session.read(Reservation, "assignment = $1", [token])
    return rows[0].rater if rows and _lasts(rows[0], now) else None


def _reserve(session: Session, there: Round, token: str, rater: str, now: datetime) -> None:
    """Put an assignment in front of `rater`; a reservation with more than half of its time left is left alone."""
    span = timedelta(minutes=there.reservation_minutes)
    rows = session.read(Reservation, "assignment = $1", [token])
    last = session.read(Reservation, "rater = $1", [rater], all_rows=True)[-1:]
    if rows and last and last[0] == rows[0] and datetime.fromisoformat(rows[0].expires) > now + span / 2:
        return
    session.write(Reservation(token, rater, (now + span).isoformat(), now.isoformat()))


def _left_by_others(session: Session, desk: _Desk, now: datetime) -> list[Assignment]:
    """Ordinary pairs that this reviewer may take over, in the order of their queues."""
    there, me = desk.round, desk.who.name
    pairs = session.read(Assignment, "round = $1 AND kind = 'ordinary'", [there.id])
    tokens = [a.token for a in pairs]
    votes = session.read(Judgment, _ASSIGNMENT_AMONG, [tokens], all_rows=True)
    counted = standing(votes)
    people = session.read(Invitation, "round = $1", [there.id])
    held = {r.assignment for r in session.read(Reservation, _ASSIGNMENT_AMONG, [tokens]) if _lasts(r, now)}
    released = {p.queue for p in people if p.revoked}
    if not any(p.arrived is None and not p.revoked for p in people):
        released |= set(range(there.queues)) - {p.queue for p in people}
    seen = {a.item for a in desk.own} | {
        a.item for a in pairs if a.token in {v.assignment for v in votes if v.rater == me}
    }
    return [
        a
        for a in pairs
        if a.item not in seen
        and a.token not in held
        and not is_vote(counted.get(a.token))
        and (a.queue in released or (a.token in counted and counted[a.token].winner == "skip"))
    ]


def _show(session: Session, desk: _Desk, found: Assignment) -> BlindItem:
    there = desk.round
    texts = pair_texts(session, there, found)
    last = desk.standing().get(found.token)
    return BlindItem(
        token=found.token,
        vote_id=f"{found.token}-{last.revision + 1 if last else 1}",
        prompt=texts["prompt"],
        left=texts["left"],
        right=texts["right"],
        practice=found.kind == "practice",
        has_reference="reference" in texts,
        progress=_progress(desk, found),
        criteria=there.criteria,
        flags=there.flags,
        render=there.render,
    )


def pair_texts(session: Session, there: Round, found: Assignment) -> dict[str, str]:
    """Texts of an assignment: `prompt`, `left`, `right`, and `reference` where there is one."""
    if found.kind == "practice":
        assert there.practice is not None
        return {"prompt": there.practice.prompt, "left": there.practice.left, "right": there.practice.right}
    texts = _texts(session, found, ("prompt", "reference", found.left, found.right))
    named = {"prompt": texts["prompt"], "left": texts[found.left], "right": texts[found.right]}
    return {**named, "reference": texts["reference"]} if "reference" in texts else named


def _texts(session: Session, found: Assignment, sources: tuple[str, ...]) -> dict[str, str]:
    where = f"source {AMONG} AND round = $2 AND example = $3"
    return {
        row.source: row.text for row in session.read(ReviewText, where, [list(sources), found.round, found.example])
    }


def _progress(desk: _Desk, current: Assignment | None) -> Progress:
    counted = desk.standing()
    queue = [a for a in desk.own if a.kind != "practice"]
    finished = [a for a in queue if is_closed(counted.get(a.token), desk.who.name)]
    mine = {token for token, vote in counted.items() if vote.rater == desk.who.name and vote.winner != "undone"}
    helped = [a for a in desk.helped if a.token in mine]
    extra = len(helped) + (current is not None and current.token not in {a.token for a in [*desk.own, *helped]})
    done, total = len(finished) + len(helped), len(queue) + extra
    times = [v.seconds for v in desk.votes if v.rater == desk.who.name and is_vote(v) and v.seconds > 0]
    minutes = statistics.median(times) * (total - done) / 60 if len(times) >= 3 else None
    return Progress(done, total, minutes)


def _thanks(session: Session, desk: _Desk) -> Thanks:
    there, me = desk.round, desk.who.name
    pairs = session.read(Assignment, "round = $1 AND kind = 'ordinary'", [there.id])
    counted = standing(session.read(Judgment, _ASSIGNMENT_AMONG, [[a.token for a in pairs]], all_rows=True))
    left = sum(not is_vote(counted.get(a.token)) for a in pairs)
    asked = session.read(Guess, "round = $1 AND rater = $2", [there.id, me])
    first = there.evaluations.get(there.arms[0]) if there.arms else None
    judged = [a for a in pairs if is_vote(counted.get(a.token)) and counted[a.token].rater == me]
    fitting = [a for a in judged if first is None or first in (a.left, a.right)]
    question = None
    if fitting and not asked:
        texts = pair_texts(session, there, fitting[-1])
        question = ClosingQuestion(fitting[-1].token, there.question, texts["prompt"], texts["left"], texts["right"])
    return Thanks(_progress(desk, None).done, left, question)


def _vote(session: Session, who: Invitation, ballot: Ballot, now: datetime) -> Receipt:
    there, known = _admitted(session, who)
    found = session.read(Assignment, "token = $1 AND round = $2", [ballot.token, there.id])
    if not found:
        raise ReviewError("there is no such item in this review", hint="Reload the page")
    practice = there.practice if found[0].kind == "practice" else None
    said = f"Most people would choose: {practice.answer.replace('_', ' ')}. {practice.why}" if practice else None
    stored = session.read(Judgment, "id = $1", [ballot.id], all_rows=True)
    if stored:
        if stored[0].assignment != ballot.token or stored[0].rater != known.name:
            raise ReviewError("this vote's id belongs to another vote", hint="Reload the page")
        return Receipt(stored[0].winner, False, said)
    _refuse_closed(there)
    check_ballot(ballot, there.criteria, there.flags)
    counted = standing(session.read(Judgment, "assignment = $1", [ballot.token], all_rows=True)).get(ballot.token)
    rows = session.read(Reservation, "assignment = $1", [ballot.token])
    if counted is not None and is_closed(counted, known.name) and counted.rater == known.name:
        raise ReviewError("you have judged this item already", hint="Take your last choice back to change it")
    if is_vote(counted) or not rows or rows[0].rater != known.name:
        raise ReviewError("this item is not in front of you (any more)", hint="Reload the page for the next one")
    revision = counted.revision + 1 if counted is not None else 1
    session.write(
        Judgment(
            id=ballot.id,
            assignment=ballot.token,
            revision=revision,
            rater=known.name,
            winner=ballot.winner,
            seconds=float(ballot.seconds),
            when=iso(now),
            flags=tuple(dict.fromkeys(ballot.flags)),
            comment=ballot.comment or None,
            criteria=dict(ballot.criteria),
        )
    )
    return Receipt(ballot.winner, True, said)
