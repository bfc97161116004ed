"""Statistics of votes. Pure functions over a table of votes; randomness is a numpy Generator.

`VoteTable.of` takes judgments joined with their assignments (`Vote`). One vote is an arm's answer against another's on
one example by one rater; votes share examples and, crossing those, raters, so intervals are clustered both ways. A
statistic that the votes do not give is a `Measured` with its reason, and what has no meaning is refused (DataError).

Fixed-n intervals (all but `sequential`) hold when looked at once, after closing. While a round is going only
`monitored_win_rate` does.

    record  ←  two_way  ←  rates, separation ← bradley_terry ← ranking, agreement ← raters, sequential
"""

from harness.stats.votes.agreement import *
from harness.stats.votes.bradley_terry import *
from harness.stats.votes.ranking import *
from harness.stats.votes.raters import *
from harness.stats.votes.rates import *
from harness.stats.votes.record import *
from harness.stats.votes.sequential import *
