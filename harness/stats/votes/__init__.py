"""Statistics of votes. Pure functions over a table of votes; randomness is a numpy Generator.

`VoteTable.of` takes judgments joined with their assignments (`Vote`). One vote is an arm's answer against another's on
one example by one rater; votes share examples and, crossing those, raters, so intervals are clustered both ways. A
statistic that the votes do not give is a `Measured` with its reason, and what has no meaning is refused (DataError).

Fixed-n intervals (all but `sequential`) hold when looked at once, after closing. While a round is going only
`monitored_win_rate` does.

    record  ←  two_way  ←  rates, separation ← bradley_terry ← ranking, agreement ← raters, sequential
"""

from harness.stats.votes.agreement import (
    Kappa as Kappa,
    pairwise_kappas as pairwise_kappas,
    vote_alpha as vote_alpha,
)
from harness.stats.votes.bradley_terry import BradleyTerry as BradleyTerry, bradley_terry as bradley_terry
from harness.stats.votes.ranking import (
    effect_estimate as effect_estimate,
    pair_comparisons as pair_comparisons,
    score_estimates as score_estimates,
    vote_best_probabilities as vote_best_probabilities,
    vote_ranks as vote_ranks,
)
from harness.stats.votes.raters import (
    Guess as Guess,
    blinding_index as blinding_index,
    gold_accuracy as gold_accuracy,
    identical_tie_rate as identical_tie_rate,
    self_consistency as self_consistency,
)
from harness.stats.votes.rates import (
    WinRate as WinRate,
    left_rate as left_rate,
    pair_win_rates as pair_win_rates,
    win_rates as win_rates,
)
from harness.stats.votes.record import (
    Measured as Measured,
    Vote as Vote,
    VoteTable as VoteTable,
    Winner as Winner,
)
from harness.stats.votes.sequential import monitored_win_rate as monitored_win_rate
