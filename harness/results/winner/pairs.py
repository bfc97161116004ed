"""Every pair of arms on the primary metric, both ways round: what the winner rule's verdict is made from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from harness.records import Estimate

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Comparer(Protocol):
    """Comparisons of two arms on the primary metric, in its own direction."""

    def difference(self, a: str, b: str, level: float) -> Estimate | str:
        """Paired difference a - b with an interval at `level`, or why there is none."""
        ...

    def needed(self, a: str, b: str, gap: float, level: float) -> tuple[int | None, int | None]:
        """More test examples, and more seeds, until an interval at `level` is narrower than `gap` on each side with
        80 % power; None where it cannot be said or would not help."""
        ...


class Pairs(Protocol):
    """Differences of all pairs of arms, row minus column, [arms, arms] each."""

    @property
    def value(self) -> NDArray[np.float64]:
        """Differences."""
        ...

    @property
    def low(self) -> NDArray[np.float64]:
        """Lower limits."""
        ...

    @property
    def high(self) -> NDArray[np.float64]:
        """Upper limits."""
        ...

    @property
    def known(self) -> NDArray[np.bool_]:
        """Whether a pair has limits."""
        ...


@runtime_checkable
class ManyComparer(Comparer, Protocol):
    """A comparer that may know all pairs at once."""

    def differences(self, arms: Sequence[str], level: float) -> Pairs | None:
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

    def __init__(self, arms: Sequence[str], margin: float, level: float) -> None:
        import numpy as np

        self.arms, self.margin, self.level = tuple(arms), margin, level
        self.place = {arm: place for place, arm in enumerate(arms)}
        size = (len(arms), len(arms))
        self._value, self._low, self._high = np.zeros(size), np.zeros(size), np.zeros(size)
        self._known = np.zeros(size, dtype=bool)
        self._reasons: dict[tuple[int, int], str] = {}

    @classmethod
    def of_all(cls, arms: Sequence[str], comparer: Comparer, margin: float, level: float, sign: float) -> Gains:
        """Every pair as `comparer` has it; `sign` is -1 where less is better."""
        gains = cls(arms, margin, level)
        table = comparer.differences(arms, level) if isinstance(comparer, ManyComparer) else None
        if table is not None:
            low, high = (table.low, table.high) if sign > 0 else (-table.high, -table.low)
            gains._value, gains._low, gains._high = sign * table.value, low, high
            gains._known = table.known
        for place, a in enumerate(arms):
            known = gains._known[place]
            for other in range(place + 1, len(arms)) if not known.all() else ():
                if not known[other]:
                    gains.add(a, arms[other], comparer.difference(a, arms[other], level), sign)
        return gains

    def add(self, a: str, b: str, difference: Estimate | str, sign: float) -> None:
        """Take in the difference a - b, or why there is none."""
        pair = self.place[a], self.place[b]
        back = pair[::-1]
        self._known[pair] = self._known[back] = False
        if isinstance(difference, str):
            self._value[pair] = self._value[back] = 0.0
            self._reasons[pair] = self._reasons[back] = f"{a} and {b}: {difference}"
            return
        self._value[pair], self._value[back] = sign * difference.value, -sign * difference.value
        if difference.low is None or difference.high is None:
            self._reasons[pair] = self._reasons[back] = _reason(difference, a, b)
            return
        low, high = sorted((sign * difference.low, sign * difference.high))
        self._low[pair], self._high[pair] = low, high
        self._low[back], self._high[back] = -high, -low
        self._known[pair] = self._known[back] = True

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


def _reason(estimate: Estimate, a: str, b: str) -> str:
    if estimate.clusters < 2:
        return "all test examples are in one group, which gives no interval; it takes test examples of other groups"
    why = next((part.strip() for part in estimate.method.split(";")[1:2]), "there is no interval")
    return f"{a} and {b}: {why}"
