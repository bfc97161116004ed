"""Which seed drives what. An experiment's `seeds` are training seeds; each stands for two independent ones.

`initialisation` seeds Python, NumPy and torch (first weights of an adapter, dropout); `data_order` seeds the
permutations of the training data, and which preference pairs are drawn. Both are hashes of their purpose and the
training seed, so that neighbouring training seeds share nothing and one stream never repeats the other. Every arm of
one training seed has the same two. Tuning and the bootstrap have seeds of their own.
"""

from __future__ import annotations

from harness.records import digest

PURPOSES = ("initialisation", "data_order")


def derived(seed: int, purpose: str) -> int:
    """The seed for `purpose` (0 to 2³² - 1): the first 32 bits of SHA-256 over purpose and training seed."""
    return int(digest([purpose, seed], 8), 16)


def of(seed: int | None) -> dict[str, int]:
    """Purpose → seed, for a training seed; empty for arms without training."""
    return {} if seed is None else {purpose: derived(seed, purpose) for purpose in PURPOSES}
