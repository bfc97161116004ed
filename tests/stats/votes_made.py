"""Votes made for the tests of their statistics."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from harness.stats import votes

ARMS = ("ada", "bob", "cy", "dot")
OUTCOMES = ("left", "right", "tie")

# Real votes of a published collection: pairs of foods and who won them, counted. Source: food.csv of dustalov/evalica,
# Apache-2.0; its food-golden.csv holds the Bradley-Terry scores, normalised to sum one.
FOOD = {
    ("Tacos", "Pizza", "left"): 3,
    ("Burger", "Sushi", "right"): 3,
    ("Pizza", "Sushi", "left"): 2,
    ("Burger", "Pasta", "right"): 2,
    ("Sushi", "Burger", "right"): 2,
    ("Pizza", "Burger", "right"): 2,
    ("Pasta", "Tacos", "right"): 2,
    ("Tacos", "Pasta", "left"): 2,
    ("Sushi", "Tacos", "right"): 1,
    ("Burger", "Pizza", "left"): 1,
    ("Pasta", "Sushi", "right"): 1,
    ("Tacos", "Burger", "left"): 1,
    ("Pizza", "Pasta", "tie"): 1,
    ("Pasta", "Tacos", "left"): 1,
    ("Sushi", "Pasta", "tie"): 1,
    ("Burger", "Tacos", "left"): 1,
    ("Pizza", "Tacos", "right"): 1,
    ("Sushi", "Burger", "left"): 1,
    ("Pasta", "Pizza", "right"): 1,
    ("Sushi", "Tacos", "left"): 1,
}
FOOD_GOLDEN = {
    "Tacos": 0.43428982771223773,
    "Sushi": 0.19060028489839073,
    "Burger": 0.14797665121689418,
    "Pasta": 0.1281534106031957,
    "Pizza": 0.09897982556928168,
}


def food() -> list[votes.Vote]:
    """Each vote on an example of its own."""
    kinds = [kind for kind, count in FOOD.items() for _ in range(count)]
    return [votes.Vote(f"item {number}", *kind[:2], "one", kind[2]) for number, kind in enumerate(kinds)]


def simulated(
    seed: int = 0, *, arms: int = 3, items: int = 24, raters: int = 6, outcomes: tuple[str, ...] = OUTCOMES
) -> list[votes.Vote]:
    """Every example's pairs judged by two raters each; arms get worse with their place, the left is favoured."""
    rng = np.random.default_rng(seed)
    made, turn = [], 0
    for item in range(items):
        own = rng.normal(size=arms) - 0.6 * np.arange(arms)
        for first in range(arms):
            for second in range(first + 1, arms):
                for _ in range(2):
                    left, right = (first, second) if rng.random() < 0.5 else (second, first)
                    odds = own[left] - own[right] + 0.3 + rng.logistic()
                    winner = "tie" if abs(odds) < 0.4 and "tie" in outcomes else "left" if odds > 0 else "right"
                    if len(outcomes) > 3 and rng.random() < 0.2:
                        winner = outcomes[3 + int(rng.integers(len(outcomes) - 3))]
                    made.append(votes.Vote(f"item {item}", ARMS[left], ARMS[right], f"rater {turn % raters}", winner))
                    turn += 1
    return made


def some_votes(
    outcomes: tuple[str, ...] = OUTCOMES, least: int = 1, most: int = 40
) -> st.SearchStrategy[list[votes.Vote]]:
    """Arbitrary votes of up to four arms, six items and four raters."""
    pair = st.permutations(ARMS).map(lambda order: order[:2])
    one = st.builds(
        lambda item, pair, rater, winner: votes.Vote(f"item {item}", *pair, f"rater {rater}", winner),
        st.integers(0, 5),
        pair,
        st.integers(0, 3),
        st.sampled_from(outcomes),
    )
    return st.lists(one, min_size=least, max_size=most)


def turned(vote: votes.Vote) -> votes.Vote:
    """The same judgment with its sides swapped."""
    winner = {"left": "right", "right": "left"}.get(vote.winner, vote.winner)
    return votes.Vote(vote.item, vote.right, vote.left, vote.rater, winner)
