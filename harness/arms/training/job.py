"""What a training loop is given besides its model, and under which precision and memory its passes run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch

from harness.arms.training.memory import is_out_of_memory
from harness.arms.training.order import derived_seed
from harness.config import OptimiserSpec, TrainedBase
from harness.data.prompts import Encoded
from harness.errors import OutOfMemory
from harness.records import RunPlan


class Objective(Protocol):
    """What is minimised. A row is one example in whatever form the objective understands."""

    def sides(self, row: Any) -> Sequence[Encoded]:
        """The sequences of a row that go through the model."""

    def units(self, row: Any) -> int:
        """What a row adds to the denominator of the mean over an effective batch (target tokens, or one pair)."""

    def collate(self, rows: Sequence[Any]) -> dict[str, torch.Tensor]:
        """Padded tensors of a micro-batch."""

    def loss(self, model: Any, batch: dict[str, torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
        """Sum of the rows' losses times their `weight` (rows,): one over the units of the whole effective batch."""


Seen = tuple[Mapping[int, Any], Sequence[int]]
"""Rows by index, and the order in which they are seen."""


@dataclass(frozen=True, slots=True)
class Job:
    """All that the loop needs besides the model."""

    rows: Mapping[int, Any]
    """By index; `order` names them."""
    order: Sequence[int]
    objective: Objective
    validate: Callable[[Any], float] | None
    optimiser: OptimiserSpec
    evaluations: int
    seed: int
    device: str
    folder: Path
    checkpoint_seconds: float
    device_seconds: float | None = None
    stop_on: str = "diverged"
    pause: float | None = None
    """Share of the steps after which it checkpoints and ends, to go on later; the schedule stays that of all steps."""
    autocast: str | None = None

    @classmethod
    def of(cls, plan: RunPlan, seen: Seen, objective: Objective, validate: Callable[[Any], float] | None) -> Job:
        """The job of a plan: what every trained arm takes from its recipe and experiment in the same way."""
        assert isinstance(plan.arm, TrainedBase) and plan.seed is not None
        rows, order = seen
        return cls(
            rows=rows,
            order=order,
            objective=objective,
            validate=validate,
            optimiser=plan.arm.optimiser,
            evaluations=plan.arm.evaluations,
            seed=derived_seed(plan.seed, "initialisation"),
            device=plan.device,
            folder=plan.run_folder,
            checkpoint_seconds=plan.experiment.spec.resources.checkpoint_seconds,
            stop_on=plan.experiment.spec.stop_on,
            pause=None if plan.rung is None else plan.rung.share,
            autocast=plan.experiment.base.autocast,
        )


def mixed(device: str, autocast: str | None) -> torch.autocast:
    """Where matrix products are computed in `autocast` and the rest in the weights' data type; nothing when None."""
    kind = torch.device(device).type
    return torch.autocast(kind, dtype=getattr(torch, autocast or "bfloat16"), enabled=autocast is not None)


@contextmanager
def memory_errors(what: str) -> Iterator[None]:
    """Turn every form of an exhausted memory into OutOfMemory."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        raise OutOfMemory(
            f"{what} ran out of memory", hint="Lower base_model.context or optimiser.batch_size, or use a 4-bit arm"
        ) from error
