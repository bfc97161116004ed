"""Keeps one reviewer's desk: the pair on the screen, what waits for them, and what they may take over from others.

Read at the beginning of a session and kept in step with what the session writes, so that a vote and the next item cost
few queries.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING

from harness.errors import ReviewError
from harness.records import Assignment, Invitation, Judgment, Reservation, Round
from harness.results.human.votes import is_vote, standing
from harness.review.blind import Progress, iso
from harness.review.plan import new_token

if TYPE_CHECKING:
    from harness.store.session import Session

AMONG = "IN (SELECT unnest($1::VARCHAR[]))"
"""SQL: one of the texts in `$1`."""
_QUEUE = "round = $1 AND (queue = $2 OR (kind = 'practice' AND rater = $3))"
_NEAR = f"assignment {AMONG} OR assignment IN (SELECT assignment FROM reservations WHERE rater = $2)"


@dataclass(slots=True)
class Desk:
    """Assignments, votes and reservations of one reviewer in one round."""

    session: Session
    round: Round
    who: Invitation
    own: list[Assignment]
    """Practice first, then the queue in its order."""
    helped: list[Assignment]
    """Of other queues, that this reviewer has or had in front of them."""
    votes: list[Judgment]
    """Every vote, of whatever revision, on any of these; in the order they were cast."""
    reservations: list[Reservation]
    """Every reservation of any of these, in the order they were made."""

    @property
    def me(self) -> str:
        """The reviewer's name."""
        return self.who.name

    def standing(self) -> dict[str, Judgment]:
        """Token → the vote that counts now."""
        return standing(self.votes)

    def find(self, token: str) -> Assignment | None:
        """The assignment with this token, if it is or was this reviewer's."""
        return next((a for a in [*self.own, *self.helped] if a.token == token), None)

    def reservation(self, token: str) -> Reservation | None:
        """The last reservation of an assignment, run out or not."""
        return next((row for row in reversed(self.reservations) if row.assignment == token), None)

    def cast(self, vote: Judgment) -> None:
        """Store a vote."""
        if not self.session.write(vote):
            raise ReviewError("this vote's id belongs to another vote", hint="Reload the page")
        self.votes.append(vote)

    def put(self, a: Assignment, now: datetime) -> None:
        """Put an assignment in front of this reviewer; one that is, with more than half of its time left, stays so."""
        span = timedelta(minutes=self.round.reservation_minutes)
        latest = [row for row in self.reservations if row.rater == self.me][-1:]
        if (
            latest
            and latest[0] == self.reservation(a.token)
            and datetime.fromisoformat(latest[0].expires) > now + span / 2
        ):
            return
        row = Reservation(a.token, self.me, (now + span).isoformat(), now.isoformat())
        self.session.write(row)
        self.reservations.append(row)
        if self.find(a.token) is None:
            self.helped.append(a)

    def current(self, now: datetime) -> Assignment | None:
        """The pair in front of this reviewer, else the next of their queue, else one that others left."""
        counted = self.standing()
        waiting = {a.token: a for a in [*self.own, *self.helped] if not is_closed(counted.get(a.token), self.me)}
        last: dict[str, Reservation] = {}
        for row in self.reservations:
            last.pop(row.assignment, None)
            last[row.assignment] = row
        lasting = {token: row.rater for token, row in last.items() if token in waiting and lasts(row, now)}
        reserved = [token for token, rater in lasting.items() if rater == self.me]
        if reserved:
            return waiting[reserved[-1]]
        queue = [a for a in self.own if a.token in waiting and a.token not in lasting]
        return queue[0] if queue else self._left_by_others(now)

    def _left_by_others(self, now: datetime) -> Assignment | None:
        """The first ordinary pair, in the order of their queues, that this reviewer may take over."""
        session, me = self.session, self.me
        pairs = ordinary(session, self.round)
        tokens = [a.token for a in pairs]
        votes = session.read(Judgment, f"assignment {AMONG}", [tokens], all_rows=True)
        counted = standing(votes)
        people = session.read(Invitation, "round = $1", [self.round.id])
        rows = session.read(Reservation, f"assignment {AMONG}", [tokens])
        here = [row for row in rows if row.rater not in {p.name for p in people if p.revoked}]
        reserved = {r.assignment for r in here if lasts(r, now) and not is_closed(counted.get(r.assignment), r.rater)}
        released = {p.queue for p in people if p.revoked}
        if not any(p.arrived is None and not p.revoked for p in people):
            released |= set(range(self.round.queues)) - {p.queue for p in people}
        answered = {vote.assignment for vote in votes if vote.rater == me}
        seen = {a.item for a in self.own} | {a.item for a in pairs if a.token in answered}
        for a in pairs:
            skipped = a.token in counted and counted[a.token].winner == "skip"
            if a.item in seen or a.token in reserved or is_vote(counted.get(a.token)):
                continue
            if a.queue in released or skipped:
                self.votes += [vote for vote in votes if vote.assignment == a.token and vote not in self.votes]
                return a
        return None

    def progress(self, current: Assignment | None) -> Progress:
        """How far this reviewer is; `current` counts as one to do."""
        counted = self.standing()
        queue = [a for a in self.own if a.kind != "practice"]
        finished = [a for a in queue if is_closed(counted.get(a.token), self.me)]
        own_votes = {token for token, vote in counted.items() if vote.rater == self.me and vote.winner != "undone"}
        helped = [a for a in self.helped if a.token in own_votes]
        extra = len(helped) + (current is not None and current.token not in {a.token for a in [*self.own, *helped]})
        done, total = len(finished) + len(helped), len(queue) + extra
        times = [v.seconds for v in self.votes if v.rater == self.me and is_vote(v) and v.seconds > 0]
        minutes = statistics.median(times) * (total - done) / 60 if len(times) >= 3 else None
        return Progress(done, total, minutes)


def sit_down(session: Session, who: Invitation) -> Desk:
    """The desk of an invited reviewer. Raises ReviewError when the invitation does not hold (any more)."""
    round_, invitation = admitted(session, who)
    own = session.remember(
        ("queue", invitation.queue, invitation.name, invitation.arrived, *_opened(round_)),
        lambda: session.read(Assignment, _QUEUE, [round_.id, invitation.queue, invitation.name]),
    )
    own = sorted(own, key=lambda a: (a.kind != "practice", a.place))
    tokens = {a.token for a in own}
    rows = session.read(Reservation, _NEAR, [list(tokens), invitation.name], all_rows=True)
    touched = dict.fromkeys(row.assignment for row in rows if row.assignment not in tokens)
    helped: list[Assignment] = []
    for token in touched:  # of whatever round: reviewers of one name may work in several
        helped += session.remember(("assignment", token), partial(session.read, Assignment, "token = $1", [token]))
    helped = [a for a in helped if a.round == round_.id]
    tokens |= {a.token for a in helped}
    votes = session.read(Judgment, f"assignment {AMONG}", [list(tokens)], all_rows=True)
    return Desk(session, round_, invitation, own, helped, votes, [row for row in rows if row.assignment in tokens])


def ordinary(session: Session, round_: Round) -> list[Assignment]:
    """All ordinary pairs of a round, in the order in which they were stored."""
    return session.remember(
        ("ordinary", *_opened(round_)),
        lambda: session.read(Assignment, "round = $1 AND kind = 'ordinary'", [round_.id]),
    )


def _opened(round_: Round) -> tuple[str, str]:
    return round_.id, round_.opened.when


def admitted(session: Session, who: Invitation) -> tuple[Round, Invitation]:
    """The round and the invitation as they stand now. Raises ReviewError when the invitation does not hold."""
    invitations = session.read(Invitation, "round IS NOT DISTINCT FROM $1 AND name = $2", [who.round, who.name])
    if not invitations or invitations[0].revoked or invitations[0].token_hash != who.token_hash or who.round is None:
        raise ReviewError("this link is not valid (any more)", hint="Ask the person who sent it for a new one")
    (round_,) = session.read(Round, "id = $1", [who.round])
    return round_, invitations[0]


def arrive(session: Session, who: Invitation, now: datetime) -> Desk:
    """The desk; at the first arrival with the first queue that nobody has taken, and with the practice item."""
    round_, invitation = admitted(session, who)
    refuse_closed(round_)
    if invitation.arrived is None:
        taken = {other.queue for other in session.read(Invitation, "round = $1", [round_.id])}
        free = next((queue for queue in range(round_.queues) if queue not in taken), None)
        session.write(replace(invitation, queue=free, arrived=iso(now)))
        if round_.practice is not None:
            practice = Assignment(new_token(), round_.id, "practice", "practice", "", "", "", None, 0, invitation.name)
            session.write(practice)
    return sit_down(session, who)


def refuse_closed(round_: Round) -> None:
    """Raise ReviewError when nothing can be voted any more."""
    if round_.closed is not None:
        raise ReviewError("this review is closed", hint="Thank you; your earlier answers are kept")


def is_closed(vote: Judgment | None, rater: str) -> bool:
    """Whether `rater` has no more to do with an assignment on which `vote` stands."""
    return is_vote(vote) or (vote is not None and vote.winner == "skip" and vote.rater == rater)


def lasts(row: Reservation, now: datetime) -> bool:
    """Whether a reservation has not run out."""
    return datetime.fromisoformat(row.expires) > now
