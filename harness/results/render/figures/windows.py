"""What part of a chart's data is shown: a window on the values, a running median, fewer points."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from harness.records import Estimate

MOST = 400
"""Points of a line: more are not seen in print."""


@dataclass(frozen=True, slots=True)
class Window:
    """The part of an axis that is shown, so that arms far from the rest do not crush the comparison of the others."""

    low: float
    high: float
    near: frozenset[str]
    """Arms inside; the others are pointed at from the edge."""


def window(estimates: Mapping[str, Estimate], higher: bool) -> Window:
    """A window around the best arms: arms join from the best downwards, until a gap of four times their spread.

    With fewer than three arms, all are in it.
    """
    order = sorted(estimates, key=lambda arm: estimates[arm].value, reverse=higher)
    near: list[str] = []
    low, high = math.inf, -math.inf
    for arm in order:
        estimate = estimates[arm]
        bottom, top = (estimate.value if end is None else end for end in (estimate.low, estimate.high))
        gap = max(low - top, bottom - high)
        if len(near) > 1 and gap > 4 * (high - low) > 0:
            break
        near.append(arm)
        low, high = min(low, bottom), max(high, top)
    margin = 0.12 * (high - low) or 0.05 * abs(high) or 1.0
    return Window(low - margin, high + margin, frozenset(near))


def running_median(points: Sequence[tuple[int, float]], share: float) -> list[tuple[int, float]]:
    """Medians over a centred window of `share` of the points (cut at both ends)."""
    half = max(1, round(len(points) * share / 2))
    values = [value for _, value in points]
    return [
        (step, statistics.median(values[max(0, index - half) : index + half + 1]))
        for index, (step, _) in enumerate(points)
    ]


def thinned(points: Sequence[tuple[int, float]], most: int = MOST) -> list[tuple[int, float]]:
    """At most about `most` points evenly over the whole, the last among them."""
    step = max(1, len(points) // most)
    kept = list(points[::step])
    return kept if kept[-1] == points[-1] else [*kept, points[-1]]
