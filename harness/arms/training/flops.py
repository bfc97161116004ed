"""Estimated floating-point operations of a training: counted from sizes, not measured.

A multiplication by a matrix of P parameters costs 2·P a token forwards, 2·P backwards through its input and, where the
matrix is trained, 2·P for its gradient (Kaplan et al. 2020, section 2.1): 6·P a token for what is trained, 4·P for what
is frozen under an adapter. Attention adds 4·w·n a token forwards and twice that backwards, for sequences of n tokens
and w = layers · heads · head size (Chowdhery et al. 2022, appendix B; the causal half is not taken off). So a training
on sequences of n_i tokens, t_i of them targets, costs

    Σ_i  n_i · (4·body + 2·trained body) + t_i · (4·head + 2·trained head) + 12·w·n_i²

The output head runs on targets only, as our losses do; looking up embeddings (of tokens, positions) is none. Padding,
biases, normalisation, the optimiser's arithmetic, an adapter's virtual tokens and validation are left out; backward
passes are counted through every layer, and every expert of a mixture as used. A 4-bit weight counts as what it stands
for.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Shape:
    """Sizes of a model that decide what a token costs."""

    body: int
    """Parameters of matrices outside embeddings and output head."""
    trained_body: int
    head: int
    """Parameters of the output head (a tied one too)."""
    trained_head: int
    attention: int
    """Layers · heads · head size; 0 for a model without attention."""


@dataclass(frozen=True, slots=True)
class Volume:
    """What goes through a model."""

    tokens: int = 0
    targets: int = 0
    """Tokens that the output head is run for."""
    squares: int = 0
    """Sum over sequences of their squared length."""


def training(shape: Shape, volume: Volume) -> float:
    """Forward and backward passes over `volume`."""
    return (
        float(volume.tokens) * (4 * shape.body + 2 * shape.trained_body)
        + float(volume.targets) * (4 * shape.head + 2 * shape.trained_head)
        + 12.0 * shape.attention * volume.squares
    )


def forward(shape: Shape, volume: Volume) -> float:
    """Forward passes over `volume`, without gradient."""
    return 2.0 * volume.tokens * shape.body + 2.0 * volume.targets * shape.head + 4.0 * shape.attention * volume.squares


def shape_of(model: Any) -> Shape:
    """Sizes of a model of transformers, with or without an adapter of peft."""
    import torch

    output = model.get_output_embeddings()
    head = {id(weight) for weight in output.parameters()} if output is not None else set()
    tables = [module for module in model.modules() if isinstance(module, torch.nn.Embedding)]
    lookup = {id(weight) for table in tables for weight in table.parameters()} - head
    sums = {"body": 0, "trained_body": 0, "head": 0, "trained_head": 0}
    for weight in model.parameters():
        if id(weight) in lookup or weight.ndim < 2:
            continue
        kind, count = "head" if id(weight) in head else "body", size(weight)
        sums[kind] += count
        sums[f"trained_{kind}"] += count if weight.requires_grad else 0
    return Shape(**sums, attention=_attention(model.config.get_text_config()))


def size(weight: Any) -> int:
    """Numbers that a parameter stands for; a 4-bit weight is stored two to a byte."""
    state = getattr(weight, "quant_state", None)
    return int(state.shape.numel()) if state is not None else int(weight.numel())


def _attention(config: Any) -> int:
    layers = int(getattr(config, "num_hidden_layers", 0) or 0)
    heads = int(getattr(config, "num_attention_heads", 0) or 0)
    hidden = int(getattr(config, "hidden_size", 0) or 0)
    each = int(getattr(config, "head_dim", None) or (hidden // heads if heads else 0))
    return layers * heads * each
