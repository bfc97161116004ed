"""Estimates of methods as the leaderboard composes them: arms are made, subtracted and read."""

from __future__ import annotations

import numpy as np

from harness import stats

BOTH = (True, True)


def method_estimate(values, clusters=None, *, trained=True, bounds=None, level=0.95):
    """Mean of values [seeds, n]."""
    arm, known = stats.method_arm(values, clusters, trained=trained)
    return stats.arm_estimate(arm, known, "mean over examples", bounds, level)


def method_difference(a, b, clusters=None, *, trained=BOTH, bounds=None, level=0.95):
    """Mean of a - b over the same examples."""
    span = bounds and (bounds[0] - bounds[1], bounds[1] - bounds[0])
    return stats.arm_estimate(*_less(a, b, clusters, trained), "mean of paired differences", span, level)


def method_p_value(a, b, clusters=None, *, trained=BOTH):
    """Of no difference."""
    return stats.arm_p_value(*_less(a, b, clusters, trained))


def corpus_method_estimate(statistics, combine, clusters=None):
    """Corpus value of statistics [seeds, n, k]."""
    arm, known = stats.corpus_method_arm(statistics, combine, clusters, trained=True)
    return stats.arm_estimate(arm, known, "corpus value", None)


def corpus_less(a, b, combine, clusters=None):
    """The difference of two corpus values as an Arm, and the clusters."""
    ours, known = stats.corpus_method_arm(a, combine, clusters, trained=True)
    theirs, _ = stats.corpus_method_arm(b, combine, known, trained=True)
    return stats.subtract(ours, theirs), known


def _less(a, b, clusters, trained):
    known = stats.Clusters.of(clusters, np.shape(a)[-1])
    ours, theirs = (stats.method_arm(side, known, trained=one)[0] for side, one in zip((a, b), trained, strict=True))
    return stats.subtract(ours, theirs), known
