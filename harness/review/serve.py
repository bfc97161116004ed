"""Serves a reviewer the next pair, stores their vote, and takes it back. Every call is one short store session.

An item is in front of one reviewer at a time: it is reserved for them, by default for 30 minutes, and comes back to
them after a reload, in a second tab, or when the server was restarted. A reviewer works through the queue that they
took at their first arrival. Whoever has finished it helps with ordinary pairs that others left: what was skipped, the
queue of somebody whose invitation was revoked, and, once everybody who is invited has arrived, queues that nobody took.
Nobody judges an item twice that way, so an item never gets more raters than it was planned for.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING

from harness.errors import ReviewError
from harness.records import Assignment, Guess, Invitation, Judgment, ReviewText, Round
from harness.results.human.votes import is_vote, standing
from harness.review.blind import (
    Answer,
    Ballot,
    BlindItem,
    Briefing,
    ClosingQuestion,
    Receipt,
    Thanks,
    check_ballot,
    iso,
    utc_now,
)
from harness.review.desk import AMONG, Desk, admitted, arrive, is_closed, lasts, ordinary, refuse_closed, sit_down

if TYPE_CHECKING:
    from harness.store import Store
    from harness.store.session import Session

Clock = Callable[[], datetime]


def briefing(store: Store, who: Invitation) -> Briefing:
    """The instructions of the reviewer's round. Raises ReviewError when the invitation does not hold (any more)."""
    with store.session() as session:
        round_, _ = admitted(session, who)
    practice = round_.practice is not None
    return Briefing(round_.instructions, round_.criteria, round_.flags, round_.render, practice, round_.closed is None)


def next_item(store: Store, who: Invitation, *, clock: Clock = utc_now) -> BlindItem | Thanks:
    """What this reviewer sees now: the pair in front of them, else the next one, else thanks.

    Raises ReviewError when the round is closed or the invitation does not hold.
    """
    with store.session() as session:
        return _next(arrive(session, who, clock()), clock())


def vote(store: Store, who: Invitation, ballot: Ballot, *, clock: Clock = utc_now) -> Receipt:
    """Store a vote; when this returns, it is on disk twice. The same id again changes nothing and is no error.

    Raises ReviewError when the round is closed, the invitation does not hold, the answer is none that the round knows,
    or the pair is not (any more) in front of this reviewer.
    """
    with store.session() as session:
        return _vote(sit_down(session, who), ballot, clock())


def vote_and_next(
    store: Store, who: Invitation, ballot: Ballot, *, clock: Clock = utc_now
) -> tuple[Receipt, BlindItem | Thanks]:
    """`vote` and `next_item` in one session, which is half the waiting."""
    with store.session() as session:
        desk = sit_down(session, who)
        return _vote(desk, ballot, clock()), _next(desk, clock())


def undo(store: Store, who: Invitation, undo_id: str, *, clock: Clock = utc_now) -> BlindItem | Thanks:
    """Take back this reviewer's last standing vote and put its pair in front of them again; may be repeated.

    `undo_id` is made by the page for each press: the same id again takes nothing more back. Raises ReviewError when
    there is nothing to take back, or what was skipped went to somebody else.
    """
    with store.session() as session:
        desk, now = sit_down(session, who), clock()
        refuse_closed(desk.round)
        if any(vote.id == undo_id for vote in desk.votes):
            return _next(desk, now)
        counted = desk.standing()
        own = [vote for vote in desk.votes if vote.rater == desk.me and vote.winner != "undone"]
        undoable = [vote for vote in own if counted[vote.assignment] == vote]
        if not undoable:
            raise ReviewError("there is no choice to take back", hint="Go on with the item that is shown")
        last = undoable[-1]
        row, a = desk.reservation(last.assignment), desk.find(last.assignment)
        assert a is not None
        if row is not None and row.rater != desk.me and lasts(row, now):
            raise ReviewError("the item that you skipped is with another reviewer now", hint="Go on with the next")
        desk.cast(Judgment(undo_id, a.token, last.revision + 1, desk.me, "undone", 0.0, iso(now)))
        desk.put(a, now)
        return _next(desk, now)


def reference(store: Store, who: Invitation, token: str) -> str | None:
    """The reference answer to the pair's prompt, for the reviewer who has or had it in front of them."""
    with store.session() as session:
        assignment = sit_down(session, who).find(token)
        if assignment is None or assignment.kind == "practice":
            return None
        return _texts(session, assignment, ("reference",)).get("reference")


def guess(store: Store, who: Invitation, token: str, answer: Answer) -> None:
    """Store the answer to the closing question. Raises ReviewError for a pair that this reviewer has not judged."""
    with store.session() as session:
        desk = sit_down(session, who)
        if answer not in ("left", "right", "unsure"):
            raise ReviewError(f"{answer!r} is no answer", hint="Give left, right or unsure")
        if not is_vote(desk.standing().get(token)):
            raise ReviewError("this pair is none that you have judged", hint="Reload the page")
        session.write(Guess(desk.round.id, desk.me, token, answer, iso(utc_now())))


def pair_texts(session: Session, round_: Round, assignment: Assignment) -> dict[str, str]:
    """Texts of an assignment: `prompt`, `left`, `right`, and `reference` where there is one."""
    if assignment.kind == "practice":
        assert round_.practice is not None
        return {"prompt": round_.practice.prompt, "left": round_.practice.left, "right": round_.practice.right}
    texts = _texts(session, assignment, ("prompt", "reference", assignment.left, assignment.right))
    named = {"prompt": texts["prompt"], "left": texts[assignment.left], "right": texts[assignment.right]}
    return {**named, "reference": texts["reference"]} if "reference" in texts else named


def _texts(session: Session, assignment: Assignment, sources: tuple[str, ...]) -> dict[str, str]:
    where = f"source {AMONG} AND round = $2 AND example = $3"
    rows = session.remember(
        ("texts", assignment.round, assignment.example, sources),
        lambda: session.read(ReviewText, where, [list(sources), assignment.round, assignment.example]),
    )
    return {row.source: row.text for row in rows}


def _next(desk: Desk, now: datetime) -> BlindItem | Thanks:
    refuse_closed(desk.round)
    assignment = desk.current(now)
    if assignment is None:
        return _thanks(desk)
    desk.put(assignment, now)
    round_, last = desk.round, desk.standing().get(assignment.token)
    texts = pair_texts(desk.session, round_, assignment)
    return BlindItem(
        token=assignment.token,
        vote_id=f"{assignment.token}-{last.revision + 1 if last else 1}",
        prompt=texts["prompt"],
        left=texts["left"],
        right=texts["right"],
        practice=assignment.kind == "practice",
        has_reference="reference" in texts,
        progress=desk.progress(assignment),
        criteria=round_.criteria,
        flags=round_.flags,
        render=round_.render,
    )


def _thanks(desk: Desk) -> Thanks:
    round_, session = desk.round, desk.session
    pairs = ordinary(session, round_)
    tokens = [a.token for a in pairs]
    counted = standing(session.read(Judgment, f"assignment {AMONG}", [tokens], all_rows=True))
    left = sum(not is_vote(counted.get(token)) for token in tokens)
    asked = session.read(Guess, "round = $1 AND rater = $2", [round_.id, desk.me])
    first = round_.evaluations.get(round_.arms[0]) if round_.arms else None
    judged = [a for a in pairs if is_vote(counted.get(a.token)) and counted[a.token].rater == desk.me]
    fitting = [a for a in judged if first is None or first in (a.left, a.right)]
    question = None
    if fitting and not asked:
        texts = pair_texts(session, round_, fitting[-1])
        question = ClosingQuestion(fitting[-1].token, round_.question, texts["prompt"], texts["left"], texts["right"])
    return Thanks(desk.progress(None).done, left, question)


def _vote(desk: Desk, ballot: Ballot, now: datetime) -> Receipt:
    round_, assignment = desk.round, desk.find(ballot.token)
    practice = round_.practice if assignment is not None and assignment.kind == "practice" else None
    said = f"Most people would choose: {practice.answer.replace('_', ' ')}. {practice.why}" if practice else None
    stored = next((vote for vote in desk.votes if vote.id == ballot.id and vote.rater == desk.me), None)
    if stored is not None and stored.assignment == ballot.token:
        return Receipt(stored.winner, False, said)
    refuse_closed(round_)
    check_ballot(ballot, round_.criteria, round_.flags)
    counted = desk.standing().get(ballot.token)
    row = desk.reservation(ballot.token)
    if assignment is not None and counted is not None and counted.rater == desk.me and is_closed(counted, desk.me):
        raise ReviewError("you have judged this item already", hint="Take your last choice back to change it")
    if assignment is None or is_vote(counted) or row is None or row.rater != desk.me:
        raise ReviewError("this item is not in front of you (any more)", hint="Reload the page for the next one")
    desk.cast(
        Judgment(
            id=ballot.id,
            assignment=ballot.token,
            revision=counted.revision + 1 if counted is not None else 1,
            rater=desk.me,
            winner=ballot.winner,
            seconds=float(ballot.seconds),
            when=iso(now),
            flags=tuple(dict.fromkeys(ballot.flags)),
            comment=ballot.comment or None,
            criteria=dict(ballot.criteria),
        )
    )
    return Receipt(ballot.winner, True, said)
