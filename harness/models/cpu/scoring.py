"""Scoring by trees (branches.py) through the lean layers: contexts and what follows them lie end to end, in one pass.

A context and the first continuation of it are one causal row; what branches off later follows with a mask of its own.
Attention goes by blocks of queries, each over the keys up to its end: torch's kernel for processors would compute what
a causal mask hides as well.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from harness.models import Logprob
from harness.models.cpu.layers import Decoder
from harness.models.transformers.forward import sums, worth_sharing
from harness.models.transformers.token_tree import Branches, Row, alone, grow

Tensor = Any
Kept = list[tuple[Tensor, Tensor]]
"""Keys and values (tokens, key heads, size) of each layer."""

PART_TOKENS = 1024
"""Tokens of one pass: enough for full matrix products, few enough for activations to stay near the processor."""
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


def _parts(trees: Sequence[Branches], most_scored: int) -> list[list[Branches]]:
    """`trees` in parts, in the order given; at least one in each."""
    found: list[list[Branches]] = []
    tokens = scored = 0
    for tree in trees:
        tokens, scored = tokens + tree.inputs, scored + len(tree.tokens)
        if not found or tokens > PART_TOKENS or scored > most_scored:
            found.append([])
            tokens, scored = tree.inputs, len(tree.tokens)
        found[-1].append(tree)
    return found


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


def by_heads(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(tokens, heads, size) → (key heads, query heads of each, tokens, size), all three, without a copy.

    Key heads stand where torch's attention has batches, so that the query heads of one key head share it.
    """
    groups = query.shape[1] // key.shape[1]
    query = query.unflatten(1, (key.shape[1], groups)).permute(1, 2, 0, 3)
    key, value = (side.transpose(0, 1)[:, None].expand(-1, groups, -1, -1) for side in (key, value))
    return query, key, value


class Within:
    """Attention within stretches, behind a prefix that all of them begin with (`kept`), the last layer's apart."""

    def __init__(self, stretches: Sequence[Stretch], layers: int, kept: Kept | None) -> None:
        self._stretches, self._last, self._kept = stretches, layers - 1, kept

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        import torch

        attend = torch.nn.functional.scaled_dot_product_attention
        out = query.new_empty(query.shape)
        filled = by_heads(out, key, value)[0]
        query, key, value = by_heads(query, key, value)
        for stretch in self._stretches:
            first = stretch.first
            keys, values = key, value
            if self._kept is not None:
                before = by_heads(out, *self._kept[layer])
                keys = torch.cat([before[1], key[:, :, first : stretch.last]], 2)
                values = torch.cat([before[2], value[:, :, first : stretch.last]], 2)
                first = 0
            start = 0 if layer == self._last else stretch.first
            for block in stretch.wanted if layer == self._last else stretch.blocks:
                begin, count, end = start + block.first, block.last - block.first, first + block.keys
                filled.narrow(2, begin, count).copy_(
                    attend(
                        query.narrow(2, begin, count),
                        keys[:, :, first:end],
                        values[:, :, first:end],
                        block.mask,
                    )
                )
        return out.flatten(1)


class _Filled(Exception):
    """Raised once the last layer's keys and values are there."""


class Filling:
    """Causal attention of one row that keeps keys and values, and stops at the last layer."""

    def __init__(self, causal: Causal, length: int, layers: int) -> None:
        self.kept: Kept = []
        self._blocks, self._layers = causal_blocks(causal, 0, length, 0), layers

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.kept.append((key.clone(), value.clone()))
        if layer + 1 == self._layers:
            raise _Filled
        stretch = Stretch(0, len(query), tuple(self._blocks), ())
        return Within([stretch], self._layers, None)(layer, query, key, value)


class LeanTree:
    """Scoring by trees with a lean decoder; keys and values of the last common prefix are kept."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self.causal = Causal()
        self._prefix: tuple[tuple[int, ...], Kept, tuple[Any, ...]] | None = None

    def score_all(self, rows: Sequence[Row]) -> list[Logprob]:
        """Results of `rows`, from parts of at most PART_TOKENS tokens."""
        return self.score_parts(rows, sum(len(target) + 1 for _, target in rows))

    def score_parts(self, rows: Sequence[Row], most_scored: int) -> list[Logprob]:
        """Results of `rows`, from parts of at most PART_TOKENS tokens and about `most_scored` scored positions."""
        found = {number: Logprob(0.0, 0, True) for number, (_, target) in enumerate(rows) if not target}
        # Rows whose context is a mere prefix token have nothing to share that is worth a mask.
        apart = [number for number, (context, target) in enumerate(rows) if target and len(context) == 1]
        trees = grow(rows, leave=[*found, *apart]) + [alone(rows[number], number) for number in apart]
        for part in _parts(trees, most_scored):
            found.update(self.score(part, rows))
        return [found[number] for number in range(len(rows))]

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
            stretches.append(self.stretch(tree, nodes, (common, len(ids), len(wanted))))
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

    def stretch(self, tree: Branches, nodes: Sequence[int], starts: tuple[int, int, int]) -> Stretch:
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
            with contextlib.suppress(_Filled):
                self.decoder(torch.tensor(prefix), torch.arange(len(prefix)), filling)
            self._prefix = prefix, filling.kept, state
        return self._prefix[1]
