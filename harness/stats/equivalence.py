"""Is a mean within a margin of zero? Two one-sided tests (TOST, Schuirmann 1987).

Equivalence is shown when the mean is shown to lie above minus the margin and, in a test of its own, below the margin,
each at the confidence: then the two-sided interval at 2 · confidence - 1 lies within the margins. No adjustment is due,
because both tests must succeed (intersection-union, Berger 1982).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from numpy.typing import ArrayLike

from harness.records import Estimate
from harness.stats.clusters import Clusters
from harness.stats.one_sided import side_test


@dataclass(frozen=True, slots=True)
class Equivalence:
    """A mean against a margin on either side of zero."""

    estimate: Estimate
    """Two-sided at 2 · confidence - 1, so that each end is a one-sided limit at the confidence."""
    p_value: float | None
    """Of a mean that is not within the margin: the larger one of two one-sided p-values; None without an interval."""
    more_examples: int | None
    """About how many more examples settle both sides with 80 % power each if the mean is what it is now; 0 when they
    are settled, None when no number will do or there is no interval."""


def equivalence(
    values: ArrayLike,
    margin: float,
    clusters: Sequence[Hashable] | Clusters | None = None,
    *,
    bounds: tuple[float, float] | None = None,
    confidence: float = 0.95,
) -> Equivalence:
    """Test that the mean of values [n] (paired differences) lies within ±`margin`, clustered as `stats.estimate`.

    Raises ValueError: a margin that is not positive, no values, values that are not finite, or a confidence that is not
    between 0.5 and 1.
    """
    if not margin > 0:
        raise ValueError("a margin is positive")
    below = side_test(values, -margin, clusters, bounds=bounds, confidence=confidence)
    above = side_test(values, margin, clusters, bounds=bounds, confidence=confidence)
    if below.p_above is None or above.p_below is None:
        return Equivalence(below.estimate, None, None)
    open_sides = [side.more_examples for side in (below, above)]
    # The larger one: with fewer examples one of the two sides stays open.
    more = None if None in open_sides else max(side for side in open_sides if side is not None)
    return Equivalence(below.estimate, max(below.p_above, above.p_below), more)
