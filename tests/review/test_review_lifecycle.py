"""Invitations, status, closing, unblinding, exclusion, results; and no arm in what a reviewer or the status gets."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import pytest
from counted_votes import open_votes, pair_counts
from review_samples import ARMS, EVALUATIONS, PRACTICE, ballot, open_sample, person, shown, work

from harness import review
from harness.errors import ReviewError
from harness.records import ExclusionRule, to_json
from harness.results.human import statistics, votes as votes_of
from harness.review import lifecycle
from harness.review.blind import BlindItem, Thanks
from harness.review.plan import Design
from harness.store import Store

CANARIES = ("canary", "987654321987")
"""Arm names, evaluation ids, the experiment's id and the sealed seed all hold one of these."""


def leaks(value: Any) -> list[str]:
    text = json.dumps(to_json(value), ensure_ascii=False)
    return [canary for canary in CANARIES if canary in text]


def test_nothing_that_a_reviewer_or_the_status_gets_names_an_arm(store: Store) -> None:
    open_sample(store, Design(4, 1, 2, gold=1, identical=1, repeats=1), practice=PRACTICE)
    ann = person(store)
    seen: list[Any] = [ann, review.briefing(store, ann)]
    found = review.next_item(store, ann)
    while isinstance(found, BlindItem):
        seen += [found, review.reference(store, ann, found.token)]
        receipt, after = review.vote_and_next(store, ann, ballot(found))
        seen += [receipt, review.status(store, "r1")]
        found = after
    assert isinstance(found, Thanks) and found.question is not None
    review.guess(store, ann, found.question.token, "left")
    seen += [found, review.next_item(store, ann), review.undo(store, ann, "u1"), review.status(store, "r1")]
    assert leaks(seen) == []
    assert leaks(review.find_round(store, "r1")) == list(CANARIES)  # the store knows: the search would find them
    names = {field.name for kind in (BlindItem, Thanks) for field in dataclasses.fields(kind)}
    assert not names & {"kind", "queue", "place", "arm", "example", "item", "seed"}


def test_errors_that_a_reviewer_may_see_name_no_arm(store: Store) -> None:
    open_sample(store)
    ann, bo = person(store), person(store, "Bo")
    item = shown(review.next_item(store, ann))
    review.next_item(store, bo)
    messages = []
    for call in (
        lambda: review.vote(store, bo, ballot(item)),
        lambda: review.vote(store, ann, ballot(item, winner="best")),
        lambda: review.undo(store, ann, "u"),
        lambda: review.guess(store, ann, item.token, "left"),
        lambda: review.next_item(store, dataclasses.replace(ann, token_hash="")),
    ):
        with pytest.raises(ReviewError) as caught:
            call()
        messages.append(str(caught.value))
    assert len(messages) == 5 and leaks(messages) == []


def test_a_token_is_known_by_its_hash_alone(store: Store) -> None:
    open_sample(store)
    token = review.invite(store, "r1", "Ann")
    found = review.authenticate(store, token)
    assert found is not None and found.name == "Ann" and found.role == "reviewer"
    assert len(token) >= 43  # 256 bits in base 64
    assert token not in store.journal_path.read_text() and token.encode() not in store.path.read_bytes()
    for wrong in ("", token[:-1], token + "x", "ünïcode", found.token_hash, "\ud800"):
        assert review.authenticate(store, wrong) is None
    review.revoke(store, "r1", "Ann")
    assert review.authenticate(store, token) is None
    owner = review.authenticate(store, review.invite(store, None, "Me"))
    assert owner is not None and owner.role == "owner" and owner.round is None
    with pytest.raises(ReviewError, match="link is not valid"):
        review.next_item(store, owner)
    review.revoke(store, None, "Me")
    with pytest.raises(ReviewError, match=r"nobody called 'Eve' is invited. Invited: Ann"):
        review.revoke(store, "r1", "Eve")


@pytest.mark.parametrize("name", ["", "  ", "x" * 61, "a\x1b[31mb", "a\u202eb"])
def test_names_that_could_deceive_are_refused(store: Store, name: str) -> None:
    open_sample(store)
    with pytest.raises(ReviewError, match="1 to 60 printable characters"):
        review.invite(store, "r1", name)


def test_closing_and_unblinding_are_logged_and_happen_once(store: Store) -> None:
    open_sample(store)
    with pytest.raises(ReviewError, match="not unblinded"):
        open_votes(review.round_votes(store, "r1"))
    with pytest.raises(ReviewError, match="needs a reason"):
        review.unblind(store, "r1", "boss", "  ")
    there = review.unblind(store, "r1", "boss", "the vote is over")
    assert there.closed == there.unblinded is not None
    assert (there.unblinded.who, there.unblinded.why) == ("boss", "the vote is over")
    for call in (lambda: review.unblind(store, "r1", "boss", "again"), lambda: review.close(store, "r1", "boss")):
        with pytest.raises(ReviewError, match="by boss"):
            call()
    with pytest.raises(ReviewError, match="is closed"):
        review.invite(store, "r1", "Late")
    assert review.status(store, "r1").state == "unblinded"


def test_rounds_are_found_by_the_beginning_of_their_id(store: Store) -> None:
    open_sample(store)
    assert review.find_round(store, "r").id == "r1"
    open_sample(store, id="r2")
    assert review.find_round(store, "r2").id == "r2" and len(review.rounds(store)) == 2
    with pytest.raises(ReviewError, match=r"more than one round is called 'r'. Rounds: r1, r2"):
        review.find_round(store, "r")
    with pytest.raises(ReviewError, match="no round is called 'x'"):
        review.find_round(store, "x")
    with pytest.raises(ReviewError, match="a round r1 already"):
        open_sample(store)


def careful(item: BlindItem) -> str:
    """Prefers what is good, then answer A; calls the same a tie."""
    if item.left == item.right:
        return "tie"
    return "left" if item.left == "good" or "answer A" in item.left else "right"


def test_quality_exclusion_and_counts_with_and_without(store: Store) -> None:
    open_sample(store, Design(4, 2, 2, gold=3, identical=1, repeats=2))
    ann, bo = person(store), person(store, "Bo")
    work(store, ann, careful)
    work(store, bo, lambda item: "left" if item.left == "bad" or "answer B" in item.left else "right")
    found = review.round_votes(store, "r1")
    good, bad = votes_of.qualities(found)
    assert (good.rater, good.votes, good.gold, good.identical, good.repeats) == ("Ann", 4, (3, 3), (1, 1), (2, 2))
    assert (bad.rater, bad.votes, bad.gold, bad.identical, bad.repeats) == ("Bo", 4, (0, 3), (0, 1), (2, 2))
    assert (good.left, good.decided) == (2, 4)
    assert votes_of.excluded_raters(found) == {"Bo": "0 of 3 gold pairs right, fewer than 70%"}
    with pytest.raises(ReviewError):
        open_votes(found)
    review.unblind(store, "r1", "boss", "done")
    found = review.round_votes(store, "r1")
    (both,) = pair_counts(open_votes(found), ARMS)
    assert (both.first, both.second, both.wins, both.losses, both.ties) == (*ARMS, 4, 4, 0) and both.share == 0.5
    (without,) = pair_counts(open_votes(found, without=("Bo",)), ARMS)
    assert (without.wins, without.losses, without.share) == (4, 0, 1.0)
    one = open_votes(found)[0]
    assert {one.left, one.right} == set(ARMS) and one.rater in ("Ann", "Bo") and one.example.startswith("x")


def test_the_other_shares_exclude_too_and_few_pairs_do_not(store: Store) -> None:
    rule = ExclusionRule(gold_accuracy=None, identical_ties=0.5, repeat_agreement=0.9, at_least=2)
    open_sample(store, Design(3, 1, 1, gold=2, identical=2, repeats=2), exclusion=rule)
    work(store, person(store), lambda item: "left")
    found = review.round_votes(store, "r1")
    assert votes_of.excluded_raters(found) == {"Ann": "0 of 2 identical pairs called a tie, fewer than 50%"}
    strict = dataclasses.replace(found.round, exclusion=dataclasses.replace(rule, identical_ties=None))
    reason = votes_of.excluded_raters(dataclasses.replace(found, round=strict))["Ann"]
    assert reason == "0 of 2 repeats judged alike, fewer than 90%"  # always left is never the same answer twice
    late = dataclasses.replace(found.round, exclusion=dataclasses.replace(rule, at_least=3))
    assert votes_of.excluded_raters(dataclasses.replace(found, round=late)) == {}


def test_answers_that_were_the_same_count_as_ties_once_for_every_rater(store: Store) -> None:
    same = frozenset((f"x{number}", *(EVALUATIONS[arm] for arm in ARMS)) for number in range(12))
    open_sample(store, Design(5, 3, 3), same=same)
    assert review.status(store, "r1").automatic_ties == 5 and review.status(store, "r1").wanted == 0
    end = review.next_item(store, person(store))
    assert isinstance(end, Thanks) and end.done == 0 and end.question is None
    review.unblind(store, "r1", "boss", "done")
    votes = open_votes(review.round_votes(store, "r1"))
    assert len(votes) == 15 and all(vote.automatic and vote.winner == "tie" for vote in votes)


def test_the_blinding_index_is_from_minus_one_to_one(store: Store) -> None:
    open_sample(store, Design(1, 3, 3))
    for name, answer in (("Ann", "right"), ("Bo", "right"), ("Cy", "wrong"), ("Di", "unsure")):
        who = person(store, name)
        work(store, who)
        end = review.next_item(store, who)
        if name == "Di":
            assert isinstance(end, Thanks) and end.question is None  # all queues were taken: nothing was judged
            continue
        assert isinstance(end, Thanks) and end.question is not None
        first_left = "answer A" in end.question.left
        review.guess(store, who, end.question.token, "left" if first_left == (answer == "right") else "right")
    with pytest.raises(ReviewError, match="not unblinded"):
        statistics.blinding(review.round_votes(store, "r1"))
    review.unblind(store, "r1", "boss", "done")
    found = statistics.blinding(review.round_votes(store, "r1")).estimate
    assert found is not None and (found.value, found.n) == (pytest.approx(1 / 3), 3)


def test_a_monitor_sees_votes_in_the_order_they_were_cast(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    def order(found: Any) -> list[str]:
        return [found.votes[a.token].when for a in found.assignments if a.token in found.votes]

    monkeypatch.setattr(lifecycle, "preferred", order)
    open_sample(store, Design(4, 1, 1))
    work(store, person(store), careful)
    assert review.status(store, "r1").monitor is None
    seen = review.status(store, "r1", monitor=True).monitor
    assert len(seen) == 4 and seen == sorted(seen)
    review.close(store, "r1", "boss")
    assert review.status(store, "r1", monitor=True).monitor is None, "closed"
    open_sample(store, Design(4, 1, 1), arms=("canary-full", "canary-lora", "canary-dpo"), id="r2")
    assert review.status(store, "r2", monitor=True).monitor is None, "three arms"
