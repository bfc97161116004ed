"""Scoring by trees (branches.py) through the lean layers: contexts and what follows them lie end to end, in one pass.

A context and the first continuation of it are one causal row; what branches off later follows with a mask of its own.
Attention goes by blocks of queries, each over the keys up to its end: torch's kernel for processors would compute what
a causal mask hides as well.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.models import Logprob
from harness.models.branches import Branches, Row
from harness.models.lean import Decoder
from harness.models.passes import sums, worth_sharing

Tensor = Any
Kept = list[tuple[Tensor, Tensor]]
"""Keys and values (tokens, key heads, size) of each layer."""

BLOCK = 64
"""Queries that go through attention together."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some queries of one row, how many of its keys they see at most, and their additive mask (queries, keys)."""

    first: int
    last: int
    keys: int
    mask: Tensor


@dataclass(frozen=True, slots=True)
class Stretch:
    """One row among those end to end: its tokens from `first` to before `last`, and blocks of its queries."""

    first: int
    last: int
    blocks: tuple[Block, ...]
    wanted: tuple[Block, ...]
    """Blocks of the queries of the last layer, counted among all queries of the pass."""


class Causal:
    """Masks of blocks in which every query sees the keys up to itself; made once, cut out as needed."""

    def __init__(self) -> None:
        self._strip: Tensor = None

    def __call__(self, first: int, last: int) -> Tensor:
        """The mask (last − first, last) of queries `first` to before `last`, at most BLOCK of them."""
        import torch

        if self._strip is None or self._strip.shape[1] < first + BLOCK:
            before = max(1024, 2 * first)
            strip = torch.zeros(BLOCK, before + BLOCK)
            strip[:, before:].masked_fill_(torch.ones(BLOCK, BLOCK, dtype=torch.bool).triu_(1), -torch.inf)
            self._strip = strip
        start = self._strip.shape[1] - BLOCK - first
        return self._strip[: last - first, start : start + last]


def causal_blocks(causal: Causal, first: int, last: int, held: int) -> list[Block]:
    """Blocks of the queries `first` to before `last` of a row behind `held` kept keys."""
    cuts = range(first, last, BLOCK)
    ends = [min(cut + BLOCK, last) for cut in cuts]
    return [Block(a, b, held + b, causal(held + a, held + b)) for a, b in zip(cuts, ends, strict=True)]


def attend_block(query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
    """(queries, heads, size), (keys, key heads, size) twice and a mask → (queries, heads · size).

    Key heads stand where batches do, so that the query heads of one key head share it without a copy.
    """
    import torch

    groups = query.shape[1] // key.shape[1]
    query = query.unflatten(1, (key.shape[1], groups)).permute(1, 2, 0, 3)
    key, value = (side.transpose(0, 1)[:, None].expand(-1, groups, -1, -1) for side in (key, value))
    found = torch.nn.functional.scaled_dot_product_attention(query, key, value, mask)
    return found.permute(2, 0, 1, 3).flatten(1)


class Within:
    """Attention within stretches, behind a prefix that all of them begin with (`kept`), the last layer's apart."""

    def __init__(self, stretches: Sequence[Stretch], layers: int, kept: Kept | None) -> None:
        self._stretches, self._last, self._kept = stretches, layers - 1, kept

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        import torch

        out = query.new_empty(len(query), query.shape[1] * query.shape[2])
        for stretch in self._stretches:
            keys, values = key[stretch.first : stretch.last], value[stretch.first : stretch.last]
            if self._kept is not None:
                before = self._kept[layer]
                keys, values = torch.cat([before[0], keys]), torch.cat([before[1], values])
            start = 0 if layer == self._last else stretch.first
            for block in stretch.wanted if layer == self._last else stretch.blocks:
                own = slice(start + block.first, start + block.last)
                out[own] = attend_block(query[own], keys[: block.keys], values[: block.keys], block.mask)
        return out


class _Filled(Exception):
    """Raised once the last layer's keys and values are there."""


class Filling:
    """Causal attention of one row that keeps keys and values, and stops at the last layer."""

    def __init__(self, causal: Causal, length: int, layers: int) -> None:
        self.kept: Kept = []
        self._blocks, self._layers = causal_blocks(causal, 0, length, 0), layers

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        import torch

        self.kept.append((key.clone(), value.clone()))
        if layer + 1 == self._layers:
            raise _Filled
        return torch.cat(
            [attend_block(query[b.first : b.last], key[: b.keys], value[: b.keys], b.mask) for b in self._blocks]
        )


class LeanTree:
    """Scoring by trees with a lean decoder; keys and values of the last common prefix are kept."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.causal = Causal()
        self._prefix: tuple[tuple[int, ...], Kept, tuple[Any, ...]] | None = None

    def score(self, trees: Sequence[Branches], rows: Sequence[Row]) -> dict[int, Logprob]:
        """Results of the requests of `trees` (numbers in `rows`), from one pass."""
        import torch

        common = worth_sharing([tree.context[:-1] for tree in trees])
        kept = self.begin(trees[0].context[:common]) if common else None
        ids: list[int] = []
        places: list[Tensor] = []
        wanted: list[int] = []
        index: dict[tuple[int, int], int] = {}
        stretches = []
        for number, tree in enumerate(trees):
            nodes = sorted({node for path in tree.places for node in path})
            index.update(((number, node), len(wanted) + place) for place, node in enumerate(nodes))
            held = len(tree.context) - 1
            stretches.append(self._stretch(tree, nodes, (common, len(ids), len(wanted))))
            wanted += [len(ids) + held - common + node for node in nodes]
            ids += [*tree.context[common:-1], *tree.tokens]
            places += [torch.arange(common, held), torch.from_numpy(tree.depths()).add_(held)]
        attend = Within(stretches, len(self.decoder.layers), kept)
        hidden = self.decoder(torch.tensor(ids), torch.cat(places), attend, torch.tensor(wanted))
        asked, order = [], []
        for number, tree in enumerate(trees):
            for row, path in zip(tree.rows, tree.places, strict=True):
                asked.append(([index[number, node] for node in path], rows[row][1]))
                order.append(row)
        return dict(zip(order, sums(self.decoder.head(hidden), asked), strict=True))

    def _stretch(self, tree: Branches, nodes: Sequence[int], starts: tuple[int, int, int]) -> Stretch:
        """`starts`: kept keys before the tree, tokens of the pass before it, wanted tokens before it."""
        import torch

        common, first, wanted = starts
        held, grown = len(tree.context) - 1, tree.trunk
        trunk, total = held - common + grown, held - common + len(tree.tokens)
        blocks = causal_blocks(self.causal, 0, trunk, common)
        branched: Tensor = None
        if trunk < total:
            sees = torch.ones(total - trunk, common + total, dtype=torch.bool)
            sees[:, held:] = torch.from_numpy(tree.ancestors()[grown:])
            branched = torch.zeros(sees.shape).masked_fill_(~sees, -torch.inf)
        for a in range(trunk, total, BLOCK):
            b = min(a + BLOCK, total)
            blocks.append(Block(a, b, common + b, branched[a - trunk : b - trunk, : common + b]))
        last = []
        on_trunk = sum(node < grown for node in nodes)
        for begin, end in ((0, on_trunk), (on_trunk, len(nodes))):
            for a in range(begin, end, BLOCK):
                asked = torch.tensor(nodes[a : min(a + BLOCK, end)])
                keys = held + int(asked[-1]) + 1
                if a >= on_trunk:
                    mask = branched[asked - grown, :keys]
                else:
                    mask = torch.zeros(len(asked), keys)
                    mask.masked_fill_(torch.arange(keys) > held + asked[:, None], -torch.inf)
                last.append(Block(wanted + a, wanted + a + len(asked), keys, mask))
        return Stretch(first, first + total, tuple(blocks), tuple(last))

    def begin(self, prefix: tuple[int, ...]) -> Kept:
        """Keys and values of `prefix`, which goes through alone, for the same bits whatever comes after it."""
        import torch

        state = self.decoder.state
        if self._prefix is None or self._prefix[0] != prefix or self._prefix[2] != state:
            filling = Filling(self.causal, len(prefix), len(self.decoder.layers))
            try:
                self.decoder(torch.tensor(prefix), torch.arange(len(prefix)), filling)
            except _Filled:
                pass
            self._prefix = prefix, filling.kept, state
        return self._prefix[1]
