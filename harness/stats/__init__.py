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
    Arm as Arm,
    arm_estimate as arm_estimate,
    arm_p_value as arm_p_value,
    corpus_method_arm as corpus_method_arm,
    method_arm as method_arm,
    subtract as subtract,
)
from harness.stats.all_pairs import (
    PairTable as PairTable,
    arms_of as arms_of,
    corpus_arms_of as corpus_arms_of,
    less_reference as less_reference,
    pair_table as pair_table,
    with_parts as with_parts,
)
from harness.stats.bootstrap import (
    corpus_estimate as corpus_estimate,
    corpus_paired_difference as corpus_paired_difference,
)
from harness.stats.clusters import (
    Clusters as Clusters,
    Floats as Floats,
    clusters_without_spread as clusters_without_spread,
)
from harness.stats.equivalence import equivalence as equivalence
from harness.stats.intervals import (
    average_seeds as average_seeds,
    estimate as estimate,
    paired_difference as paired_difference,
)
from harness.stats.medians import median as median
from harness.stats.one_sided import (
    median_test as median_test,
    more_to_settle as more_to_settle,
    rate_test as rate_test,
    side_test as side_test,
)
from harness.stats.power import (
    Design as Design,
    Spread as Spread,
    assumed_spread as assumed_spread,
    corpus_measured_spread as corpus_measured_spread,
    detectable_difference as detectable_difference,
    examples_needed as examples_needed,
    measured_spread as measured_spread,
    planned_error as planned_error,
    seeds_needed as seeds_needed,
)
from harness.stats.ranks import (
    best_probabilities as best_probabilities,
    corpus_joint_draws as corpus_joint_draws,
    joint_draws as joint_draws,
    rank_intervals as rank_intervals,
    with_seeds as with_seeds,
)
from harness.stats.significance import (
    holm as holm,
    sign_flip_p_value as sign_flip_p_value,
    swap_p_value as swap_p_value,
)
