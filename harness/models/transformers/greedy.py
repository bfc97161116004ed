"""Greedy decoding of one left-padded batch, with a cache that grows in place and loses finished rows.

`generate` of transformers copies the whole cache at every step (`torch.cat`) and keeps rows that have ended until the
last one has: on a CPU that is more than half of its time. This loop is for models whose cache can be split by rows;
the others go through `generate`.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

Forward = Callable[[dict[str, Any]], Any]
"""Inputs of a forward pass → next-token logits (rows, vocabulary)."""
KEPT_SHARE = 0.75
"""Finished rows leave the batch once at most this share of it goes on: leaving costs one copy of the cache."""


class Answers:
    """What the rows of a batch have been answered so far, and which of them go on."""

    def __init__(self, rows: int, ended: Callable[[list[int]], bool]) -> None:
        self.tokens: list[list[int]] = [[] for _ in range(rows)]
        self._ended = ended
        self._rows = list(range(rows))
        """Rows that are in the batch still, by place."""
        self._going = set(self._rows)

    def take(self, tokens: Sequence[int]) -> bool:
        """Add the next token of each row in the batch; whether any row goes on."""
        for row, token in zip(self._rows, tokens, strict=True):
            if row in self._going:
                self.tokens[row].append(token)
                if self._ended(self.tokens[row]):
                    self._going.discard(row)
        return bool(self._going)

    def staying(self) -> list[int] | None:
        """Places in the batch that go on, once so few do that the others leave it; None while all stay."""
        if len(self._going) > KEPT_SHARE * len(self._rows):
            return None
        indices = [index for index, row in enumerate(self._rows) if row in self._going]
        self._rows = [self._rows[index] for index in indices]
        return indices


def greedy(
    forward: Forward, cache: Any, batch: tuple[Any, Any], limit: int, ended: Callable[[list[int]], bool]
) -> list[list[int]]:
    """Up to `limit` argmax tokens for each row of `batch` (ids and mask, left-padded), until `ended` (its tokens).

    Where `cache` holds a beginning of every row, the ids go on behind it and the mask covers both.
    The token that ends a row is its last. Rows do not influence each other, but the shapes of the batch do follow what
    is generated: the same batch always takes the same course.
    """
    import torch

    ids, mask = batch
    positions = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
    answers = Answers(len(ids), ended)
    for step in range(limit):
        inputs = {"input_ids": ids, "attention_mask": mask, "position_ids": positions}
        best = forward({**inputs, "past_key_values": cache, "use_cache": True}).argmax(-1)
        if not answers.take(best.tolist()) or step + 1 == limit:
            break
        positions = positions[:, -1:] + 1
        staying = answers.staying()
        if staying is not None:
            kept = torch.tensor(staying, device=ids.device)
            cache.batch_select_indices(kept)
            best, mask, positions = best[kept], mask[kept], positions[kept]
        ids = best[:, None]
        mask = torch.cat([mask, mask.new_ones(len(best), 1)], dim=1)
    return answers.tokens


def growing_cache(config: Any, begun: Any = None) -> Any:
    """A transformers DynamicCache whose plain layers grow in place; sliding and other layers stay as they are.

    It goes on from `begun`, another DynamicCache, where there is one.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer

    cache = DynamicCache(config=config)
    cache.layers = [_growing_layer()() if type(layer) is DynamicLayer else layer for layer in cache.layers]
    if begun is not None:
        for layer, before in zip(cache.layers, begun.layers, strict=True):
            layer.update(before.keys, before.values)
    return cache


@functools.cache
def _growing_layer() -> Any:
    import torch
    from transformers.cache_utils import DynamicLayer

    class GrowingLayer(DynamicLayer):  # type: ignore[misc]
        """Keys and values are views of larger buffers, so that a step writes one token instead of copying them all."""

        keys: Any
        values: Any

        def update(self, key_states: Any, value_states: Any, *args: Any, **kwargs: Any) -> tuple[Any, Any]:
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
                self.buffers: list[Any] = []
            old = self.get_seq_length()
            grown = [
                self._grow(index, now, new, old)
                for index, (now, new) in enumerate(((self.keys, key_states), (self.values, value_states)))
            ]
            self.keys, self.values = grown
            return self.keys, self.values

        def _grow(self, index: int, now: Any, new: Any, old: int) -> Any:
            """`now` followed by `new`; whatever has replaced `now` since (rows selected) is copied to a new buffer."""
            length = old + new.shape[-2]
            if len(self.buffers) <= index:
                self.buffers.append(torch.empty(0))
            buffer = self.buffers[index]
            if not old or buffer.data_ptr() != now.data_ptr() or buffer.shape[-2] < length:
                buffer = new.new_empty((*new.shape[:-2], length + max(64, length // 4), new.shape[-1]))
                if old:
                    buffer[..., :old, :] = now
                self.buffers[index] = buffer
            buffer[..., old:length, :] = new
            return buffer[..., :length, :]

    return GrowingLayer


def ends(eos: Sequence[int], stopped: Callable[[list[int]], bool] | None) -> Callable[[list[int]], bool]:
    """Whether an answer ends with its last token: an end-of-sequence token, or what `stopped` finds."""
    return lambda tokens: tokens[-1] in eos or (stopped is not None and stopped(tokens))
