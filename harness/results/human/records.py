"""What people said of an experiment's arms: one unblinded round of blind review, as records.

`harness.results.human.statistics` makes them of the votes, `harness.results.render.human` shows them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from harness.records import ExclusionRule, RoundSplit, Stamp
from harness.stats.votes import Kappa, Measured, WinRate

METRIC = "human_win_rate"
"""Name of the metric on the leaderboard."""


@dataclass(frozen=True, slots=True)
class FlagRate:
    """How often one arm's answers were flagged for one thing."""

    flag: str
    answers: int
    """Different answers of the arm that were judged; an answer that several raters saw is one."""
    flagged: int
    """Of those, answers that at least one rater flagged."""
    votes: int
    flagged_votes: int
    rate: float | None
    """Flagged share of the answers; None without any."""
    upper: float | None
    """Exact one-sided 95 % limit of it (Clopper & Pearson 1934). Raters of one answer are not counted apart, so that
    what is binomial is answers, each of another example."""


@dataclass(frozen=True, slots=True)
class HumanArm:
    """One arm in the eyes of the raters."""

    arm: str
    win_rate: WinRate
    """Against all the others that it met; ties are half wins, both bad is in no rate."""
    score: Measured
    """Bradley-Terry, log-odds against the mean arm."""
    at_equal_length: Measured
    """The same with the answers' lengths controlled for."""
    ranks: tuple[int, int] | None = None
    """First and last rank that the votes allow, for all arms together."""
    best_probability: float | None = None
    flags: tuple[FlagRate, ...] = ()
    criteria: Mapping[str, WinRate] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HumanPair:
    """Two arms against each other; `first` comes first by name."""

    first: str
    second: str
    rate: WinRate | None
    """Of the first; None where nobody compared the two directly."""
    implied: Measured
    """The probability that Bradley-Terry scores imply."""
    p_value: float | None
    """Of no difference in scores, not adjusted for the number of pairs."""
    unbounded: bool = False
    """Every decided vote fell the same way."""


@dataclass(frozen=True, slots=True)
class HumanTable:
    """Every statistic of one set of raters."""

    votes: int
    """Judgments of people on ordinary pairs."""
    automatic: int
    """Ties that stand for items with the same text on both sides, in rates and scores."""
    examples: int
    raters: int
    arms: tuple[HumanArm, ...]
    """The best score first."""
    pairs: tuple[HumanPair, ...]
    side: Measured
    """Effect of standing left, log-odds."""
    left_rate: Measured
    length: Measured
    """Effect of being longer, log-odds; the difference in characters goes through tanh."""
    alpha_nominal: Measured
    alpha_ordinal: Measured
    kappas: tuple[Kappa, ...]
    consistency: Measured
    """Share of repeats, sides swapped, that were judged as the first time."""

    def of(self, arm: str) -> HumanArm | None:
        """The row of an arm."""
        return next((row for row in self.arms if row.arm == arm), None)


@dataclass(frozen=True, slots=True)
class HumanRater:
    """How one rater did."""

    rater: str
    votes: int
    gold: Measured
    identical: Measured
    """Share of identical pairs called a tie or both bad."""
    repeats: tuple[int, int]
    """Repeats judged as the first time, of those judged."""
    left: tuple[int, int]
    """Votes for the left answer, of those that chose a side."""
    seconds: float | None
    """Median of a vote; None for votes that came from elsewhere."""
    excluded: str = ""
    """Why the rule leaves this rater out; empty when it does not."""


@dataclass(frozen=True, slots=True)
class HumanReview:
    """One unblinded round."""

    round: str
    experiment: str
    split: RoundSplit
    arms: tuple[str, ...]
    """As the round was opened."""
    opened: Stamp
    closed: Stamp
    unblinded: Stamp
    items: int
    automatic_items: int
    """Items with the same text on both sides: ties that nobody was asked about."""
    raters_per_item: int
    wanted: int
    """Votes that were planned on ordinary pairs."""
    rule: ExclusionRule
    everyone: HumanTable
    without: HumanTable | None
    """The same without the raters that the rule leaves out; None where it leaves out nobody, or everybody."""
    raters: tuple[HumanRater, ...]
    blinding: Measured
    """Bang's index of the closing guesses: 0 by chance, 1 all knew."""
    criteria: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """What to know before comparing it with other metrics."""

    @property
    def excluded(self) -> tuple[HumanRater, ...]:
        """Raters that the rule leaves out."""
        return tuple(rater for rater in self.raters if rater.excluded)


def anonymous(review: HumanReview) -> HumanReview:
    """The same with numbers in place of the names of people, and without what they wrote as reasons."""
    numbers = {rater.rater: f"rater {number}" for number, rater in enumerate(review.raters, 1)}

    def table(votes: HumanTable) -> HumanTable:
        kappas = tuple(replace(k, first=numbers[k.first], second=numbers[k.second]) for k in votes.kappas)
        return replace(votes, kappas=kappas)

    return replace(
        review,
        opened=Stamp(review.opened.when, ""),
        closed=Stamp(review.closed.when, ""),
        unblinded=Stamp(review.unblinded.when, ""),
        everyone=table(review.everyone),
        without=table(review.without) if review.without is not None else None,
        raters=tuple(replace(rater, rater=numbers[rater.rater]) for rater in review.raters),
    )
