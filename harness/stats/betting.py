"""One-sided evidence that grows as values come in: is the mean below a number? Holds at every look (anytime-valid).

The test by betting of `votes/sequential` (Waudby-Smith and Ramdas 2024), one-sided: values lie in [0, 1], and only the
nodes that bet on small values take part. Each of them is a supermartingale whatever the mean at or above m, so their
average is, and by Ville's inequality passes 1 / alpha with probability at most alpha if the mean is m or more, however
often one looks and whenever one stops. Half of the nodes of the two-sided mixture are none the worse for it: the
evidence is up to twice as large.
"""

from __future__ import annotations

import numpy as np

from harness.stats.clusters import Floats
from harness.stats.votes.sequential import bet_factors, bets, log_mean

BLOCK = 16
HALVINGS = 50
"""In search of a limit: beyond the last bit."""


def node_log_wealth(values: Floats, mean: float) -> Floats:
    """Log-wealth [..., nodes] of each bet that the mean is below `mean`, after values [..., n]; NaN values bet nothing.

    Sums over n, so that evidence of more values is added to it.
    """
    factors = bet_factors(np.asarray(values, dtype=np.float64), mean)[..., bets() < mean]
    factors[np.isnan(factors)] = 1.0
    # Logarithms are what this costs: sixteen factors, each above 1e-5, are multiplied first.
    starts = np.arange(0, factors.shape[-2], BLOCK)
    if not len(starts):
        return np.zeros((*factors.shape[:-2], factors.shape[-1]))
    return np.asarray(np.log(np.multiply.reduceat(factors, starts, axis=-2)).sum(axis=-2))


def log_evidence(nodes: Floats) -> Floats:
    """Logarithm of the e-value [...] from the log-wealth of its nodes [..., nodes]."""
    return log_mean(nodes)


def upper_limit(values: Floats, log_threshold: float) -> float:
    """The smallest mean that values [n] speak against by `log_threshold`: the mean is below it, at every n at once.

    1 where no mean can be excluded. To within the spacing of the bets, which join the mixture one by one as the mean
    passes them.
    """
    low, high = float(np.nanmean(values)), 1.0
    if low >= 1.0:
        return 1.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        if middle > 0 and float(log_evidence(node_log_wealth(values, middle))) >= log_threshold:
            high = middle
        else:
            low = middle
    return high
