"""Estimates with honest intervals, tests, ranks and plans. Pure functions over arrays; randomness is a numpy Generator.

Examples of one group (a patient, a module) are not independent, so every interval and every test works on clusters.
Two estimands exist and are never mixed, and `Estimate.method` says which one it is:

- *these checkpoints*: examples are random, the trained checkpoints are fixed. Several seeds of one arm are averaged
  before anything else (`intervals`, `bootstrap`, `significance`, `ranks`);
- *this method*: the training seeds are random as well, so it speaks about the next training too (`across_seeds`). It
  needs three seeds of every trained arm; an arm without training counts once, with no seed.

`power` turns spreads into standard errors and standard errors into the smallest difference that can be detected.

    clusters  ←  proportions  ←  intervals, bootstrap, significance, across_seeds  ←  all_pairs, ranks, power
"""

from harness.stats.across_seeds import *
from harness.stats.all_pairs import *
from harness.stats.bootstrap import *
from harness.stats.clusters import *
from harness.stats.equivalence import *
from harness.stats.intervals import *
from harness.stats.medians import *
from harness.stats.one_sided import *
from harness.stats.power import *
from harness.stats.proportions import *
from harness.stats.ranks import *
from harness.stats.significance import *
