"""Votes as arrays: who judged what, which arm stood where, and who won."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from harness.errors import DataError
from harness.records import Estimate
from harness.stats.clusters import Clusters, Floats

Winner = Literal["left", "right", "tie", "both_bad", "skip"]
WINNERS: tuple[Winner, ...] = get_args(Winner)
LEFT, RIGHT, TIE, BOTH_BAD, SKIP = range(5)
"""Places in `WINNERS`."""
Codes = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Vote:
    """One judgment joined with its assignment."""

    item: str
    """The example. Votes on one example are not independent."""
    left: str
    """Arm whose answer stood left."""
    right: str
    rater: str
    winner: Winner


@dataclass(frozen=True, slots=True)
class Measured:
    """A statistic, or why there is none."""

    estimate: Estimate | None
    why: str = ""


@dataclass(frozen=True, slots=True, eq=False)
class VoteTable:
    """Votes in the order they were given, as codes. Names are sorted, so that no result hangs on who came first."""

    arms: tuple[str, ...]
    items: tuple[str, ...]
    raters: tuple[str, ...]
    item: Codes
    """[n], into `items`."""
    left: Codes
    """[n], into `arms`."""
    right: Codes
    rater: Codes
    winner: Codes
    """[n], into `WINNERS`."""

    @classmethod
    def of(cls, votes: Sequence[Vote]) -> VoteTable:
        """The table of votes between different arms.

        Raises DataError: no votes, an unknown winner, or an arm compared with itself.
        """
        if not votes:
            raise DataError("no votes", hint="The statistics of a round need at least one judgment")
        for number, vote in enumerate(votes, 1):
            if vote.winner not in WINNERS:
                raise DataError(f"vote {number}: winner {vote.winner!r}", hint=f"One of {', '.join(WINNERS)}")
            if vote.left == vote.right:
                raise DataError(
                    f"vote {number}: {vote.left} stands on both sides",
                    hint="Identical pairs measure raters, not arms: leave them out here (identical_tie_rate)",
                )
        arms, sides = _codes([vote.left for vote in votes] + [vote.right for vote in votes])
        items, item = _codes([vote.item for vote in votes])
        raters, rater = _codes([vote.rater for vote in votes])
        winner = np.array([WINNERS.index(vote.winner) for vote in votes], dtype=np.intp)
        return cls(arms, items, raters, item, sides[: len(votes)], sides[len(votes) :], rater, winner)

    def take(self, rows: NDArray[np.bool_] | Codes) -> VoteTable:
        """Some of the votes; the names stay."""
        columns = (self.item, self.left, self.right, self.rater, self.winner)
        return VoteTable(self.arms, self.items, self.raters, *(column[rows] for column in columns))

    def arm(self, name: str) -> int:
        """The code of an arm; DataError if nobody voted on it."""
        if name not in self.arms:
            raise DataError(f"no vote on {name}", hint=f"There are votes on {', '.join(self.arms)}")
        return self.arms.index(name)

    def counted(self) -> NDArray[np.bool_]:
        """Which votes say something about the two arms relative to each other [n]: no skip, and no *both bad*."""
        kept: NDArray[np.bool_] = self.winner <= TIE
        return kept

    @property
    def left_score(self) -> Floats:
        """Wins of the left side [n]: 1, 0, a half for a tie and for both bad, and 0 for a skip, which nobody counts."""
        return np.asarray(np.array([1.0, 0.0, 0.5, 0.5, 0.0])[self.winner])

    @property
    def first(self) -> Codes:
        """The arm of the pair that comes first by name [n]."""
        return np.minimum(self.left, self.right)

    @property
    def second(self) -> Codes:
        return np.maximum(self.left, self.right)

    @property
    def first_score(self) -> Floats:
        """Like `left_score`, for the arm that comes first by name, whatever its side [n]."""
        return np.where(self.left < self.right, self.left_score, np.where(self.winner == SKIP, 0, 1 - self.left_score))

    @property
    def item_clusters(self) -> Clusters:
        return Clusters.of(self.item.tolist(), len(self.item))

    @property
    def rater_clusters(self) -> Clusters:
        return Clusters.of(self.rater.tolist(), len(self.rater))


def _codes(names: Sequence[str]) -> tuple[tuple[str, ...], Codes]:
    ordered = sorted(set(names))
    code_of = {name: code for code, name in enumerate(ordered)}
    return tuple(ordered), np.array([code_of[name] for name in names], dtype=np.intp)
