"""What people said: every statistic against hand counts and references, the leaderboard's forms, bundles, the cache."""

from __future__ import annotations

import csv
import io
import json
import random
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from counted_votes import open_votes, pair_counts
from hypothesis import given, settings, strategies as st
from statsmodels.stats.proportion import proportion_confint

from harness.errors import ReviewError
from harness.records import Assignment, ExclusionRule, Guess, Judgment, Round, Stamp, from_json, to_json
from harness.results import cache
from harness.results.collect import Results, with_human
from harness.results.human.records import HumanReview
from harness.results.human.statistics import arm_flag, human_review
from harness.results.human.votes import RoundVotes
from harness.results.leaderboard.board import leaderboard
from harness.results.render import bundle
from harness.results.render.human import human_to_text
from harness.results.render.json import to_json as board_to_json
from harness.results.render.leaderboard import render_markdown, to_csv, to_latex, to_text
from harness.review.lifecycle import preferred
from harness.stats.one_sided import rate_ceiling
from harness.stats.votes.sequential import confidence_sequence
from harness.store import Store

SOURCES = {"full": "eval-full-0", "lora": "eval-lora-0", "dpo": "eval-dpo-0"}
LATE = "2026-03-01T00:00:00+00:00"


def a_round(arms: Sequence[str] = ("full", "lora"), **changes: Any) -> Round:
    fields: dict[str, Any] = {
        "id": "r1", "experiment": "x1", "arms": tuple(arms), "evaluations": {arm: SOURCES[arm] for arm in arms},
        "split": "test", "items": 10, "raters": 2, "queues": 2, "seed": 1, "instructions": "", "criteria": ("style",),
        "flags": ("dangerous",), "exclusion": ExclusionRule(0.7, at_least=2), "gold": 2, "identical": 0, "repeats": 0,
        "opened": Stamp("2026-01-01T00:00:00+00:00", "boss"), "closed": Stamp(LATE, "boss"),
        "unblinded": Stamp(LATE, "boss", "secret reason"),
    }  # fmt: skip
    return Round(**fields | changes)


class Votes:
    """Collects judged pairs of a round."""

    def __init__(self, there: Round | None = None) -> None:
        self.round = there or a_round()
        self.assignments: list[Assignment] = []
        self.votes: dict[str, Judgment] = {}
        self.guesses: list[Guess] = []
        self.lengths: dict[tuple[str, str], int] = {}

    def add(self, rater: str, example: str, sides: str, winner: Any, kind: Any = "ordinary", **more: Any) -> str:
        """`sides` is `left right`; names of arms, or sources of gold answers."""
        token = f"t{len(self.assignments)}"
        left, right = (SOURCES.get(name, name) for name in sides.split())
        item = f"{example} {'-'.join(sorted((left, right)))}"
        self.assignments.append(
            Assignment(token, self.round.id, kind, item, example, left, right, 0, len(self.assignments))
        )
        if winner is not None:
            self.votes[token] = Judgment(f"{token}-1", token, 1, rater, winner, 5.0, f"2026-02-01T{token}", **more)
        return token

    @property
    def found(self) -> RoundVotes:
        return RoundVotes(self.round, tuple(self.assignments), self.votes, tuple(self.guesses), self.lengths)


def plenty(there: Round | None = None, seed: int = 1, raters: int = 3, examples: int = 30) -> Votes:
    """Raters that prefer the first arm in two of three examples, sides in turn."""
    made, rng = Votes(there), random.Random(seed)
    first, second = made.round.arms[:2]
    for number in range(examples):
        for rater in range(raters):
            flip = (number + rater) % 2
            wins = rng.random() < 0.67
            side = "left" if wins != bool(flip) else "right"
            sides = f"{second} {first}" if flip else f"{first} {second}"
            made.add(f"Rater {rater}", f"e{number}", sides, rng.choice([side] * 5 + ["tie"]))
    return made


# ------------------------------------------------------------------------------------------------------- statistics


def test_counts_flags_and_criteria_are_those_of_the_votes() -> None:
    made = Votes()
    made.add("Ann", "e1", "full lora", "left", flags=("right:dangerous",), criteria={"style": "right"})
    made.add("Bo", "e1", "lora full", "right", flags=("left:dangerous",), criteria={"style": "left"})
    made.add("Ann", "e2", "lora full", "both_bad", flags=("left:dangerous", "right:dangerous"))
    made.add("Bo", "e2", "full lora", "tie")
    made.add("Ann", "e3", "full lora", "right", criteria={"style": "tie"})
    made.add("Bo", "e3", "lora full", "skip")
    found = human_review(made.found)
    full, lora = (found.everyone.of(arm) for arm in ("full", "lora"))
    assert full is not None and lora is not None and found.everyone.arms[0] == full
    rate = full.win_rate
    assert (rate.wins, rate.losses, rate.ties, rate.both_bad, rate.skipped) == (2, 1, 1, 1, 0)
    assert rate.rate.estimate is not None and rate.rate.estimate.value == 2.5 / 4
    assert (found.everyone.votes, found.everyone.examples, found.everyone.raters, found.wanted) == (5, 3, 2, 6)
    (flag,) = lora.flags
    # Both raters flagged lora's answer to e1: one answer, two votes.
    assert (flag.flagged, flag.answers, flag.flagged_votes, flag.votes) == (2, 3, 3, 5)
    assert flag.rate == 2 / 3 and full.flags[0].flagged == 1
    style = lora.criteria["style"]
    assert (style.wins, style.losses, style.ties) == (2, 0, 1)


@given(st.integers(0, 40), st.integers(1, 40))
def test_the_exact_limit_is_that_of_statsmodels(hits: int, more: int) -> None:
    n = hits + more
    assert rate_ceiling(hits, n)[1] == pytest.approx(
        proportion_confint(hits, n, alpha=0.1, method="beta")[1], abs=1e-12
    )
    assert rate_ceiling(n, n)[1] == 1.0


def test_an_arm_without_answers_has_no_limit() -> None:
    flag = arm_flag(RoundVotes(a_round(), (), {}), "full", "dangerous")
    assert (flag.answers, flag.rate, flag.upper) == (0, None, None)


def test_nothing_is_said_before_unblinding() -> None:
    with pytest.raises(ReviewError, match="harness review unblind r1"):
        human_review(plenty(a_round(unblinded=None)).found)


def test_the_same_votes_give_the_same_record_and_it_comes_back_from_json() -> None:
    made = plenty()
    found = human_review(made.found)
    assert human_review(made.found) == found
    assert from_json(HumanReview, json.loads(json.dumps(to_json(found), allow_nan=False))) == found
    other = human_review(replace(made.found, round=replace(made.round, id="r2")))
    assert other.everyone.alpha_nominal != found.everyone.alpha_nominal, "the seed is of the round"


def test_raters_that_the_rule_leaves_out() -> None:
    made = plenty()
    for number in range(2):
        for rater in range(3):
            made.add(f"Rater {rater}", f"g{number}", "gold:good gold:bad", "right" if rater == 2 else "left", "gold")
    found = human_review(made.found)
    assert [one.rater for one in found.excluded] == ["Rater 2"]
    kept = {token: vote for token, vote in made.votes.items() if vote.rater != "Rater 2"}
    alone = human_review(replace(made.found, votes=kept))
    assert found.without == alone.everyone and alone.without is None
    assert found.everyone != found.without
    right = {one.rater: one.gold.estimate for one in found.raters}
    assert right["Rater 2"] is not None and right["Rater 2"].value == 0.0
    text = human_to_text(found)
    assert "WITHOUT RATER 2" in text and "0 of 2 gold pairs right" in text


def test_lengths_are_controlled_for() -> None:
    made, rng = Votes(), random.Random(2)
    for number in range(60):
        # Raters like long answers, and lora's are long: at equal length there is nothing between the two.
        made.lengths[f"e{number}", SOURCES["full"]] = rng.randrange(50, 150)
        made.lengths[f"e{number}", SOURCES["lora"]] = rng.randrange(80, 180)
        for rater in range(4):
            sides = ("full", "lora") if (number + rater) % 2 else ("lora", "full")
            left, right = (made.lengths[f"e{number}", SOURCES[arm]] for arm in sides)
            longer = "left" if left > right else "right"
            shorter = "right" if longer == "left" else "left"
            made.add(f"R{rater}", f"e{number}", " ".join(sides), rng.choice([longer] * 4 + [shorter]))
    found = human_review(made.found).everyone
    lora = found.of("lora")
    assert lora is not None and lora.score.estimate is not None and lora.at_equal_length.estimate is not None
    assert lora.score.estimate.low is not None and lora.score.estimate.low > 0
    low, high = lora.at_equal_length.estimate.low, lora.at_equal_length.estimate.high
    assert low is not None and high is not None and low < 0 < high
    assert found.length.estimate is not None and (found.length.estimate.low or 0) > 0
    bare = human_review(replace(made.found, lengths={})).everyone
    assert bare.length.estimate is None and "not in this store" in bare.length.why


def test_separated_votes_and_arms_without_votes_are_said() -> None:
    made = Votes(a_round(("full", "lora", "dpo")))
    for number in range(6):
        made.add("Ann", f"e{number}", "full lora" if number % 2 else "lora full", "left" if number % 2 else "right")
        made.add("Bo", f"e{number}", "lora full", "right")
    found = human_review(made.found)
    dpo, full = found.everyone.of("dpo"), found.everyone.of("full")
    assert dpo is not None and dpo.score.estimate is None and dpo.score.why == "no votes"
    assert full is not None and full.win_rate.rate.estimate is not None and full.win_rate.rate.estimate.value == 1.0
    assert found.everyone.pairs[0].unbounded
    text = human_to_text(found)
    assert "the votes separate the two" in text and "No score" in text
    none = human_review(Votes().found)
    assert none.everyone.votes == 0 and none.without is None and "no vote" in none.everyone.left_rate.why
    assert "0 of 0 votes" in human_to_text(none)


# -------------------------------------------------------------------------------------------------- automatic ties


@settings(max_examples=25)
@given(st.integers(0, 9), st.integers(1, 3))
def test_automatic_ties_stand_once_for_each_planned_rater(ties: int, raters: int) -> None:
    made = plenty(a_round(raters=raters), raters=raters, examples=8)
    for number in range(ties):
        made.add("", f"same{number}", "full lora", None, "automatic")
    found = human_review(made.found)
    assert found.automatic_items == ties and found.everyone.automatic == ties * raters
    (count,) = pair_counts(open_votes(made.found), ("full", "lora"))
    full = found.everyone.of("full")
    assert full is not None and full.win_rate.rate.estimate is not None
    assert full.win_rate.rate.estimate.value == pytest.approx(count.share)
    bare = human_review(plenty(a_round(raters=raters), raters=raters, examples=8).found).everyone
    same = ("alpha_nominal", "alpha_ordinal", "left_rate", "kappas", "raters", "examples", "votes")
    assert [getattr(found.everyone, name) for name in same] == [getattr(bare, name) for name in same]


def test_of_a_round_that_ended_early_as_many_ties_enter_as_votes() -> None:
    made = plenty(a_round(raters=2), raters=2, examples=20)
    for number in range(10):
        made.add("", f"same{number}", "full lora", None, "automatic")
    half = {token: vote for token, vote in made.votes.items() if int(vote.assignment[1:]) < 20}
    assert human_review(replace(made.found, votes=half)).everyone.automatic == 10
    assert human_review(made.found).everyone.automatic == 20


# ------------------------------------------------------------------------------------------------------- monitoring


def test_monitoring_is_the_same_whichever_arm_is_which() -> None:
    made = plenty(a_round(unblinded=None, closed=None, raters=3))
    swapped = replace(made.round, evaluations={"full": SOURCES["lora"], "lora": SOURCES["full"]})
    seen = preferred(made.found)
    assert seen == preferred(replace(made.found, round=swapped))
    values = []
    for number in range(30):
        wins = []
        for a in made.assignments:
            if a.example == f"e{number}":
                side = {"left": a.left, "right": a.right}.get(made.votes[a.token].winner)
                wins.append(0.5 if side is None else float(side == SOURCES["full"]))
        values.append(sum(wins) / 3)
    low, high = confidence_sequence(values)
    assert seen.examples == 30 and seen.high == pytest.approx(max(high, 1 - low))
    assert seen.settled == (low > 0.5 or high < 0.5)
    assert "full" not in seen.words and "lora" not in seen.words


def test_monitoring_is_settled_when_one_half_is_left_out() -> None:
    made = Votes(a_round(unblinded=None, closed=None, raters=1))
    assert preferred(made.found).words.startswith("no example has all its votes")
    for number in range(30):
        made.add("Ann", f"e{number}", "full lora", "right")
    seen = preferred(made.found)
    assert seen.settled and 0.5 < seen.low < seen.high == 1.0 and "(settled;" in seen.words
    early = preferred(replace(made.found, assignments=made.found.assignments[:2]))
    assert not early.settled and early.low == 0.5


# ------------------------------------------------------------------------------------------- leaderboard and bundle


def with_votes(maker: Any, made: Votes | None = None) -> Results:
    return replace(maker.results, human=human_review((made or plenty()).found))


def test_every_form_of_the_leaderboard_shows_the_metric(maker: Any) -> None:
    results = with_votes(maker)
    board = leaderboard(results)
    assert board.human is not None
    full = board.human.everyone.of("full")
    assert full is not None and full.win_rate.rate.estimate is not None
    value = full.win_rate.rate.estimate
    cell = f"{value.value:.3f} [{value.low:.3f}, {value.high:.3f}]"
    text, markdown = to_text(board), render_markdown(board)
    assert cell in text and "Round r1, blind, test prompts" in text and "by 3 raters" in text
    assert "## Human review" in markdown and cell in markdown
    assert cell in to_latex(board) and "human win rate" in to_latex(board)
    rows = [row for row in csv.DictReader(io.StringIO(to_csv(board))) if row["metric"] == "human_win_rate"]
    assert {row["arm"]: float(row["value"]) for row in rows}["full"] == value.value and len(rows) == 2
    plain = json.loads(json.dumps(board_to_json(board), allow_nan=False))["human"]
    assert plain["round"] == "r1" and plain["rows"][0]["human_win_rate"]["value"] == value.value
    assert "Rater" not in json.dumps(plain), "no rater is named"
    without = leaderboard(maker.results)
    assert without.human is None and "human" not in to_text(without) + to_latex(without)


def test_a_bundle_names_nobody_and_makes_its_tables_again(maker: Any, tmp_path: Path) -> None:
    made = plenty()
    made.votes["t0"] = replace(made.votes["t0"], comment="a comment")
    file = tmp_path / "one.zip"
    file.write_bytes(bundle.pack(with_votes(maker, made)))
    assert any("leaderboard.txt" in line for line in bundle.check(file))
    again = bundle.read(file)
    assert again.human is not None and again.human.everyone.arms == human_review(made.found).everyone.arms
    whole = json.dumps(to_json(again.human))
    assert not [word for word in ("Rater 0", "boss", "secret", "a comment") if word in whole]
    assert again.human.raters[0].rater == "rater 1"


def stored(tmp_path: Path, maker: Any, *rounds: Round) -> Store:
    results = maker.results
    store = Store(tmp_path / "harness.duckdb")
    store.ingest([results.experiment, *maker.runs, *maker.entries, *maker.predictions, *maker.scores, *results.looks])
    with store.session() as session:
        for there in rounds:
            made = plenty(there)
            names = {a.token: f"{there.id}-{a.token}" for a in made.assignments}
            session.write(
                there,
                *[replace(a, token=names[a.token], round=there.id) for a in made.assignments],
                *[replace(v, id=f"{there.id}-{v.id}", assignment=names[t]) for t, v in made.votes.items()],
            )
    return store


def test_a_kept_board_changes_with_unblinding_and_not_with_votes(tmp_path: Path, maker: Any) -> None:
    store = stored(tmp_path, maker, a_round(unblinded=None, closed=None))
    before = store.state("x1")
    board = cache.board(store, tmp_path, "x1")
    assert board.human is None
    with store.session() as session:
        session.write(Judgment("r1-t0-2", "r1-t0", 2, "Rater 0", "tie", 1.0, "later"))
    assert store.state("x1") == before, "a vote of an open round makes no page wait"
    with store.session() as session:
        session.write(a_round(unblinded=None))
    assert store.state("x1") != before
    with store.session() as session:
        session.write(a_round())
    unblinded = store.state("x1")
    shown = cache.board(store, tmp_path, "x1")
    assert shown.human is not None and shown.human.round == "r1"
    assert cache.board(store, tmp_path, "x1") == shown, "from the file"
    with store.session() as session:
        session.write(Judgment("r1-t0-3", "r1-t0", 3, "Rater 0", "skip", 1.0, "later"))
    assert store.state("x1") != unblinded, "what a rebuild brings back late is seen"
    after = cache.board(store, tmp_path, "x1").human
    assert after is not None and after.everyone.votes == shown.human.everyone.votes - 1


def test_the_newest_unblinded_round_counts_and_says_what_it_is_about(tmp_path: Path, maker: Any) -> None:
    later = Stamp("2026-04-01T00:00:00+00:00", "boss", "x")
    store = stored(
        tmp_path,
        maker,
        a_round(id="r2", split="validation", unblinded=later),
        a_round(),
        a_round(id="r3", unblinded=None),
        a_round(id="r4", experiment="x0", unblinded=replace(later, when="2026-05-01T00:00:00+00:00")),
    )
    found = with_human(maker.results, store).human
    assert found is not None and found.round == "r2"
    assert "not on the test split of the other metrics" in found.notes[0] and "unblinded before: r1" in found.notes[1]
    old = replace(a_round(id="r5", unblinded=replace(later, when="2026-06-01T00:00:00+00:00")))
    gone = replace(old, evaluations={"full": "eval-gone", "lora": SOURCES["lora"]})
    with store.session() as session:
        session.write(gone)
    again = with_human(maker.results, store).human
    assert again is not None and "answers of full come from an earlier evaluation" in again.notes
