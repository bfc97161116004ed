"""Two ways of doing the same, timed in turns; what a ratio of their times is worth. Used by the speed benches.

Sides take turns within a repeat, and the one that begins changes from repeat to repeat, so that a neighbour on the
processor disturbs them alike. The ratio is the median over repeats of the two times of one repeat. Its interval is that
of a median from order statistics (distribution-free; Conover 1999, section 3.2): with few repeats it cannot reach 95 %,
so the coverage that it has is printed.
"""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

Side = Callable[[], float | None]
"""Does the work once. Gives the seconds that count, or None when all of the call counts."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as long one side takes: median over repeats, and an interval of that median."""

    value: float
    low: float
    high: float
    coverage: float
    """Probability that such an interval holds the median."""
    repeats: int


def interleaved(sides: Mapping[str, Side], repeats: int, *, warm: bool = True) -> dict[str, list[float]]:
    """Seconds of every side, one entry a repeat. With `warm` each side runs once before, which does not count."""
    if warm:
        for side in sides.values():
            side()
    names = list(sides)
    found: dict[str, list[float]] = {name: [] for name in names}
    for turn in range(repeats):
        first = turn % len(names)
        for name in names[first:] + names[:first]:
            started = time.perf_counter()
            told = sides[name]()
            found[name].append(time.perf_counter() - started if told is None else told)
    return found


def ratio(slower: Sequence[float], faster: Sequence[float], level: float = 0.95) -> Ratio:
    """Median of slower / faster, repeat by repeat, with the narrowest symmetric interval of at least `level`.

    Where no interval of so few repeats reaches `level`, it goes from the least to the largest ratio.
    """
    ratios = sorted(a / b for a, b in zip(slower, faster, strict=True))
    count = len(ratios)
    rank, coverage = 0, _coverage(count, 0)
    while rank + 1 < (count + 1) // 2 and _coverage(count, rank + 1) >= level:
        rank, coverage = rank + 1, _coverage(count, rank + 1)
    return Ratio(statistics.median(ratios), ratios[rank], ratios[count - 1 - rank], coverage, count)


def ratio_line(name: str, slower: Sequence[float], faster: Sequence[float], at_least: float | None = None) -> str:
    """A line for a person: the ratio, its interval, both medians, and the bound where there is one."""
    found = ratio(slower, faster)
    bound = "" if at_least is None else f"; at least {at_least:g} asked: {'yes' if found.value >= at_least else 'NO'}"
    return (
        f"{name}: {found.value:.2f} times [{found.low:.2f}, {found.high:.2f}] ({found.coverage:.0%} interval, "
        f"{found.repeats} repeats; {statistics.median(slower):.3f} s against {statistics.median(faster):.3f} s){bound}"
    )


def _coverage(count: int, rank: int) -> float:
    """Probability that the median lies between the values of `rank` from below and from above (0 is the outermost)."""
    return max(0.0, 1.0 - 2.0 * sum(math.comb(count, below) for below in range(rank + 1)) / 2.0**count)
