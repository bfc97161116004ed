"""Greedy decoding through the lean layers: prompts end to end, then one token of every row at a time.

Keys and values of all rows lie in one buffer a layer, right-aligned, so that a step writes one column; the mask over
what stands before a shorter prompt is made once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from harness.models.cpu.scoring import PART_TOKENS, Kept, LeanTree, Stretch, Within
from harness.models.transformers.forward import worth_sharing
from harness.models.transformers.greedy import Answers
from harness.models.transformers.token_tree import alone

Tensor = Any

ROOM = 64
"""Columns that a buffer grows by."""


class Rows:
    """Keys and values of rows: per layer (rows, key heads, columns, size) twice, and what hides the left (rows, 1, 1,
    columns)."""

    def __init__(self, tree: LeanTree, lengths: Sequence[int], room: int) -> None:
        import torch

        heads, self.width = tree.decoder.heads, max(lengths)
        shape = (len(lengths), heads.keys, self.width + room, heads.size)
        self.held = [(torch.zeros(shape), torch.zeros(shape)) for _ in tree.decoder.layers]
        starts = self.width - torch.tensor(lengths)
        left = torch.arange(self.width + room) < starts[:, None]
        self.mask = torch.zeros(left.shape).masked_fill_(left, -torch.inf)[:, None, None]

    def keep(self, kept: Tensor) -> None:
        """Only the rows numbered `kept` go on."""
        self.held = [(keys[kept], values[kept]) for keys, values in self.held]
        self.mask = self.mask[kept]

    def make_room(self) -> None:
        """Room for one more column."""
        import torch

        if self.width == self.mask.shape[-1]:
            pad = torch.nn.functional.pad
            self.held = [(pad(keys, (0, 0, 0, ROOM)), pad(values, (0, 0, 0, ROOM))) for keys, values in self.held]
            self.mask = pad(self.mask, (0, ROOM))

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Attention of one new token of every row: the column before `width`."""
        import torch

        keys, values = self.held[layer]
        keys[:, :, self.width - 1], values[:, :, self.width - 1] = key, value
        # Query heads of one key head stand where tokens do: the key head is read once for them.
        found = torch.nn.functional.scaled_dot_product_attention(
            query.unflatten(1, (key.shape[1], -1)),
            keys[:, :, : self.width],
            values[:, :, : self.width],
            self.mask[..., : self.width],
        )
        return found.flatten(1)


class _Filling:
    """Attention within prompts that puts their keys and values into `rows`."""

    def __init__(self, rows: Rows, placed: Sequence[tuple[int, Stretch]], within: Within) -> None:
        self._rows, self._placed, self._within = rows, placed, within

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        for held, new in zip(self._rows.held[layer], (key, value), strict=True):
            for row, stretch in self._placed:
                count = stretch.last - stretch.first
                end = self._rows.width
                held[row, :, end - count : end] = new[stretch.first : stretch.last].transpose(0, 1)
        return self._within(layer, query, key, value)


def greedy(
    tree: LeanTree, prompts: Sequence[Sequence[int]], limit: int, ended: Callable[[list[int]], bool]
) -> list[list[int]]:
    """Up to `limit` argmax tokens for each of `prompts`, until `ended` (its tokens); the token that ends a row is last.

    Called under inference mode, when the decoder is ready. The same prompts always take the same course.
    """
    import torch

    common = worth_sharing([prompt[:-1] for prompt in prompts])
    kept = tree.begin(tuple(prompts[0][:common])) if common else None
    held = Rows(tree, [len(prompt) for prompt in prompts], min(limit, ROOM))
    best = _fill(tree, held, prompts, kept)
    positions = torch.tensor([len(prompt) for prompt in prompts])
    answers = Answers(len(prompts), ended)
    for step in range(limit):
        if not answers.take(best.tolist()) or step + 1 == limit:
            break
        staying = answers.staying()
        if staying is not None:
            left = torch.tensor(staying)
            held.keep(left)
            best, positions = best[left], positions[left]
        held.make_room()
        held.width += 1
        best = tree.decoder.head(tree.decoder(best, positions, held)).argmax(-1)
        positions = positions + 1
    return answers.tokens


def _fill(tree: LeanTree, rows: Rows, prompts: Sequence[Sequence[int]], kept: Kept | None) -> Tensor:
    """Put keys and values of the prompts into `rows`; the best next token of each."""
    import torch

    common = len(kept[0][0]) if kept is not None else 0
    if kept is not None:
        for buffers, parts in zip(rows.held, kept, strict=True):
            for buffer, part in zip(buffers, parts, strict=True):
                for row, prompt in enumerate(prompts):
                    start = rows.width - len(prompt)
                    buffer[row, :, start : start + common] = part.transpose(0, 1)
    found, row = [], 0
    while row < len(prompts):
        ids: list[int] = []
        places: list[Tensor] = []
        wanted: list[int] = []
        placed: list[tuple[int, Stretch]] = []
        while row < len(prompts) and (not ids or len(ids) + len(prompts[row]) - common <= PART_TOKENS):
            prompt = tuple(prompts[row])
            stretch = tree.stretch(alone((prompt, (0,)), row), [0], (common, len(ids), len(wanted)))
            placed.append((row, stretch))
            ids += prompt[common:]
            places.append(torch.arange(common, len(prompt)))
            wanted.append(len(ids) - 1)
            row += 1
        within = Within([stretch for _, stretch in placed], len(tree.decoder.layers), kept)
        attend = _Filling(rows, placed, within)
        hidden = tree.decoder(torch.tensor(ids), torch.cat(places), attend, torch.tensor(wanted))
        found.append(tree.decoder.head(hidden).argmax(-1))
    return torch.cat(found)
