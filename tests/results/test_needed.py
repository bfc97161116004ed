"""How many more examples a verdict asks for, where two arms have answered alike so far."""

from __future__ import annotations

import numpy as np

from harness.metrics import metric
from harness.records import WinnerRule
from harness.results.estimator import Estimator, Series
from harness.results.winner.contest import Comparisons
from harness.results.winner.verdict import Contender, Contest, judge


def twins(n: int) -> Comparisons:
    """Two arms with the same answers to n examples in groups of two."""
    right = np.ones((1, n))
    right[0, 0] = 0.0
    items = tuple(f"e{place}" for place in range(n))
    one = Series(items, right, 0, trained=True)
    groups = {item: f"g{place // 2}" for place, item in enumerate(items)}
    return Comparisons(Estimator(groups, 0), metric("exact_match"), {"a": one, "b": one})


def verdict(n: int):
    contest = Contest(
        contenders=(Contender("a", 0.9, 1.0, 1), Contender("b", 0.9, 2.0, 1)),
        without_result=(),
        reference="none",
        metric="exact_match",
        higher_is_better=True,
        rule=WinnerRule(0.05, "adapter_bytes"),
        estimand="checkpoints",
    )
    return judge(contest, twins(n))


def test_arms_that_answer_alike_are_tied_once_there_are_as_many_examples_as_were_asked_for() -> None:
    few = verdict(40)
    assert few.outcome == "not_enough_data" and few.more_examples is not None
    assert f"about {few.more_examples:,} more test examples" in few.words
    enough = 40 + few.more_examples
    assert verdict(enough + enough % 2).outcome == "tie"
    assert verdict(enough * 2 // 3 // 2 * 2).outcome == "not_enough_data"
