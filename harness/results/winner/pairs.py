"""Every pair of arms on the primary metric, both ways round: what the winner rule's verdict is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness.records import Estimate

if TYPE_CHECKING:
    from harness.stats import PairTable


class Comparer(Protocol):
    """Comparisons of two arms on the primary metric, in its own direction."""

    def difference(self, a: str, b: str, level: float) -> Estimate | str:
        """Paired difference a - b with an interval at `level`, or why there is none."""
        ...

    def needed(self, a: str, b: str, gap: float, level: float) -> tuple[int | None, int | None]:
        """More test examples, and more seeds, until an interval at `level` is narrower than `gap` on each side with
        80 % power; None where it cannot be said or would not help."""
        ...


@runtime_checkable
class ManyComparer(Comparer, Protocol):
    """A comparer that may know all pairs at once."""

    def differences(self, arms: Sequence[str], level: float) -> PairTable | None:
        """`difference` of every pair of `arms`; None where they must be asked for one by one."""
        ...


@dataclass(frozen=True, slots=True)
class Gain:
    """How much better one arm is than another, whatever the metric's direction."""

    value: float
    low: float | None
    high: float | None
    reason: str = ""
    """Why there is no interval."""


class Gains:
    """All pairs of `arms`, both ways round."""

    def __init__(self, arms: Sequence[str], comparer: Comparer, margin: float, level: float, sign: float) -> None:
        """Every pair as `comparer` has it; `sign` is -1 where less is better."""
        import numpy as np

        self.arms, self.margin, self.level = tuple(arms), margin, level
        self.place = {arm: place for place, arm in enumerate(arms)}
        size = (len(arms), len(arms))
        self._value, self._low, self._high = np.zeros(size), np.zeros(size), np.zeros(size)
        self._known = np.zeros(size, dtype=bool)
        self._reasons: dict[tuple[int, int], str] = {}
        table = comparer.differences(arms, level) if isinstance(comparer, ManyComparer) else None
        if table is not None:
            low, high = (table.low, table.high) if sign > 0 else (-table.high, -table.low)
            self._value, self._low, self._high, self._known = sign * table.value, low, high, table.known
        for place, a in enumerate(arms):
            known = self._known[place]
            for other in range(place + 1, len(arms)) if not known.all() else ():
                if not known[other]:
                    self._add((place, other), comparer.difference(a, arms[other], level), sign)

    def _add(self, pair: tuple[int, int], difference: Estimate | str, sign: float) -> None:
        """Take in the difference of the first and the second arm of a pair, or why there is none."""
        back, names = pair[::-1], f"{self.arms[pair[0]]} and {self.arms[pair[1]]}"
        self._known[pair] = self._known[back] = False
        self._value[pair] = self._value[back] = 0.0
        if not isinstance(difference, str):
            self._value[pair], self._value[back] = sign * difference.value, -sign * difference.value
        if isinstance(difference, str):
            why = f"{names}: {difference}"
        elif difference.low is not None and difference.high is not None:
            low, high = sorted((sign * difference.low, sign * difference.high))
            self._low[pair], self._high[pair], self._low[back], self._high[back] = low, high, -high, -low
            self._known[pair] = self._known[back] = True
            return
        elif difference.clusters < 2:
            why = "all test examples are in one group, which gives no interval; it takes test examples of other groups"
        else:
            how = difference.method.split(";")
            why = f"{names}: {how[1].strip() if len(how) > 1 else 'there is no interval'}"
        self._reasons[pair] = self._reasons[back] = why

    def of(self, a: str, b: str) -> Gain:
        """How much better `a` is than `b`."""
        pair = self.place[a], self.place[b]
        value = float(self._value[pair])
        if not self._known[pair]:
            return Gain(value, None, None, self._reasons.get(pair, ""))
        return Gain(value, float(self._low[pair]), float(self._high[pair]))

    def worse(self, arm: str) -> bool:
        """Whether some other arm is shown to be better by more than the margin."""
        mine = self.place[arm]
        is_better = self._known[:, mine] & (self._low[:, mine] > self.margin)
        is_better[mine] = False
        return bool(is_better.any())

    def good(self, arm: str) -> bool:
        """Whether every other arm is shown to be better by no more than the margin."""
        mine = self.place[arm]
        is_no_better = self._known[:, mine] & (self._high[:, mine] <= self.margin)
        is_no_better[mine] = True
        return bool(is_no_better.all())

    def undecided(self, arm: str) -> list[str]:
        """Arms of which it is open whether they are better than `arm` by more than the margin, the best value first."""
        mine = self.place[arm]
        low, high = self._low[:, mine], self._high[:, mine]
        is_open = ~self._known[:, mine] | ((low <= self.margin) & (self.margin < high))
        is_open[mine] = False
        return [self.arms[place] for place in is_open.nonzero()[0]]
