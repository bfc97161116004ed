"""Statistics of votes. Pure functions over a table of votes; randomness is a numpy Generator.

`VoteTable.of` takes judgments joined with their assignments (`Vote`). One vote is an arm's answer against another's on
one example by one rater; votes share examples and, crossing those, raters, so intervals are clustered both ways. A
statistic that the votes do not give is a `Measured` with its reason, and what has no meaning is refused (DataError).

Fixed-n intervals (all but `sequential`) hold when looked at once, after closing. While a round is going only
`monitored_win_rate` does.

    record  ←  two_way  ←  rates, separation ← bradley_terry ← ranking, agreement ← raters, sequential
"""

from harness.stats.votes.agreement import (
    Kappa,
    cohen_kappa,
    krippendorff_alpha,
    pairwise_kappas,
    vote_alpha,
)
from harness.stats.votes.bradley_terry import BradleyTerry, bradley_terry
from harness.stats.votes.ranking import (
    PairComparison,
    effect_estimate,
    pair_comparisons,
    score_estimates,
    vote_best_probabilities,
    vote_ranks,
)
from harness.stats.votes.raters import Guess, blinding_index, gold_accuracy, identical_tie_rate, self_consistency
from harness.stats.votes.rates import WinRate, left_rate, pair_win_rates, win_rates
from harness.stats.votes.record import WINNERS, Measured, Vote, VoteTable, Winner
from harness.stats.votes.sequential import (
    confidence_sequence,
    example_values,
    log_wealth_path,
    monitored_win_rate,
)
from harness.stats.votes.two_way import Crossing, mean_interval

__all__ = [
    "WINNERS",
    "BradleyTerry",
    "Crossing",
    "Guess",
    "Kappa",
    "Measured",
    "PairComparison",
    "Vote",
    "VoteTable",
    "WinRate",
    "Winner",
    "blinding_index",
    "bradley_terry",
    "cohen_kappa",
    "confidence_sequence",
    "effect_estimate",
    "example_values",
    "gold_accuracy",
    "identical_tie_rate",
    "krippendorff_alpha",
    "left_rate",
    "log_wealth_path",
    "mean_interval",
    "monitored_win_rate",
    "pair_comparisons",
    "pair_win_rates",
    "pairwise_kappas",
    "score_estimates",
    "self_consistency",
    "vote_alpha",
    "vote_best_probabilities",
    "vote_ranks",
    "win_rates",
]
