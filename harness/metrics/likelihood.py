"""Metrics of log-probabilities: perplexity, bits per byte, forgetting, preference accuracy.

All are functions of sums of natural-log probabilities, so they need no model and no text. Corpus values weight every
token (or byte) alike: they are ratios of sums, never means of per-item perplexities.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from harness.records import Likelihood

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def token_statistics(likelihoods: Sequence[Likelihood]) -> tuple[float, ...] | None:
    """(sum of log-probabilities, tokens) of one item; None without tokens or with a log-probability not finite."""
    return _sums(likelihoods, [row.tokens for row in likelihoods])


def byte_statistics(likelihoods: Sequence[Likelihood]) -> tuple[float, ...] | None:
    """(sum of log-probabilities, UTF-8 bytes) of one item; None without bytes or with a log-probability not finite."""
    return _sums(likelihoods, [row.bytes for row in likelihoods])


def _sums(likelihoods: Sequence[Likelihood], sizes: Sequence[int]) -> tuple[float, ...] | None:
    total = math.fsum(row.logprob for row in likelihoods)
    return (total, float(sum(sizes))) if sum(sizes) > 0 and math.isfinite(total) else None


def combine_perplexity(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Perplexity exp(-Σ log p / Σ tokens) of sums [..., 2] → [...]; infinite where it exceeds a float."""
    import numpy as np

    with np.errstate(over="ignore"):
        value: NDArray[np.float64] = np.exp(-statistics[..., 0] / statistics[..., 1])
    return value


def combine_bits_per_byte(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Bits per byte -Σ log p / (ln 2 · Σ bytes) of sums [..., 2] → [...]; comparable across tokenizers."""
    value: NDArray[np.float64] = -statistics[..., 0] / (math.log(2.0) * statistics[..., 1])
    return value


def preference(likelihoods: Sequence[Likelihood]) -> float | None:
    """1.0 when the chosen answer is likelier than the rejected one, else 0.0 (a tie is 0.0); None without both.

    Compared by the sum of log-probabilities, which is what DPO's implicit reward is built on (Rafailov et al. 2023);
    not normalised by length.
    """
    sums = {row.role: row.logprob for row in likelihoods}
    if "chosen" not in sums or "rejected" not in sums:
        return None
    return float(sums["chosen"] > sums["rejected"])
