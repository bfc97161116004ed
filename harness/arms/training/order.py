"""Which examples a training sees, in which order: pure functions of data size, budget and seed.

Every arm of one seed walks the same order, so that a difference between arms is never a difference of luck with the
data. The whole training is one pass over the order, which already holds the repetitions.

An experiment's `seeds` are training seeds; each stands for two independent ones. `initialisation` seeds Python, NumPy
and torch (first weights of an adapter, dropout); `data_order` seeds the permutations of the training data, and which
preference pairs are drawn. Both are hashes of their purpose and the training seed, so that neighbouring training seeds
share nothing. Tuning and the bootstrap have seeds of their own.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate

from harness.config import BudgetSpec
from harness.errors import DataError
from harness.records import digest

UNBOUNDED_EPOCHS = 1000
"""Epochs laid out for a budget of seconds: more than any such budget reaches, unless it is very generous."""
UNBOUNDED_EXAMPLES = 2_000_000
SEED_PURPOSES = ("initialisation", "data_order")


def derived_seed(seed: int, purpose: str) -> int:
    """The seed for `purpose` (0 to 2³² - 1): the first 32 bits of SHA-256 over purpose and training seed."""
    return int(digest([purpose, seed], 8), 16)


def derived_seeds(seed: int | None) -> dict[str, int]:
    """Purpose → seed, for a training seed; empty for arms without training."""
    return {} if seed is None else {purpose: derived_seed(seed, purpose) for purpose in SEED_PURPOSES}


def training_order(n_train: int, examples: int, seed: int) -> list[int]:
    """Indices into the train split, `examples` of them: seeded permutations of all indices, one after another.

    Epochs are independent permutations; the last one is cut where the budget ends.
    """
    import numpy as np

    if n_train < 1:
        raise DataError("there are no examples to train on", hint="Check the task's data and splits")
    order: list[int] = []
    epoch = 0
    while len(order) < examples:
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence([seed, epoch])))
        order += rng.permutation(n_train)[: examples - len(order)].tolist()
        epoch += 1
    return order


def budgeted_order(lengths: Sequence[int], budget: BudgetSpec, seed: int) -> list[int]:
    """The order that spends `budget`; `lengths` are the tokens (prompt and target) of every train example.

    Examples: exactly so many. Tokens: the shortest prefix that reaches them. Seconds: more than can be seen in the
    time (up to UNBOUNDED_EPOCHS passes); training stops by the clock.
    """
    n_train = len(lengths)
    if budget.examples is not None:
        return training_order(n_train, budget.examples, seed)
    if budget.tokens is None:
        return training_order(n_train, min(n_train * UNBOUNDED_EPOCHS, UNBOUNDED_EXAMPLES), seed)
    epochs = budget.tokens // max(1, sum(lengths)) + 1
    return shortest(training_order(n_train, n_train * epochs, seed), lengths, budget.tokens)


def shortest(order: Sequence[int], lengths: Sequence[int], tokens: int) -> list[int]:
    """The shortest beginning of `order` that holds `tokens` tokens, or all of it; `lengths` are those of the rows."""
    sums = accumulate(lengths[index] for index in order)
    end = next((position for position, total in enumerate(sums, 1) if total >= tokens), len(order))
    return list(order[:end])


def rate_factor(schedule: str, warmup: float, done: float, total: float, grain: float = 1.0) -> float:
    """Share of the peak learning rate for the step that starts at `done` of `total` (steps, or seconds).

    Linear warm-up over `warmup` · total, never from zero: the first step has one `grain` (one step) of it. Then
    constant, linear to zero, or half a cosine to zero (Loshchilov and Hutter 2017, without restarts).
    """
    import math

    warm = warmup * total
    if done + grain < warm:
        return (done + grain) / warm
    if schedule == "constant":
        return 1.0
    left = 1.0 - min(1.0, max(0.0, (done - warm) / max(total - warm, 1e-9)))
    return left if schedule == "linear" else 0.5 * (1.0 - math.cos(math.pi * left))
