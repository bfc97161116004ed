"""The votes of an unblinded round → every statistic of them. Pure; the generator is seeded from the round's id.

How automatic ties enter. An item on which both arms wrote the same text is a tie in the eyes of everybody, and nobody
is asked. In rates and scores it stands once for each planned rater, dealt in turn to the raters who voted and to
alternating sides, so that it makes no rater of its own; of a round that ended early as large a share of these ties
enters as of the votes. It enters neither agreement nor position bias, length, flags and criteria.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from harness.errors import DataError
from harness.records import Assignment, Judgment, Round, digest
from harness.results.human.records import FlagRate, HumanArm, HumanPair, HumanRater, HumanReview, HumanTable
from harness.results.human.votes import RoundVotes, better_side, excluded_raters, qualities, require_unblinded
from harness.stats import votes as vote_stats
from harness.stats.clusters import Floats
from harness.stats.one_sided import rate_ceiling
from harness.stats.votes import BradleyTerry, Measured, Vote, VoteTable, Winner, WinRate

LEVEL = 0.95
Judged = Sequence[tuple[Assignment, Judgment]]


@dataclass(frozen=True, slots=True)
class _Fits:
    """Bradley-Terry without and with the lengths, or why not."""

    plain: BradleyTerry | None
    why: str
    side: bool
    long: BradleyTerry | None
    why_long: str


def human_review(voted_round: RoundVotes) -> HumanReview:
    """Every statistic of a round's votes, with and without the raters whom its rule leaves out.

    Raises ReviewError before unblinding.
    """
    round_ = voted_round.round
    require_unblinded(round_)
    assert round_.unblinded is not None
    excluded = excluded_raters(voted_round)
    everyone = _table(voted_round, ())
    voted = {vote.rater for _, vote in voted_round.judged("ordinary")}
    without = _table(voted_round, tuple(excluded)) if voted & set(excluded) and voted - set(excluded) else None
    return HumanReview(
        round=round_.id,
        experiment=round_.experiment,
        split=round_.split,
        arms=round_.arms,
        opened=round_.opened,
        closed=round_.closed or round_.unblinded,
        unblinded=round_.unblinded,
        items=round_.items,
        automatic_items=sum(a.kind == "automatic" for a in voted_round.assignments),
        raters_per_item=round_.raters,
        wanted=sum(a.kind == "ordinary" for a in voted_round.assignments),
        rule=round_.exclusion,
        everyone=everyone,
        without=without,
        raters=_raters(voted_round, excluded),
        blinding=blinding(voted_round),
        criteria=round_.criteria,
        flags=round_.flags,
        notes=_notes(round_),
    )


@dataclass(frozen=True, slots=True)
class ArmVotes:
    """What people said of one arm's answers, for one question at a time."""

    arm: str
    votes: int
    """Votes of people on ordinary pairs with this arm; automatic ties are none."""
    people: VoteTable
    """All ordinary votes of the round."""
    table: VoteTable
    """The same with automatic ties."""
    seed: int

    def rate(self, level: float) -> Measured:
        """Win rate against all the others that it met, as on the leaderboard."""
        return next(rate.rate for rate in vote_stats.win_rates(self.table, level=level) if rate.arm == self.arm)

    def agreement(self, level: float) -> Measured:
        """Krippendorff's alpha of the round's votes, nominal."""
        return vote_stats.vote_alpha(self.people, "nominal", np.random.default_rng(self.seed), level=level)


def arm_votes(voted_round: RoundVotes, arm: str, without: Sequence[str] = ()) -> ArmVotes | None:
    """The votes on an arm's answers, without these raters'; None where nobody judged one.

    Raises ReviewError before unblinding.
    """
    require_unblinded(voted_round.round)
    judged = _of(voted_round, "ordinary", without)
    people = _named(voted_round, judged)
    mine = sum(arm in (vote.left, vote.right) for vote in people)
    if not mine:
        return None
    tables = VoteTable.of(people), VoteTable.of([*people, *_automatic(voted_round, judged)])
    return ArmVotes(arm, mine, *tables, int(digest(voted_round.round.id), 16))


def arm_flag(voted_round: RoundVotes, arm: str, flag: str, without: Sequence[str] = ()) -> FlagRate:
    """How often an arm's answers on ordinary pairs were flagged, without these raters.

    Raises ReviewError before unblinding.
    """
    require_unblinded(voted_round.round)
    return next(row for row in _flags(voted_round, _of(voted_round, "ordinary", without))[arm] if row.flag == flag)


def blinding(voted_round: RoundVotes) -> Measured:
    """Bang's index of the closing guesses, each which of two answers is the first arm's.

    Raises ReviewError before unblinding.
    """
    require_unblinded(voted_round.round)
    arms = voted_round.round.arms
    asked = voted_round.round.evaluations[arms[0]] if arms else None
    pairs = {a.token: a for a in voted_round.assignments}
    rows = []
    for guess in voted_round.guesses:
        a = pairs.get(guess.assignment)
        if a is not None and asked in (a.left, a.right):
            side = None if guess.answer == "unsure" else "left" if guess.answer == "left" else "right"
            rows.append(vote_stats.Guess(guess.rater, "left" if a.left == asked else "right", side))
    return vote_stats.blinding_index(rows, ("left", "right"), level=LEVEL)[None]


def _notes(round_: Round) -> tuple[str, ...]:
    where = {
        "validation": "judged on validation prompts, not on the test split of the other metrics",
        "prompts": "judged on fresh prompts, not on the test split of the other metrics",
        "imported": "votes from elsewhere, on prompts that are not known here",
    }
    return (where[round_.split],) if round_.split in where else ()


# ---------------------------------------------------------------------------------------------------------- a table


def _table(voted_round: RoundVotes, without: Sequence[str]) -> HumanTable:
    rng = np.random.default_rng(int(digest(voted_round.round.id), 16))
    judged = _of(voted_round, "ordinary", without)
    ties = _automatic(voted_round, judged)
    people = _named(voted_round, judged)
    if not people:
        none = Measured(None, "no vote of these raters")
        arms = (HumanArm(arm, WinRate(arm, None, none, 0, 0, 0, 0, 0), none, none) for arm in voted_round.round.arms)
        return HumanTable(0, 0, 0, 0, tuple(arms), (), none, none, none, none, none, (), none)
    asked, table = VoteTable.of(people), VoteTable.of([*people, *ties])
    lengths = _lengths(voted_round, judged, len(ties))
    fits = _fit(table, lengths)
    again = VoteTable.of([*people, *_named(voted_round, _of(voted_round, "repeat", without))])

    def effect(fit: BradleyTerry | None, name: str, why: str) -> Measured:
        return Measured(None, why) if fit is None else Measured(vote_stats.effect_estimate(fit, name, level=LEVEL))

    return HumanTable(
        votes=len(people),
        automatic=len(ties),
        examples=len(asked.items),
        raters=len(asked.raters),
        arms=_arms(voted_round, judged, table, (fits, rng)),
        pairs=_pairs(table, fits),
        side=effect(fits.plain if fits.side else None, "side", fits.why or "sides cannot be told from arms"),
        left_rate=vote_stats.left_rate(asked, LEVEL),
        length=effect(fits.long, "length", fits.why_long),
        alpha_nominal=vote_stats.vote_alpha(asked, "nominal", rng, level=LEVEL),
        alpha_ordinal=vote_stats.vote_alpha(asked, "ordinal", rng, level=LEVEL),
        kappas=vote_stats.pairwise_kappas(asked),
        consistency=vote_stats.self_consistency(again, level=LEVEL),
    )


def _of(voted_round: RoundVotes, kind: str, without: Sequence[str]) -> list[tuple[Assignment, Judgment]]:
    return [(a, vote) for a, vote in voted_round.judged(kind) if vote.rater not in without]  # type: ignore[arg-type]


def _named(voted_round: RoundVotes, judged: Judged) -> list[Vote]:
    arm = voted_round.arm_of
    return [Vote(a.example, arm[a.left], arm[a.right], vote.rater, cast(Winner, vote.winner)) for a, vote in judged]


def _automatic(voted_round: RoundVotes, judged: Judged) -> list[Vote]:
    """Ties of items with the same text, as many of those that are planned as there are votes of those planned."""
    arm = voted_round.arm_of
    same = [a for a in voted_round.assignments if a.kind == "automatic"]
    raters = sorted({vote.rater for _, vote in judged})
    planned = sum(a.kind == "ordinary" for a in voted_round.assignments)
    if not same or not raters:
        return []
    count = round(len(same) * min(voted_round.round.raters, len(raters)) * min(1.0, len(judged) / planned))
    dealt = []
    for number in range(count):
        copy, place = divmod(number, len(same))
        a, rater = same[place], raters[(place + copy) % len(raters)]
        sides = (a.left, a.right) if (place // len(raters) + copy) % 2 else (a.right, a.left)
        dealt.append(Vote(a.example, arm[sides[0]], arm[sides[1]], rater, "tie"))
    return dealt


def _lengths(voted_round: RoundVotes, judged: Judged, ties: int) -> Floats | None:
    """Characters of the left answer less those of the right one, for every vote and every automatic tie."""
    sizes = voted_round.lengths
    pairs = [(sizes.get((a.example, a.left)), sizes.get((a.example, a.right))) for a, _ in judged]
    known = [left - right for left, right in pairs if left is not None and right is not None]
    return np.array([*known, *[0] * ties], dtype=np.float64) if len(known) == len(pairs) else None


def _fit(table: VoteTable, lengths: Floats | None) -> _Fits:
    def attempt(**options: Any) -> tuple[BradleyTerry | None, str]:
        try:
            return vote_stats.bradley_terry(table, **options), ""
        except DataError as error:
            return None, error.message

    plain, why = attempt()
    side = plain is not None
    if plain is None:
        plain, _ = attempt(side=False)
    long, why_long = None, "the answers' texts are not in this store"
    if lengths is not None:
        long, why_long = attempt(side=side, lengths=lengths)
    return _Fits(plain, "" if plain is not None else why, side, long, why_long)


def _scores(fit: BradleyTerry | None, why: str, arms: Sequence[str]) -> dict[str, Measured]:
    if fit is None:
        return dict.fromkeys(arms, Measured(None, why))
    scores = dict(zip(fit.arms, map(Measured, vote_stats.score_estimates(fit, level=LEVEL)), strict=True))
    return {arm: scores.get(arm, Measured(None, "no votes")) for arm in arms}


def _arms(
    voted_round: RoundVotes, judged: Judged, table: VoteTable, more: tuple[_Fits, np.random.Generator]
) -> tuple[HumanArm, ...]:
    fits, rng = more
    fit = fits.plain
    rates = {rate.arm: rate for rate in vote_stats.win_rates(table, level=LEVEL)}
    names = voted_round.round.arms
    scores, long = _scores(fit, fits.why, names), _scores(fits.long, fits.why_long, names)
    ranks = dict(zip(fit.arms, vote_stats.vote_ranks(fit, level=LEVEL), strict=True)) if fit is not None else {}
    best = vote_stats.vote_best_probabilities(fit, rng) if fit is not None else None
    chances = dict(zip(fit.arms, best, strict=True)) if fit is not None and best is not None else {}
    flags, criteria = _flags(voted_round, judged), _criteria(voted_round, judged)
    none = Measured(None, "no votes")
    rows = [
        HumanArm(
            arm=arm,
            win_rate=rates.get(arm, WinRate(arm, None, none, 0, 0, 0, 0, 0)),
            score=scores[arm],
            at_equal_length=long[arm],
            ranks=ranks.get(arm),
            best_probability=chances.get(arm),
            flags=flags[arm],
            criteria=criteria.get(arm, {}),
        )
        for arm in names
    ]

    def place(arm: HumanArm) -> tuple[float, float]:
        score, rate = arm.score.estimate, arm.win_rate.rate.estimate
        return -score.value if score is not None else 0.0, -rate.value if rate is not None else 1.0

    return tuple(sorted(rows, key=place))


def _flags(voted_round: RoundVotes, judged: Judged) -> dict[str, tuple[FlagRate, ...]]:
    """Arm → a row for each flag of the round."""
    round_, arm = voted_round.round, voted_round.arm_of
    answers: dict[str, dict[str, list[Collection[str]]]] = {name: {} for name in round_.arms}
    for a, vote in judged if round_.flags else ():
        for side, source in (("left", a.left), ("right", a.right)):
            marks = {flag for flag in round_.flags if f"{side}:{flag}" in vote.flags}
            answers[arm[source]].setdefault(a.example, []).append(marks)

    def row(judgments: Sequence[Sequence[Collection[str]]], flag: str) -> FlagRate:
        votes = [flag in marks for one_answer in judgments for marks in one_answer]
        flagged, n = sum(any(flag in marks for marks in one_answer) for one_answer in judgments), len(judgments)
        rate = flagged / n if n else None
        upper = rate_ceiling(flagged, n, LEVEL)[1] if n else None
        return FlagRate(flag, n, flagged, len(votes), sum(votes), rate, upper)

    return {name: tuple(row(list(of.values()), flag) for flag in round_.flags) for name, of in answers.items()}


def _criteria(voted_round: RoundVotes, judged: Judged) -> dict[str, dict[str, WinRate]]:
    """Arm → criterion → its win rate there, among the votes that answered it."""
    result: dict[str, dict[str, WinRate]] = defaultdict(dict)
    for criterion in voted_round.round.criteria:
        answered = [
            (a, replace(vote, winner=cast(Winner, vote.criteria[criterion])))
            for a, vote in judged
            if vote.criteria.get(criterion) in ("left", "right", "tie")
        ]
        for rate in vote_stats.win_rates(VoteTable.of(_named(voted_round, answered)), level=LEVEL) if answered else ():
            result[rate.arm][criterion] = rate
    return result


def _pairs(table: VoteTable, fits: _Fits) -> tuple[HumanPair, ...]:
    direct = {(rate.arm, rate.against): rate for rate in vote_stats.pair_win_rates(table, level=LEVEL)}
    if fits.plain is None:
        none = Measured(None, fits.why)
        return tuple(HumanPair(first, second or "", rate, none, None) for (first, second), rate in direct.items())
    pairs = []
    for pair in vote_stats.pair_comparisons(fits.plain, level=LEVEL):
        first, second, implied = pair.first, pair.second, Measured(pair.win_probability)
        pairs.append(HumanPair(first, second, direct.get((first, second)), implied, pair.p_value, pair.unbounded))
    return tuple(pairs)


# ----------------------------------------------------------------------------------------------------------- raters


def _raters(voted_round: RoundVotes, excluded: Mapping[str, str]) -> tuple[HumanRater, ...]:
    gold, identical = (
        [Vote(a.example, a.left, a.right, vote.rater, cast(Winner, vote.winner)) for a, vote in judged]
        for judged in (voted_round.judged("gold"), voted_round.judged("identical"))
    )
    better = [cast(Winner, better_side(a)) for a, _ in voted_round.judged("gold")]
    right = vote_stats.gold_accuracy(gold, better, level=LEVEL)
    same = vote_stats.identical_tie_rate(identical, level=LEVEL)
    seconds: dict[str, list[float]] = defaultdict(list)
    for _, vote in voted_round.judged("ordinary"):
        seconds[vote.rater].append(vote.seconds)
    return tuple(
        HumanRater(
            rater=rater.rater,
            votes=rater.votes,
            gold=right.get(rater.rater, Measured(None, "no gold pair was judged")),
            identical=same.get(rater.rater, Measured(None, "no identical pair was judged")),
            repeats=rater.repeats,
            left=(rater.left, rater.decided),
            seconds=statistics.median(seconds[rater.rater]) if any(seconds[rater.rater]) else None,
            excluded=excluded.get(rater.rater, ""),
        )
        for rater in qualities(voted_round)
    )
