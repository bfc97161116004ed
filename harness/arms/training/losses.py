"""The two objectives, completion loss and DPO, on one forward pass that scores target positions only."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional

from harness.arms.training import packing
from harness.arms.training.flops import Volume
from harness.data.prompts import IGNORED, Encoded
from harness.models.transformers.forward import head_on, logits_at


def target_logprobs(
    model: Any, ids: torch.Tensor, labels: torch.Tensor, lengths: torch.Tensor | None = None
) -> torch.Tensor:
    """Sum of natural-log probabilities of each row's labelled tokens, in float32: (rows,).

    `ids` and `labels` are (rows, width), right-padded; `lengths` (rows,) are the real tokens of each row. With them
    rows go through the model end to end, without their padding, where `packing` has found that the model takes them
    so. Without, no attention mask is passed: padding stands behind every token that is scored, where a causal model
    does not look, and without one attention skips the upper half of its matrix. The output head gets only the hidden
    states in front of labelled tokens: most positions are prompt, and logits over a large vocabulary are what costs
    memory. Where a model reaches its head in another way, whole logits are indexed instead.
    """
    scored = labels[:, 1:] != IGNORED
    row, column = scored.nonzero(as_tuple=True)
    sizes = () if lengths is None else tuple(lengths.tolist())
    if lengths is not None and packing.fits(model, sizes):
        logits = _packed_logits(model, ids, packing.layout(lengths, sizes), (row, column))
    else:
        logits, _ = logits_at(model, row, column, input_ids=ids, use_cache=False)
    losses = functional.cross_entropy(logits.float(), labels[:, 1:][scored], reduction="none")
    table = torch.zeros(scored.shape, dtype=losses.dtype, device=losses.device)
    table[scored] = -losses
    return table.sum(1)


def _packed_logits(
    model: Any, ids: torch.Tensor, packed: packing.Packed, at: tuple[torch.Tensor, torch.Tensor]
) -> torch.Tensor:
    """Logits (targets, vocabulary) at (row, column) of rows that are laid end to end."""
    (row, column), lengths = at, packed.sizes
    inside = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
    places = lengths.cumsum(0)[row] - lengths[row] + column
    with head_on(model, lambda hidden: hidden[:, places]):
        logits = packing.forward(model, ids[inside][None], packed)
    return logits[0] if logits.shape[1] == len(places) else logits[0, places]


def target_tokens(row: Encoded) -> int:
    """Tokens of a row that carry loss: its target, less the first where nothing stands before it."""
    return len(row.target) - (not row.prompt)


def volume(sides: Iterable[Encoded]) -> Volume:
    """What goes through a model that scores the targets of `sides`."""
    sizes = [(len(side.input_ids), target_tokens(side)) for side in sides]
    return Volume(
        sum(length for length, _ in sizes), sum(targets for _, targets in sizes), sum(length**2 for length, _ in sizes)
    )


def pad(rows: Sequence[Encoded], pad_id: int) -> dict[str, torch.Tensor]:
    """Right-padded `ids` and `labels` of encoded rows, each (rows, longest), and their `lengths` (rows,)."""
    width = max(len(row.input_ids) for row in rows)
    gaps = [width - len(row.input_ids) for row in rows]
    pairs = list(zip(rows, gaps, strict=True))
    return {
        "ids": torch.tensor([[*row.input_ids, *[pad_id] * gap] for row, gap in pairs]),
        "labels": torch.tensor([[*row.labels, *[IGNORED] * gap] for row, gap in pairs]),
        "lengths": torch.tensor([width - gap for gap in gaps]),
    }


@dataclass(frozen=True, slots=True)
class CompletionLoss:
    """Cross-entropy of target tokens, a mean over all target tokens of the effective batch."""

    pad_id: int

    def sides(self, row: Encoded) -> tuple[Encoded]:
        """The row itself."""
        return (row,)

    def units(self, row: Encoded) -> int:
        """Target tokens."""
        return target_tokens(row)

    def collate(self, rows: Sequence[Encoded]) -> dict[str, torch.Tensor]:
        """`ids`, `labels`, `lengths`."""
        return pad(rows, self.pad_id)

    def loss(self, model: Any, batch: dict[str, torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
        """−Σ weight · log p(target | prompt)."""
        return -(weight * target_logprobs(model, **batch)).sum()


@dataclass(frozen=True, slots=True)
class PairRow:
    """A preference pair as token ids, and what the parent thinks of its answers (log-probabilities)."""

    chosen: Encoded
    rejected: Encoded
    chosen_reference: float
    rejected_reference: float


@dataclass(frozen=True, slots=True)
class PreferenceLoss:
    """Sigmoid DPO (Rafailov et al. 2023, equation 7), a mean over the pairs of the effective batch.

    −log σ(β · ((log π(c) − log π₀(c)) − (log π(r) − log π₀(r)))) + sft_weight · −log π(c) / |c| (Pang et al. 2024).
    """

    pad_id: int
    beta: float
    sft_weight: float

    def sides(self, row: PairRow) -> tuple[Encoded, Encoded]:
        """Prompt and answer, chosen and rejected."""
        return row.chosen, row.rejected

    def units(self, row: PairRow) -> int:
        """One pair."""
        return 1

    def collate(self, rows: Sequence[PairRow]) -> dict[str, torch.Tensor]:
        """`ids`, `labels`, `lengths`: all chosen rows before all rejected. `targets` of the chosen, and `reference`,
        chosen − rejected."""
        batch = pad([*(row.chosen for row in rows), *(row.rejected for row in rows)], self.pad_id)
        reference = torch.tensor([row.chosen_reference - row.rejected_reference for row in rows])
        targets = torch.tensor([float(max(1, target_tokens(row.chosen))) for row in rows])
        return {**batch, "reference": reference, "targets": targets}

    def loss(self, model: Any, batch: dict[str, torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
        """Weighted sum over pairs."""
        logprobs = target_logprobs(model, batch["ids"], batch["labels"], batch["lengths"])
        chosen, rejected = logprobs.chunk(2)
        losses = -functional.logsigmoid(self.beta * (chosen - rejected - batch["reference"]))
        if self.sft_weight:
            losses = losses - self.sft_weight * chosen / batch["targets"]
        return (weight * losses).sum()


def completion_loss(model: Any, batches: Sequence[dict[str, torch.Tensor]]) -> float:
    """Mean cross-entropy (nats) over all target tokens of `batches`, without gradient or dropout; draws nothing."""
    model.eval()
    total, tokens = 0.0, 0
    device = model.device
    with torch.no_grad():
        for batch in batches:
            placed = {name: value.to(device) for name, value in batch.items()}
            total -= float(target_logprobs(model, **placed).double().sum())
            tokens += int((batch["labels"][:, 1:] != IGNORED).sum())
    return total / max(1, tokens)
