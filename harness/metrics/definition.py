"""What a metric is, and what it looks at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from harness.records import FinishReason

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Facts = Sequence[Mapping[str, Any]]
Bounds = tuple[float, float] | None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a metric of a generated text may look at."""

    text: str
    references: tuple[str, ...]
    facts: Facts | None
    """[{slot, value}, …], None where the task or the example has none."""
    finish: FinishReason
    example: str = ""
    """Id of the example, for messages."""
    fields: Mapping[str, Any] = field(default_factory=dict)
    """The example's columns."""


@dataclass(frozen=True, slots=True)
class Measured:
    """One item's value, and its sufficient statistics where the metric is a corpus metric.

    A value of None beside statistics means that the single item has no value of its own.
    """

    value: float | None
    statistics: tuple[float, ...] | None = None


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric. `score` maps an Answer (source `prediction`) or an item's Likelihoods to Measured, or None: missing.

    `version` is raised when values may change; stored scores carry it.
    """

    name: str
    description: str
    """Formula and weighting, in one line."""
    score: Callable[[Any], Measured | None] = field(repr=False)
    direction: Literal["higher", "lower"] = "higher"
    kind: Literal["example", "corpus"] = "example"
    source: Literal["prediction", "likelihood", "lm_eval"] = "prediction"
    suite: str = "test"
    """`test`, `retention`, `preferences` or `lm_eval:TASK`."""
    unit: str = ""
    bounds: Bounds = (0.0, 1.0)
    """Smallest and largest possible value of an item; None where there is no upper bound."""
    combine: Callable[[NDArray[np.float64]], NDArray[np.float64]] | None = field(default=None, repr=False)
    """For corpus metrics: summed statistics [..., k] → values [...]."""
    version: int = 1
