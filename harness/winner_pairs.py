"""Every pair of arms on the primary metric, both ways round: what the winner rule's verdict is made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from harness.records import Estimate


class Comparer(Protocol):
    """Comparisons of two arms on the primary metric, in its own direction."""

    def difference(self, a: str, b: str, level: float) -> Estimate | str:
        """Paired difference a - b with an interval at `level`, or why there is none."""
        ...

    def needed(self, a: str, b: str, gap: float, level: float) -> tuple[int | None, int | None]:
        """More test examples, and more seeds, until an interval at `level` is narrower than `gap` on each side with
        80 % power; None where it cannot be said or would not help."""
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
    """All pairs, both ways round."""

    def __init__(self, margin: float, level: float) -> None:
        self.margin, self.level = margin, level
        self._known: dict[tuple[str, str], Gain] = {}

    def add(self, a: str, b: str, found: Estimate | str, sign: float) -> None:
        if isinstance(found, str):
            self._known[a, b] = self._known[b, a] = Gain(0.0, None, None, f"{a} and {b}: {found}")
            return
        value = sign * found.value
        if found.low is None or found.high is None:
            reason = _reason(found, a, b)
            self._known[a, b], self._known[b, a] = Gain(value, None, None, reason), Gain(-value, None, None, reason)
            return
        low, high = sorted((sign * found.low, sign * found.high))
        self._known[a, b], self._known[b, a] = Gain(value, low, high), Gain(-value, -high, -low)

    def of(self, a: str, b: str) -> Gain:
        """How much better `a` is than `b`."""
        return self._known[a, b]

    def worse(self, arm: str, others: Iterable[str]) -> bool:
        lows = [self.of(other, arm).low for other in others if other != arm]
        return any(low is not None and low > self.margin for low in lows)

    def good(self, arm: str, others: Iterable[str]) -> bool:
        highs = [self.of(other, arm).high for other in others if other != arm]
        return all(high is not None and high <= self.margin for high in highs)

    def undecided(self, a: str, b: str) -> bool:
        """Whether it is open that `a` is better than `b` by more than the margin."""
        gain = self.of(a, b)
        return gain.low is None or gain.high is None or gain.low <= self.margin < gain.high


def _reason(estimate: Estimate, a: str, b: str) -> str:
    if estimate.clusters < 2:
        return "all test examples are in one group, which gives no interval; it takes test examples of other groups"
    why = next((part.strip() for part in estimate.method.split(";")[1:2]), "there is no interval")
    return f"{a} and {b}: {why}"
