"""Greedy decoding through `layers`: prompts end to end, then one token of every row at a time.

Keys and values of all rows lie in one buffer a layer, right-aligned, so that a step writes one column; the mask over
the columns left of a shorter prompt is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.models.cpu.scoring import PART_TOKENS, CpuScorer, KeyValues, Span, SpanAttention
from harness.models.transformers.forward import worth_sharing
from harness.models.transformers.greedy import Answers
from harness.models.transformers.token_tree import alone

Tensor = Any

GROWTH = 64
"""Columns that a buffer grows by."""


class RowCache:
    """Keys and values of each layer, both (rows, key heads, columns, size), and the mask of columns left of a prompt
    (rows, 1, 1, columns)."""

    def __init__(self, scorer: CpuScorer, lengths: Sequence[int], room: int) -> None:
        import torch

        heads, self.width = scorer.decoder.heads, max(lengths)
        shape = (len(lengths), heads.keys, self.width + room, heads.size)
        self.layers = [(torch.zeros(shape), torch.zeros(shape)) for _ in scorer.decoder.layers]
        starts = self.width - torch.tensor(lengths)
        left = torch.arange(self.width + room) < starts[:, None]
        self.mask = torch.zeros(left.shape).masked_fill_(left, -torch.inf)[:, None, None]

    def keep(self, kept: Tensor) -> None:
        """Drop all rows but those numbered `kept`."""
        self.layers = [(keys[kept], values[kept]) for keys, values in self.layers]
        self.mask = self.mask[kept]

    def make_room(self) -> None:
        """Room for one more column."""
        import torch

        if self.width == self.mask.shape[-1]:
            pad = torch.nn.functional.pad
            self.layers = [
                (pad(keys, (0, 0, 0, GROWTH)), pad(values, (0, 0, 0, GROWTH))) for keys, values in self.layers
            ]
            self.mask = pad(self.mask, (0, GROWTH))

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of one new token of every row, whose column is the last of `width`."""
        import torch

        keys, values = self.layers[layer]
        keys[:, :, self.width - 1], values[:, :, self.width - 1] = key, value
        # Query heads of one key head take the place of tokens: the key head is read once for them.
        out = torch.nn.functional.scaled_dot_product_attention(
            query.unflatten(1, (key.shape[1], -1)),
            keys[:, :, : self.width],
            values[:, :, : self.width],
            self.mask[..., : self.width],
        )
        return out.flatten(1)


class _PromptAttention:
    """Attention within prompts that stores their keys and values in `cache`."""

    def __init__(self, cache: RowCache, spans: Sequence[tuple[int, Span]], attention: SpanAttention) -> None:
        self._cache, self._spans, self._attention = cache, spans, attention

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        for buffer, new in zip(self._cache.layers[layer], (key, value), strict=True):
            for row, span in self._spans:
                count = span.last - span.first
                end = self._cache.width
                buffer[row, :, end - count : end] = new[span.first : span.last].transpose(0, 1)
        return self._attention(layer, query, key, value)


def greedy(
    scorer: CpuScorer, prompts: Sequence[Sequence[int]], limit: int, ended: Callable[[list[int]], bool]
) -> list[list[int]]:
    """Up to `limit` argmax tokens for each of `prompts`, until `ended(tokens)`; the token that ends a row is its last.

    Called under inference mode, when the decoder is ready. The same batch always gives the same bits.
    """
    import torch

    common = worth_sharing([prompt[:-1] for prompt in prompts])
    prefix = scorer.keys_of(tuple(prompts[0][:common])) if common else None
    cache = RowCache(scorer, [len(prompt) for prompt in prompts], min(limit, GROWTH))
    best = _fill(scorer, cache, prompts, prefix)
    positions = torch.tensor([len(prompt) for prompt in prompts])
    answers = Answers(len(prompts), ended)
    for step in range(limit):
        if not answers.take(best.tolist()) or step + 1 == limit:
            break
        staying = answers.staying()
        if staying is not None:
            kept = torch.tensor(staying)
            cache.keep(kept)
            best, positions = best[kept], positions[kept]
        cache.make_room()
        cache.width += 1
        best = scorer.decoder.head(scorer.decoder(best, positions, cache)).argmax(-1)
        positions = positions + 1
    return answers.tokens


def _fill(scorer: CpuScorer, cache: RowCache, prompts: Sequence[Sequence[int]], prefix: KeyValues | None) -> Tensor:
    """Store keys and values of the prompts in `cache`; the best next token of each."""
    import torch

    common = len(prefix[0][0]) if prefix is not None else 0
    if prefix is not None:
        for buffers, parts in zip(cache.layers, prefix, strict=True):
            for buffer, part in zip(buffers, parts, strict=True):
                for row, prompt in enumerate(prompts):
                    start = cache.width - len(prompt)
                    buffer[row, :, start : start + common] = part.transpose(0, 1)
    best, row = [], 0
    while row < len(prompts):
        ids: list[int] = []
        positions: list[Tensor] = []
        scored: list[int] = []
        spans: list[tuple[int, Span]] = []
        while row < len(prompts) and (not ids or len(ids) + len(prompts[row]) - common <= PART_TOKENS):
            prompt = tuple(prompts[row])
            span = scorer.span(alone((prompt, (0,)), row), [0], (common, len(ids), len(scored)))
            spans.append((row, span))
            ids += prompt[common:]
            positions.append(torch.arange(common, len(prompt)))
            scored.append(len(ids) - 1)
            row += 1
        attention = SpanAttention([span for _, span in spans], len(scorer.decoder.layers), prefix)
        attend = _PromptAttention(cache, spans, attention)
        hidden = scorer.decoder(torch.tensor(ids), torch.cat(positions), attend, torch.tensor(scored))
        best.append(scorer.decoder.head(hidden).argmax(-1))
    return torch.cat(best)
