"""In which order arms are measured, and which batches are tried. Pure."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence


def orders(arms: Sequence[str], rounds: int, rng: random.Random) -> list[tuple[str, ...]]:
    """For each round every arm once, in an order drawn by `rng`."""
    return [tuple(rng.sample(list(arms), len(arms))) for _ in range(rounds)]


def batches(largest: int) -> Iterator[int]:
    """1, 2, 4, … and `largest` itself."""
    rows = 1
    while rows < largest:
        yield rows
        rows *= 2
    yield largest


def filled(prompts: Sequence[tuple[int, ...]], rows: int) -> list[tuple[int, ...]]:
    """`rows` prompts, those given over and over."""
    return [prompts[number % len(prompts)] for number in range(rows)]
