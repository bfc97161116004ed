"""Rows laid end to end in one sequence instead of padded to the longest: no layer computes padding.

Linear layers, norms and the output head get the tokens of all rows as one row; positions start at zero in each row;
attention runs within rows, through a function registered with transformers' `AttentionInterface` that hands the rows to
torch's scaled dot-product attention. It works for every model that takes its attention from there and its positions
from its inputs. Whether a model does is not assumed: three short rows of different lengths are scored both ways, once a
model, and a model for which the two disagree is padded.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

NAME = "rows_end_to_end"
"""Of the attention function, in transformers' table."""
TRIAL = (13, 4, 9)
"""Tokens of the rows that both ways are compared on."""
REFUSALS = (TypeError, ValueError, RuntimeError, AttributeError, KeyError, IndexError, NotImplementedError)
"""How a model may say that it does not take rows end to end."""
WINDOWS = ("sliding_window", "attention_chunk_size")
"""Fields of a model's config that say how far attention looks; rows beyond that are padded."""

Score = Callable[[Any, torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Model, ids, labels, lengths → a number a row."""

_examined: weakref.WeakKeyDictionary[Any, bool] = weakref.WeakKeyDictionary()
"""Models that were tried; False: rows of it are padded."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Rows end to end: what attention must know of them."""

    lengths: tuple[int, ...]
    sizes: torch.Tensor
    """(rows,): the same, on the device."""
    positions: torch.Tensor
    """(1, tokens): place of each token in its row."""
    slots: torch.Tensor | None
    """(rows · longest,): token in each place of the padded rows (any token where there is none); None on a CPU."""
    places: torch.Tensor | None
    """(tokens,): place of each token in the padded rows; None on a CPU."""


def layout(lengths: torch.Tensor, sizes: tuple[int, ...]) -> Packed:
    """The layout of rows with `lengths` (rows,) tokens each, on the device of `lengths`; `known` are the same."""
    at = torch.arange(sum(sizes), device=lengths.device)
    starts = lengths.cumsum(0) - lengths
    row = torch.repeat_interleave(torch.arange(len(sizes), device=lengths.device), lengths, output_size=sum(sizes))
    positions = at - starts[row]
    if lengths.device.type == "cpu":
        return Packed(sizes, lengths, positions[None], None, None)
    places = row * max(sizes) + positions
    slots = torch.zeros(len(sizes) * max(sizes), dtype=torch.long, device=lengths.device)
    slots[places] = at
    return Packed(sizes, lengths, positions[None], slots, places)


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: Any,
    *,
    packed: Packed,
    **options: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within rows. `query`, `key` and `value` are (1, heads, tokens, size): transformers' layout.

    On a CPU row by row: the kernel is as quick on one row, and does nothing in vain. Elsewhere as one padded batch,
    because many small kernels would keep an accelerator waiting; only this function pads there.
    """
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    if packed.slots is None or packed.places is None:
        sides = (torch.split(side, list(packed.lengths), dim=2) for side in (query, key, value))
        rows = [sdpa_attention_forward(module, *row, None, **options)[0] for row in zip(*sides, strict=True)]
        return torch.cat(rows, dim=1), None
    count = len(packed.lengths)
    gathered = (side[0].index_select(1, packed.slots) for side in (query, key, value))
    batches = (side.reshape(len(side), count, -1, side.shape[-1]).transpose(0, 1) for side in gathered)
    out, _ = sdpa_attention_forward(module, *batches, None, **options)
    return out.flatten(0, 1).index_select(0, packed.places)[None], None


@contextmanager
def _row_attention(config: Any) -> Iterator[None]:
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attention)
    before = config._attn_implementation
    config._attn_implementation = NAME
    try:
        yield
    finally:
        config._attn_implementation = before


def forward(model: Any, ids: torch.Tensor, packed: Packed) -> torch.Tensor:
    """Logits of `ids` (1, tokens), rows end to end; of all positions that reach the output head."""
    with _row_attention(model.config.get_text_config()):
        logits: torch.Tensor = model(
            input_ids=ids, position_ids=packed.positions, packed=packed, use_cache=False
        ).logits
    return logits


def fits(model: Any, lengths: Sequence[int]) -> bool:
    """Whether rows of `lengths` may lie end to end: the model is known to score them alike, and none is too long."""
    if not _examined.get(model):
        return False
    windows = (getattr(model.config.get_text_config(), name, None) for name in WINDOWS)
    return all(max(lengths) <= window for window in windows if window)


def examine(model: Any, score: Score) -> bool:
    """Find out, once a model, whether it scores rows end to end as it scores padded ones; `fits` remembers.

    `score` must be the function that will score. Draws no random numbers and leaves the model as it was. Call it where
    an undisturbed and a resumed training both pass, with the same weights.
    """
    if model not in _examined:
        _examined[model] = False
        _examined[model] = _suited(model) and _agree(model, score)
    return _examined[model]


def _suited(model: Any) -> bool:
    """What is known without trying: torch's attention, and no virtual tokens, which stand before every padded row."""
    adapter = getattr(model, "active_peft_config", None)
    virtual = bool(getattr(adapter, "is_prompt_learning", False))
    return not virtual and model.config.get_text_config()._attn_implementation == "sdpa"


def _agree(model: Any, score: Score) -> bool:
    size = int(model.get_input_embeddings().weight.shape[0])
    lengths = torch.tensor(TRIAL, device=model.device)
    count, width = len(TRIAL), max(TRIAL)
    ids = (7919 * torch.arange(count * width, device=model.device).reshape(count, width) + 17) % size
    inside = torch.arange(width, device=model.device) < lengths[:, None]
    labels = torch.where(inside, ids, -100)
    was_training = model.training
    model.eval()
    try:
        with torch.no_grad():
            padded = score(model, ids, labels, lengths)
            _examined[model] = True
            packed = score(model, ids, labels, lengths)
    except REFUSALS:
        return False
    finally:
        _examined[model] = False
        model.train(was_training)
    # A wrong neighbour or position moves a score by far more than rounding in the model's data type.
    tolerance = 1e-4 if model.dtype == torch.float32 else 2e-2
    return bool(torch.allclose(padded, packed, rtol=tolerance, atol=0.0))
