"""Estimates with honest intervals, tests, ranks and plans. Pure functions over arrays; randomness is a numpy Generator.

Examples of one group (a patient, a module) are not independent, so every interval and every test works on clusters.
Two estimands exist and are never mixed, and `Estimate.method` says which one it is:

- *these checkpoints*: examples are random, the trained checkpoints are fixed. Several seeds of one arm are averaged
  before anything else (`intervals`, `bootstrap`, `significance`, `ranks`);
- *this method*: the training seeds are random as well, so it speaks about the next training too (`across_seeds`). It
  needs three seeds of every trained arm; an arm without training counts once, with no seed.

`power` turns spreads into standard errors and standard errors into the smallest difference that can be detected.

    clusters  ←  intervals, bootstrap, significance, across_seeds  ←  all_pairs, ranks, power
"""

from harness.stats.across_seeds import (
    Arm,
    arm_estimate,
    arm_p_value,
    corpus_method_arm,
    mean_arm,
    method_arm,
    subtract,
)
from harness.stats.all_pairs import PairTable, arms_of, corpus_arms_of, less_reference, pair_table, with_parts
from harness.stats.bootstrap import (
    Combine,
    Resampling,
    corpus_estimate,
    corpus_paired_difference,
)
from harness.stats.clusters import Clusters, Floats, clusters_without_spread
from harness.stats.equivalence import Equivalence, equivalence
from harness.stats.intervals import average_seeds, estimate, paired_difference
from harness.stats.medians import median
from harness.stats.one_sided import (
    SideTest,
    median_test,
    more_to_settle,
    rate_ceiling,
    rate_test,
    side_test,
)
from harness.stats.power import (
    Design,
    Spread,
    assumed_spread,
    corpus_measured_spread,
    detectable_difference,
    examples_needed,
    measured_spread,
    planned_error,
    power_of,
    seeds_needed,
    smallest_difference,
)
from harness.stats.ranks import best_probabilities, corpus_joint_draws, joint_draws, rank_intervals, with_seeds
from harness.stats.significance import holm, sign_flip_p_value, swap_p_value

__all__ = [
    "Arm",
    "Clusters",
    "Combine",
    "Design",
    "Equivalence",
    "Floats",
    "PairTable",
    "Resampling",
    "SideTest",
    "Spread",
    "arm_estimate",
    "arm_p_value",
    "arms_of",
    "assumed_spread",
    "average_seeds",
    "best_probabilities",
    "clusters_without_spread",
    "corpus_arms_of",
    "corpus_estimate",
    "corpus_joint_draws",
    "corpus_measured_spread",
    "corpus_method_arm",
    "corpus_paired_difference",
    "detectable_difference",
    "equivalence",
    "estimate",
    "examples_needed",
    "holm",
    "joint_draws",
    "less_reference",
    "mean_arm",
    "measured_spread",
    "median",
    "median_test",
    "method_arm",
    "more_to_settle",
    "pair_table",
    "paired_difference",
    "planned_error",
    "power_of",
    "rank_intervals",
    "rate_ceiling",
    "rate_test",
    "seeds_needed",
    "side_test",
    "sign_flip_p_value",
    "smallest_difference",
    "subtract",
    "swap_p_value",
    "with_parts",
    "with_seeds",
]
