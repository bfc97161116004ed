"""The votes of a round with the arms' names, and raw counts of every pair: what statistics are checked against."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from harness.records import Winner
from harness.results.human.votes import RoundVotes, require_unblinded


@dataclass(frozen=True, slots=True)
class OpenVote:
    """One vote with the arms' names. `rater` is None for an automatic tie, which stands once for each planned rater."""

    example: str
    left: str
    right: str
    rater: str | None
    winner: Winner
    seconds: float | None
    when: str | None
    flags: tuple[str, ...] = ()
    criteria: Mapping[str, str] = field(default_factory=dict)
    comment: str | None = None
    token: str | None = None

    @property
    def automatic(self) -> bool:
        """Whether both answers were the same text."""
        return self.rater is None


@dataclass(frozen=True, slots=True)
class PairCount:
    """Raw counts of one arm pair; no interval."""

    first: str
    second: str
    wins: int
    losses: int
    ties: int

    @property
    def share(self) -> float | None:
        """Win rate of the first arm, ties as half."""
        total = self.wins + self.losses + self.ties
        return (self.wins + self.ties / 2) / total if total else None


def open_votes(voted_round: RoundVotes, *, without: Sequence[str] = ()) -> list[OpenVote]:
    """Every vote on ordinary pairs with the arms' names, and the automatic ties; without these raters.

    Skipped and taken-back votes are none. Raises ReviewError before unblinding.
    """
    require_unblinded(voted_round.round)
    arm = voted_round.arm_of
    rows = [
        OpenVote(
            a.example, arm[a.left], arm[a.right], vote.rater, vote.winner, vote.seconds, vote.when,
            vote.flags, vote.criteria, vote.comment, a.token,
        )
        for a, vote in voted_round.judged("ordinary")
        if vote.rater not in without
    ]  # fmt: skip
    ties = [a for a in voted_round.assignments if a.kind == "automatic" for _ in range(voted_round.round.raters)]
    return rows + [OpenVote(a.example, arm[a.left], arm[a.right], None, "tie", None, None) for a in ties]


def pair_counts(votes: Sequence[OpenVote], arms: Sequence[str]) -> list[PairCount]:
    """Wins, losses and ties (`both_bad` is one) of every arm pair, arms in the given order; judged pairs only."""
    place = {arm: number for number, arm in enumerate(arms)}
    counts: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
    for vote in votes:
        first, second = sorted((vote.left, vote.right), key=place.__getitem__)
        chosen = {"left": vote.left, "right": vote.right}.get(vote.winner)
        counts[first, second]["tie" if chosen is None else "win" if chosen == first else "loss"] += 1
    ordered = sorted(counts.items(), key=lambda entry: (place[entry[0][0]], place[entry[0][1]]))
    return [PairCount(*pair, counts["win"], counts["loss"], counts["tie"]) for pair, counts in ordered]
