"""Scoring of token trees (`transformers/token_tree.py`): contexts and their continuations lie end to end, in one pass.

A context and its first continuation are one causal row; other continuations follow with a mask of their own.
Attention goes by blocks of queries, each over the keys up to its last query: torch's CPU kernel would also compute what
a causal mask hides.
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
KeyValues = list[tuple[Tensor, Tensor]]
"""Keys and values (tokens, key heads, size) of each layer."""

PART_TOKENS = 1024
"""Tokens of one pass: enough for full matrix products, few enough for activations to stay near the processor."""
BLOCK = 64
"""Queries that go through attention together."""


@dataclass(frozen=True, slots=True)
class QueryBlock:
    """Consecutive queries of one row, how many of its keys they attend to, and their additive mask (queries, keys)."""

    first: int
    last: int
    keys: int
    mask: Tensor


@dataclass(frozen=True, slots=True)
class Span:
    """One of the rows that lie end to end: its tokens from `first` to before `last`, and blocks of its queries."""

    first: int
    last: int
    blocks: tuple[QueryBlock, ...]
    scored: tuple[QueryBlock, ...]
    """Blocks of the last layer's queries, numbered among all scored tokens of the pass."""


def _parts(trees: Sequence[Branches], most_scored: int) -> list[list[Branches]]:
    """`trees` in passes, in the order given; at least one in each."""
    parts: list[list[Branches]] = []
    tokens = scored = 0
    for tree in trees:
        tokens, scored = tokens + tree.inputs, scored + len(tree.tokens)
        if not parts or tokens > PART_TOKENS or scored > most_scored:
            parts.append([])
            tokens, scored = tree.inputs, len(tree.tokens)
        parts[-1].append(tree)
    return parts


class CausalMasks:
    """Causal masks of query blocks, all cut out of one strip."""

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


def causal_blocks(causal: CausalMasks, first: int, last: int, held: int) -> list[QueryBlock]:
    """Blocks of the queries `first` to before `last` of a row that follows `held` keys of a prefix."""
    cuts = range(first, last, BLOCK)
    ends = [min(cut + BLOCK, last) for cut in cuts]
    return [QueryBlock(a, b, held + b, causal(held + a, held + b)) for a, b in zip(cuts, ends, strict=True)]


def by_heads(query: Tensor, key: Tensor, value: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(tokens, heads, size) → (key heads, query heads of each, tokens, size), all three, without a copy.

    Key heads stand where torch's attention has batches, so that the query heads of one key head share it.
    """
    groups = query.shape[1] // key.shape[1]
    query = query.unflatten(1, (key.shape[1], groups)).permute(1, 2, 0, 3)
    key, value = (side.transpose(0, 1)[:, None].expand(-1, groups, -1, -1) for side in (key, value))
    return query, key, value


class SpanAttention:
    """Attention within spans that all continue one `prefix`; in the last layer only scored tokens are queries."""

    def __init__(self, spans: Sequence[Span], layers: int, prefix: KeyValues | None) -> None:
        self._spans, self._last, self._prefix = spans, layers - 1, prefix

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        import torch

        attend = torch.nn.functional.scaled_dot_product_attention
        out = query.new_empty(query.shape)
        filled = by_heads(out, key, value)[0]
        query, key, value = by_heads(query, key, value)
        for span in self._spans:
            first = span.first
            keys, values = key, value
            if self._prefix is not None:
                before = by_heads(out, *self._prefix[layer])
                keys = torch.cat([before[1], key[:, :, first : span.last]], 2)
                values = torch.cat([before[2], value[:, :, first : span.last]], 2)
                first = 0
            start = 0 if layer == self._last else span.first
            for block in span.scored if layer == self._last else span.blocks:
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


class _PrefixDone(Exception):
    """Raised once the last layer's keys and values are stored: nothing after them is needed."""


class PrefixAttention:
    """Causal attention of one row that stores keys and values in `kept`, and stops the pass at the last layer."""

    def __init__(self, causal: CausalMasks, length: int, layers: int) -> None:
        self.kept: KeyValues = []
        self._blocks, self._layers = causal_blocks(causal, 0, length, 0), layers

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        self.kept.append((key.clone(), value.clone()))
        if layer + 1 == self._layers:
            raise _PrefixDone
        span = Span(0, len(query), tuple(self._blocks), ())
        return SpanAttention([span], self._layers, None)(layer, query, key, value)


class CpuScorer:
    """Scoring through `Decoder`; keys and values of the last common prefix are kept."""

    def __init__(self, decoder: Decoder) -> None:
        self.decoder = decoder
        self._causal = CausalMasks()
        self._prefix: tuple[tuple[int, ...], KeyValues, tuple[Any, ...]] | None = None

    def score_all(self, rows: Sequence[Row]) -> list[Logprob]:
        """Results of `rows`, from parts of at most PART_TOKENS tokens."""
        return self.score_parts(rows, sum(len(target) + 1 for _, target in rows))

    def score_parts(self, rows: Sequence[Row], most_scored: int) -> list[Logprob]:
        """Results of `rows`, from parts of at most PART_TOKENS tokens and about `most_scored` scored positions."""
        results = {number: Logprob(0.0, 0, True) for number, (_, target) in enumerate(rows) if not target}
        # Rows whose context is a mere prefix token have nothing to share that is worth a mask.
        apart = [number for number, (context, target) in enumerate(rows) if target and len(context) == 1]
        trees = grow(rows, leave=[*results, *apart]) + [alone(rows[number], number) for number in apart]
        for part in _parts(trees, most_scored):
            results.update(self.score(part, rows))
        return [results[number] for number in range(len(rows))]

    def score(self, trees: Sequence[Branches], rows: Sequence[Row]) -> dict[int, Logprob]:
        """Results of the requests of `trees` (numbers in `rows`), from one pass."""
        import torch

        common = worth_sharing([tree.context[:-1] for tree in trees])
        prefix = self.keys_of(trees[0].context[:common]) if common else None
        ids: list[int] = []
        positions: list[Tensor] = []
        scored: list[int] = []
        index: dict[tuple[int, int], int] = {}
        spans = []
        for number, tree in enumerate(trees):
            nodes = sorted({node for path in tree.places for node in path})
            index.update(((number, node), len(scored) + rank) for rank, node in enumerate(nodes))
            held = len(tree.context) - 1
            spans.append(self.span(tree, nodes, (common, len(ids), len(scored))))
            scored += [len(ids) + held - common + node for node in nodes]
            ids += [*tree.context[common:-1], *tree.tokens]
            positions += [torch.arange(common, held), torch.from_numpy(tree.depths()).add_(held)]
        attend = SpanAttention(spans, len(self.decoder.layers), prefix)
        hidden = self.decoder(torch.tensor(ids), torch.cat(positions), attend, torch.tensor(scored))
        asked, order = [], []
        for number, tree in enumerate(trees):
            for row, path in zip(tree.rows, tree.places, strict=True):
                asked.append(([index[number, node] for node in path], rows[row][1]))
                order.append(row)
        return dict(zip(order, sums(self.decoder.head(hidden), asked), strict=True))

    def span(self, tree: Branches, nodes: Sequence[int], starts: tuple[int, int, int]) -> Span:
        """The span of `tree`, of which `nodes` are scored.

        `starts`: keys of the common prefix, tokens of the pass before the tree, scored tokens before it.
        """
        import torch

        common, first, start = starts
        held, grown = len(tree.context) - 1, tree.trunk
        trunk, total = held - common + grown, held - common + len(tree.tokens)
        blocks = causal_blocks(self._causal, 0, trunk, common)
        branched: Tensor = None
        if trunk < total:
            sees = torch.ones(total - trunk, common + total, dtype=torch.bool)
            sees[:, held:] = torch.from_numpy(tree.ancestors()[grown:])
            branched = torch.zeros(sees.shape).masked_fill_(~sees, -torch.inf)
        for a in range(trunk, total, BLOCK):
            b = min(a + BLOCK, total)
            blocks.append(QueryBlock(a, b, common + b, branched[a - trunk : b - trunk, : common + b]))
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
                last.append(QueryBlock(start + a, start + a + len(asked), keys, mask))
        return Span(first, first + total, tuple(blocks), tuple(last))

    def keys_of(self, prefix: tuple[int, ...]) -> KeyValues:
        """Keys and values of `prefix`, computed by itself so that their bits do not depend on what follows."""
        import torch

        state = self.decoder.state
        if self._prefix is None or self._prefix[0] != prefix or self._prefix[2] != state:
            attend = PrefixAttention(self._causal, len(prefix), len(self.decoder.layers))
            with contextlib.suppress(_PrefixDone):
                self.decoder(torch.tensor(prefix), torch.arange(len(prefix)), attend)
            self._prefix = prefix, attend.kept, state
        return self._prefix[1]
