"""Decides in which order arms are measured, and which batch sizes are tried; pure."""

from __future__ import annotations

import random
from collections.abc import Sequence


def orders(arms: Sequence[str], rounds: int, rng: random.Random) -> list[tuple[str, ...]]:
    """For each round every arm once: in an order drawn by `rng`, and in the next round in the reverse of it.

    Over such a pair of rounds every arm stands at the same place on average, and every arm is as often before as after
    every other, so that what drifts steadily within the rounds cancels as well.
    """
    result: list[tuple[str, ...]] = []
    while len(result) < rounds:
        order = tuple(rng.sample(list(arms), len(arms)))
        result += [order, order[::-1]]
    return result[:rounds]


def batches(largest: int) -> list[int]:
    """1, 2, 4, … and `largest` itself."""
    return [*(1 << power for power in range((largest - 1).bit_length())), largest]


def filled(prompts: Sequence[tuple[int, ...]], rows: int) -> list[tuple[int, ...]]:
    """`rows` prompts, those given over and over."""
    return [prompts[number % len(prompts)] for number in range(rows)]
