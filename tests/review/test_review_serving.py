"""What a reviewer is shown, votes, takes back and skips: once, in order, and never more than was planned."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from review_samples import PRACTICE, ballot, open_sample, person, queue_of, shown, ticking, work

from harness import review
from harness.errors import ReviewError
from harness.records import Assignment, Judgment, Reservation
from harness.review.blind import Thanks
from harness.review.plan import Design
from harness.store import Store


def votes(store: Store) -> list[Judgment]:
    return [vote for vote in store.judgments() if vote.winner not in ("skip", "undone")]


def test_a_reviewer_works_through_a_queue_in_its_order(store: Store) -> None:
    _, plan = open_sample(store, Design(3, 2, 2, gold=1, identical=1, repeats=1))
    ann = person(store)
    assert work(store, ann) == 6
    assert [vote.assignment for vote in store.judgments()] == [a.token for a in queue_of(plan, 0)]
    end = review.next_item(store, ann)
    assert isinstance(end, Thanks) and end.done == 6 and end.left_in_total == 3
    bo = person(store, "Bo")
    assert work(store, bo) == 6
    assert review.status(store, "r1").votes == review.status(store, "r1").wanted == 6
    assert Counter(vote.rater for vote in votes(store)) == {"Ann": 6, "Bo": 6}


def test_an_item_shows_the_texts_of_its_assignment_and_counts(store: Store) -> None:
    _, plan = open_sample(store)
    first = next(queue_of(plan, 0))
    ann = person(store)
    item = shown(review.next_item(store, ann))
    letter = {"eval-canary-1": "A", "eval-canary-2": "B"}
    assert item.token == first.token and item.prompt == f"prompt of {first.example}"
    assert item.left == f"answer {letter[first.left]} to {first.example}"
    assert item.right == f"answer {letter[first.right]} to {first.example}"
    assert (item.progress.done, item.progress.total, item.progress.minutes_left) == (0, 6, None)
    assert item.criteria == ("correctness",) and item.flags == ("fabrication",) and item.has_reference
    assert review.reference(store, ann, item.token) == "ref"
    assert review.reference(store, ann, "other") is None
    for _ in range(3):
        _, found = review.vote_and_next(store, ann, ballot(item, seconds=30.0))
        item = shown(found)
    assert (item.progress.done, item.progress.total, item.progress.minutes_left) == (3, 6, 1.5)


def test_a_reload_a_second_tab_and_a_double_click_change_nothing(store: Store) -> None:
    open_sample(store)
    ann = person(store)
    item = shown(review.next_item(store, ann))
    again = shown(review.next_item(Store(store.path), ann))
    assert again == item
    first = review.vote(store, ann, ballot(item, "left"))
    second = review.vote(store, ann, ballot(again, "right"))
    assert first.new and not second.new and second.winner == "left"
    assert [(vote.id, vote.winner) for vote in votes(store)] == [(item.vote_id, "left")]
    assert shown(review.next_item(store, ann)).token != item.token
    with store.session() as session:
        held = session.read(Reservation, all_rows=True)
    assert len(held) == 2  # looking again reserved nothing again


def test_flags_criteria_and_comments_are_kept(store: Store) -> None:
    open_sample(store)
    ann = person(store)
    item = shown(review.next_item(store, ann))
    more = {"flags": ("left:fabrication",), "criteria": {"correctness": "right"}, "comment": "=SUM(A1) 🙂"}
    review.vote(store, ann, ballot(item, "both_bad", **more))
    (vote,) = votes(store)
    assert vote.winner == "both_bad" and vote.flags == ("left:fabrication",) and vote.rater == "Ann"
    assert vote.criteria == {"correctness": "right"} and vote.comment == "=SUM(A1) 🙂" and vote.seconds == 2.0


CHANGES: list[dict[str, object]] = [
    {"winner": "undone"},
    {"winner": "best"},
    {"flags": ("fabrication",)},
    {"flags": ("left:other",)},
    {"criteria": {"style": "left"}},
    {"criteria": {"correctness": "up"}},
    {"seconds": -1.0},
    {"seconds": float("nan")},
    {"seconds": float("inf")},
    {"comment": "x" * 4001},
    {"id": ""},
    {"token": "made-up"},
]


def test_an_answer_that_the_round_does_not_know_is_one_line_and_stores_nothing(store: Store) -> None:
    open_sample(store)
    ann = person(store)
    item = shown(review.next_item(store, ann))
    for change in CHANGES:
        with pytest.raises(ReviewError) as caught:
            review.vote(store, ann, ballot(item, **change))
        assert "\n" not in str(caught.value), change
    assert store.judgments() == []


def test_an_item_in_front_of_somebody_else_is_refused(store: Store) -> None:
    open_sample(store)
    ann, bo = person(store), person(store, "Bo")
    item = shown(review.next_item(store, ann))
    review.next_item(store, bo)
    with pytest.raises(ReviewError, match="not in front of you"):
        review.vote(store, bo, ballot(item, id="another"))
    review.vote(store, ann, ballot(item))
    with pytest.raises(ReviewError, match="not in front of you"):
        review.vote(store, bo, ballot(item))
    theirs = shown(review.next_item(store, bo))
    with pytest.raises(ReviewError, match="id belongs to another vote"):
        review.vote(store, bo, ballot(theirs, id=item.vote_id))
    with pytest.raises(ReviewError, match="judged this item already"):
        review.vote(store, ann, ballot(item, id="late"))
    assert len(votes(store)) == 1


def test_an_undo_takes_back_and_a_new_vote_counts_once(store: Store) -> None:
    open_sample(store)
    ann, clock = person(store), ticking()
    first = shown(review.next_item(store, ann, clock=clock))
    _, found = review.vote_and_next(store, ann, ballot(first, "left"), clock=clock)
    second = shown(found)
    back = shown(review.undo(store, ann, "u1", clock=clock))
    assert back.token == first.token and back.vote_id != first.vote_id and back.progress.done == 0
    assert votes(store) == []
    assert shown(review.undo(store, ann, "u1", clock=clock)) == back  # the same press, sent twice
    assert shown(review.next_item(store, ann, clock=clock)) == back
    _, found = review.vote_and_next(store, ann, ballot(back, "right"), clock=clock)
    assert shown(found).token == second.token
    assert [(vote.winner, vote.revision) for vote in votes(store)] == [("right", 3)]
    assert [vote.winner for vote in store.judgments(all_revisions=True)] == ["left", "undone", "right"]


def test_undo_goes_back_several_steps_and_says_when_there_is_nothing(store: Store) -> None:
    open_sample(store, Design(3, 1, 1))
    ann, clock = person(store), ticking()
    with pytest.raises(ReviewError, match="no choice to take back"):
        review.undo(store, ann, "u0", clock=clock)
    found, tokens = review.next_item(store, ann, clock=clock), []
    for _ in range(3):
        tokens.append(shown(found).token)
        _, found = review.vote_and_next(store, ann, ballot(shown(found)), clock=clock)
    back = [shown(review.undo(store, ann, f"u{step}", clock=clock)).token for step in (1, 2, 3)]
    assert back == tokens[::-1] and votes(store) == []
    with pytest.raises(ReviewError, match="no choice to take back"):
        review.undo(store, ann, "u4", clock=clock)
    assert work(store, ann) == 3 and len(votes(store)) == 3


def test_a_skipped_pair_goes_to_another_reviewer_if_there_is_one(store: Store) -> None:
    open_sample(store, Design(4, 1, 2))
    ann, bo = person(store), person(store, "Bo")
    item = shown(review.next_item(store, ann))
    review.vote(store, ann, ballot(item, "skip"))
    assert work(store, ann) == 1  # its own other one; Bo has not arrived, whose queue waits for Bo
    assert work(store, bo) == 3
    assert {vote.assignment: vote.rater for vote in votes(store)}[item.token] == "Bo"
    assert len(votes(store)) == 4 and review.status(store, "r1").votes == 4
    ann_status = review.status(store, "r1").raters[0]
    assert (ann_status.done, ann_status.total, ann_status.skipped) == (2, 2, 0)
    with pytest.raises(ReviewError, match="not in front of you"):
        review.vote(store, ann, ballot(item, id="late"))


def test_a_skip_is_taken_back_unless_it_went_to_somebody(store: Store) -> None:
    open_sample(store, Design(2, 1, 2))
    ann, bo = person(store), person(store, "Bo")
    item = shown(review.next_item(store, ann))
    review.vote(store, ann, ballot(item, "skip"))
    assert shown(review.undo(store, ann, "u1")).token == item.token
    again = shown(review.next_item(store, ann))
    review.vote(store, ann, ballot(again, "skip"))
    _, found = review.vote_and_next(store, bo, ballot(shown(review.next_item(store, bo))))
    assert shown(found).token == item.token
    with pytest.raises(ReviewError, match="with another reviewer now"):
        review.undo(store, ann, "u2")


def test_nobody_judges_an_item_twice_by_helping(store: Store) -> None:
    _, plan = open_sample(store, Design(3, 2, 3))
    ann, bo, cy = person(store), person(store, "Bo"), person(store, "Cy")
    for who in (ann, bo, cy):
        review.next_item(store, who)
    review.revoke(store, "r1", "Cy")
    with pytest.raises(ReviewError, match="link is not valid"):
        review.next_item(store, cy)
    assert work(store, ann) + work(store, bo) == 6
    of_item = Counter((a.item, vote.rater) for a in plan for vote in votes(store) if vote.assignment == a.token)
    assert set(of_item.values()) == {1} and len(of_item) == 6


def test_a_queue_that_nobody_took_waits_for_whoever_is_invited(store: Store) -> None:
    open_sample(store, Design(4, 1, 2))
    ann, bo = person(store), person(store, "Bo")
    assert work(store, ann) == 2
    review.revoke(store, "r1", bo.name)
    assert work(store, ann) == 2


def test_a_reservation_runs_out_and_comes_back_to_its_owner(store: Store) -> None:
    open_sample(store, Design(2, 1, 2))
    ann, bo, clock = person(store), person(store, "Bo"), ticking()
    item = shown(review.next_item(store, ann, clock=clock))
    review.vote(store, ann, ballot(item, "skip"), clock=clock)
    mine = shown(review.next_item(store, bo, clock=clock))
    review.vote(store, bo, ballot(mine), clock=clock)
    taken = shown(review.next_item(store, bo, clock=clock))
    assert taken.token == item.token
    cy = person(store, "Cy")
    assert isinstance(review.next_item(store, cy, clock=clock), Thanks)
    clock.forward(31)  # type: ignore[attr-defined]
    assert shown(review.next_item(store, cy, clock=clock)).token == item.token
    with pytest.raises(ReviewError, match="not in front of you"):
        review.vote(store, bo, ballot(taken), clock=clock)
    assert isinstance(review.next_item(store, bo, clock=clock), Thanks)


def test_a_vote_after_the_reservation_counts_while_nobody_else_has_the_item(store: Store) -> None:
    open_sample(store)
    ann, clock = person(store), ticking()
    item = shown(review.next_item(store, ann, clock=clock))
    clock.forward(300)  # type: ignore[attr-defined]
    assert review.vote(store, ann, ballot(item), clock=clock).new


def test_looking_again_late_prolongs_the_reservation(store: Store) -> None:
    open_sample(store)
    ann, clock = person(store), ticking()
    item = shown(review.next_item(store, ann, clock=clock))
    clock.forward(20)  # type: ignore[attr-defined]
    assert shown(review.next_item(store, ann, clock=clock)).token == item.token
    with store.session() as session:
        before, after = session.read(Reservation, all_rows=True)
    assert before.assignment == after.assignment == item.token and after.expires > before.expires


def test_practice_comes_first_explains_itself_and_does_not_count(store: Store) -> None:
    open_sample(store, practice=PRACTICE)
    ann = person(store)
    assert review.briefing(store, ann).practice
    item = shown(review.next_item(store, ann))
    assert item.practice and (item.prompt, item.left, item.right) == ("Say: a", "a", "b") and not item.has_reference
    receipt, found = review.vote_and_next(store, ann, ballot(item, "right"))
    assert receipt.explanation == "Most people would choose: left. It says what was asked."
    assert not shown(found).practice and shown(found).progress.done == 0 and shown(found).progress.total == 6
    assert review.status(store, "r1").votes == 0
    assert review.next_item(store, ann) == found
    with store.session() as session:
        assert len(session.read(Assignment, "kind = 'practice'")) == 1


def test_the_closing_question_is_about_a_judged_pair_and_asked_once(store: Store) -> None:
    open_sample(store)
    ann = person(store)
    work(store, ann)
    end = review.next_item(store, ann)
    assert isinstance(end, Thanks) and end.question is not None
    assert end.question.token in {vote.assignment for vote in votes(store)}
    assert end.question.text == "Which one is the new method's?"
    with pytest.raises(ReviewError, match="none that you have judged"):
        review.guess(store, ann, "made-up", "left")
    review.guess(store, ann, end.question.token, "unsure")
    later = review.next_item(store, ann)
    assert isinstance(later, Thanks) and later.question is None


def test_a_closed_round_refuses_votes_and_knows_earlier_ones(store: Store) -> None:
    open_sample(store)
    ann = person(store)
    item = shown(review.next_item(store, ann))
    _, found = review.vote_and_next(store, ann, ballot(item))
    review.close(store, "r1", "owner")
    for call in (
        lambda: review.vote(store, ann, ballot(shown(found))),
        lambda: review.undo(store, ann, "u1"),
        lambda: review.next_item(store, ann),
    ):
        with pytest.raises(ReviewError, match="this review is closed"):
            call()
    assert not review.vote(store, ann, ballot(item)).new  # a retry of what was acknowledged
    assert not review.briefing(store, ann).open
    assert len(votes(store)) == 1


def test_a_new_link_for_the_same_name_keeps_queue_and_votes(store: Store) -> None:
    open_sample(store)
    old = person(store)
    first = shown(review.next_item(store, old))
    _, found = review.vote_and_next(store, old, ballot(first))
    new = person(store)
    with pytest.raises(ReviewError, match="link is not valid"):
        review.next_item(store, old)
    assert shown(review.next_item(store, new)).token == shown(found).token
    assert work(store, new) == 5


def test_one_name_in_two_rounds_is_two_desks(store: Store) -> None:
    open_sample(store)
    open_sample(store, id="r2")
    first, second = person(store), person(store, round_id="r2")
    item = shown(review.next_item(store, first))
    review.vote(store, first, ballot(item, seconds=9.0))
    with pytest.raises(ReviewError, match="no choice to take back"):
        review.undo(store, second, "u1")
    theirs = shown(review.next_item(store, second))
    assert theirs.progress.done == 0
    with pytest.raises(ReviewError, match="not in front of you"):
        review.vote(store, second, ballot(item, id="elsewhere"))
    assert shown(review.undo(store, first, "u2")).token == item.token


def test_an_invitation_that_was_made_up_is_refused(store: Store) -> None:
    open_sample(store)
    ann = person(store)
    for forged in (replace(ann, name="Bo"), replace(ann, token_hash="0" * 64), replace(ann, round="r2")):
        with pytest.raises(ReviewError, match="link is not valid"):
            review.next_item(store, forged)
