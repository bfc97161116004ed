"""Power and what it takes: noncentral t, simulated power, least numbers, spreads that are found again."""

from __future__ import annotations

import numpy as np
import pytest

from harness import stats
from harness.stats.power import smallest_difference

SPREAD = stats.Spread(cluster=0.8, interaction=0.3, seed=0.004, examples_per_cluster=4.0)


def rng() -> np.random.Generator:
    return np.random.default_rng(11)


def test_bad_plans_are_refused():
    with pytest.raises(ValueError, match="two clusters"):
        stats.planned_error(SPREAD, stats.Design(1))
    with pytest.raises(ValueError, match="at least 3 seeds, got 2"):
        stats.planned_error(SPREAD, stats.Design(60, 2, "method"))
    with pytest.raises(ValueError, match="no spread"):
        stats.detectable_difference(stats.Spread(0.0), stats.Design(60))
    with pytest.raises(ValueError, match="must be positive"):
        smallest_difference(0.0, 10)
    with pytest.raises(ValueError, match="power lies between"):
        smallest_difference(1.0, 10, power=0.01)
    with pytest.raises(ValueError, match="two clusters"):
        stats.measured_spread(np.ones((3, 4)), np.ones((3, 4)), ["p"] * 4)
