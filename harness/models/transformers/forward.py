"""Forward passes of a transformers model that compute what is asked for and little else.

The output head runs on scored positions only. Continuations of one context go through as a tree (token_tree.py): the
context fills a cache once, and every further token is an input once, attending to its own ancestors by an explicit
mask. What the last layer computes after storing the keys and values of a context is left out: nothing reads it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from harness.models import Logprob
from harness.models.transformers.token_tree import Branches, Row, common_prefix, grow

PREFIX = 64
"""Contexts that begin with this many tokens in common (worked examples) share them."""
PASS_TOKENS = 96
"""Tokens whose padding costs as much as one more forward pass does on a CPU."""
CHUNK_BYTES = 1 << 21
"""Bytes of float32 logits that are reduced to log-probabilities at a time: what stays in a processor's cache."""


class _Filled(Exception):
    """Raised once the last layer has stored its keys and values."""


def worth_sharing(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens at the beginning of all of several `sequences` should go through once; 0 where few."""
    common = common_prefix(sequences) if len(sequences) > 1 else 0
    return common if common >= PREFIX else 0


def padded(rows: Sequence[Sequence[int]], pad: int, left: bool, device: Any) -> tuple[Any, Any]:
    """Token ids and attention mask (rows, longest) on `device`."""
    import torch

    width = max(map(len, rows))
    pads = [[pad] * (width - len(row)) for row in rows]
    ids = [[*gap, *row] if left else [*row, *gap] for row, gap in zip(rows, pads, strict=True)]
    lengths = torch.tensor([len(row) for row in rows])[:, None]
    places = torch.arange(width)[None]
    mask = (places >= width - lengths if left else places < lengths).long()
    return torch.tensor(ids, device=device), mask.to(device)


def logits_at(model: Any, rows: Any, columns: Any, **inputs: Any) -> tuple[Any, Any]:
    """Logits (scored positions, vocabulary) at (`rows`, `columns`), two index tensors, and the cache.

    A hook hands the output head only the hidden states asked for. Models that reach their head in another way give
    whole logits, which are indexed afterwards. Virtual tokens of an adapter stand before the rows and are skipped by
    counting from the end.
    """
    length = inputs["input_ids"].shape[1]
    with head_on(model, lambda hidden: hidden[rows, columns + (hidden.shape[1] - length)][None]):
        output = model(**inputs)
    logits = output.logits
    logits = logits[0] if logits.shape[:2] == (1, len(rows)) else logits[rows, columns + (logits.shape[1] - length)]
    return logits, getattr(output, "past_key_values", None)


@contextmanager
def head_on(model: Any, choose: Callable[[Any], Any]) -> Iterator[None]:
    """The output head of `model` is run on what `choose` takes of its hidden states."""
    head = model.get_output_embeddings()
    if head is None:
        yield
        return
    hook = head.register_forward_pre_hook(lambda module, args: (choose(args[0]), *args[1:]))
    try:
        yield
    finally:
        hook.remove()


def fill(model: Any, cache: Any, **inputs: Any) -> None:
    """Store the keys and values of `inputs` in `cache`, a DynamicCache, and compute nothing else that can be spared."""
    import torch

    layer = cache.layers[-1]
    store = layer.update

    def store_and_stop(*args: Any, **kwargs: Any) -> Any:
        store(*args, **kwargs)
        raise _Filled

    layer.update = store_and_stop
    nowhere = torch.zeros(1, dtype=torch.long, device=inputs["input_ids"].device)
    try:
        logits_at(model, nowhere, nowhere, past_key_values=cache, use_cache=True, **inputs)
    except _Filled:
        pass
    finally:
        del layer.update


def plain(model: Any, rows: Sequence[Row], pad: int) -> list[Logprob]:
    """Score whole sequences in one right-padded forward pass; what is scored never sees the padding behind it."""
    ids, _ = padded([[*context, *target[:-1]] for context, target in rows], pad, False, model.device)
    places = [(r, len(context) - 1, len(target)) for r, (context, target) in enumerate(rows)]
    logits, _ = logits_at(model, *_spread(places, ids.device), input_ids=ids, use_cache=False)
    ends = list(itertools.accumulate([len(target) for _, target in rows]))
    return sums(logits, [(range(a, b), row[1]) for a, b, row in zip([0, *ends], ends, rows, strict=False)])


def shared(model: Any, rows: Sequence[Row], pad: int) -> list[Logprob]:
    """Score continuations of few contexts: each context once (all but its last token), then every continuation.

    Contexts are left-padded so that their caches end at the same place; positions follow the true lengths. For models
    whose attention takes no mask of one's own (sliding windows).
    """
    import torch

    contexts = list(dict.fromkeys(context for context, _ in rows))
    where = {context: index for index, context in enumerate(contexts)}
    ids, mask = padded([context[:-1] for context in contexts], pad, True, model.device)
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    nowhere = torch.zeros(1, dtype=torch.long, device=ids.device)
    passed = {"input_ids": ids, "attention_mask": mask, "position_ids": positions, "use_cache": True}
    _, cache = logits_at(model, nowhere, nowhere, **passed)
    index = torch.tensor([where[context] for context, _ in rows], device=ids.device)
    cache.batch_select_indices(index)
    more, more_mask = padded([[context[-1], *target[:-1]] for context, target in rows], pad, False, model.device)
    start = mask.sum(1)[index]
    logits, _ = logits_at(
        model,
        *_spread([(r, 0, len(target)) for r, (_, target) in enumerate(rows)], ids.device),
        input_ids=more,
        attention_mask=torch.cat([mask[index], more_mask], dim=1),
        position_ids=start[:, None] + torch.arange(more.shape[1], device=ids.device),
        past_key_values=cache,
        use_cache=True,
    )
    ends = list(itertools.accumulate([len(target) for _, target in rows]))
    return sums(logits, [(range(a, b), row[1]) for a, b, row in zip([0, *ends], ends, rows, strict=False)])


class Tree:
    """Scoring by trees, for models whose every layer sees the whole context and takes a mask of one's own.

    Keys and values of the last common prefix are kept: worked examples before every prompt go through the model once.
    """

    def __init__(self, model: Any, pad: int) -> None:
        self._model, self._pad = model, pad
        self._prefix: tuple[tuple[int, ...], Any] | None = None

    @property
    def fits(self) -> bool:
        """Whether every layer's cache keeps the whole context."""
        from transformers import DynamicCache
        from transformers.cache_utils import DynamicLayer

        layers = DynamicCache(config=self._model.config).layers
        return bool(layers) and all(type(layer) is DynamicLayer for layer in layers)

    def score_all(self, rows: Sequence[Row]) -> list[Logprob]:
        """Results of `rows`, from one batch."""
        results = self.score(grow(rows), rows)
        return [results[index] for index in range(len(rows))]

    def score(self, trees: Sequence[Branches], rows: Sequence[Row]) -> dict[int, Logprob]:
        """Results of the requests of `trees` (numbers in `rows`), from one batch; contexts of at least two tokens."""
        import torch

        model, device = self._model, self._model.device
        common = worth_sharing([tree.context[:-1] for tree in trees])
        cache = self.begin(trees[0].context[:common], len(trees))
        heads = [tree.context[common:-1] for tree in trees]
        if max(map(len, heads)):
            ids, _ = padded(heads, self._pad, False, device)
            fill(model, cache, input_ids=ids)
        ids, _ = padded([tree.tokens for tree in trees], self._pad, False, device)
        mask, positions = self._mask(trees, common + max(map(len, heads)), common)
        used = [sorted({node for path in tree.places for node in path}) for tree in trees]
        nodes_used = [(r, node) for r, nodes in enumerate(used) for node in nodes]
        index = {node: number for number, node in enumerate(nodes_used)}
        table = torch.tensor(nodes_used, device=device)
        logits, _ = logits_at(
            model,
            table[:, 0],
            table[:, 1],
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions,
            past_key_values=cache,
            use_cache=True,
        )
        asked, order = [], []
        for r, tree in enumerate(trees):
            for row, path in zip(tree.rows, tree.places, strict=True):
                asked.append(([index[r, node] for node in path], rows[row][1]))
                order.append(row)
        return dict(zip(order, sums(logits, asked), strict=True))

    def begin(self, prefix: tuple[int, ...], rows: int) -> Any:
        """A cache that begins with `prefix` in each of `rows` rows; `prefix` goes through alone, for the same bits."""
        import torch
        from transformers import DynamicCache

        cache = DynamicCache(config=self._model.config)
        if not prefix:
            return cache
        if self._prefix is None or self._prefix[0] != prefix:
            kept = DynamicCache(config=self._model.config)
            fill(self._model, kept, input_ids=torch.tensor([prefix], device=self._model.device))
            self._prefix = prefix, kept
        for layer, kept_layer in zip(cache.layers, self._prefix[1].layers, strict=True):
            layer.update(*(part.expand(rows, -1, -1, -1) for part in (kept_layer.keys, kept_layer.values)))
        return cache

    def _mask(self, trees: Sequence[Branches], filled: int, common: int) -> tuple[Any, Any]:
        """Additive mask (rows, 1, nodes, filled + nodes) and positions (rows, nodes) of the trees' nodes."""
        import numpy as np
        import torch

        width = max(len(tree.tokens) for tree in trees)
        sees = np.zeros((len(trees), width, filled + width), dtype=bool)
        positions = np.zeros((len(trees), width), dtype=np.int64)
        for r, tree in enumerate(trees):
            nodes, held = len(tree.tokens), len(tree.context) - 1
            sees[r, :, :held] = True
            sees[r, :nodes, filled : filled + nodes] = tree.ancestors()
            positions[r, :nodes] = held + tree.depths()
        hidden = torch.from_numpy(~sees)[:, None].to(self._model.device)
        dtype = self._model.dtype
        mask = torch.zeros(hidden.shape, dtype=dtype, device=hidden.device).masked_fill_(hidden, torch.finfo(dtype).min)
        return mask, torch.from_numpy(positions).to(self._model.device)


def parts(lengths: Sequence[int], scored: Sequence[int], most_tokens: int | None, most_scored: int) -> list[list[int]]:
    """Numbers of `lengths` in parts, longest first, for one pass each; at least one number in each.

    Padded tokens stay within `most_tokens` (no limit: no part ends for the sake of padding either) and scored positions
    within `most_scored`. A part also ends where its padding would cost more than another pass does.
    """
    passes: list[list[int]] = []
    positions = padding = 0
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        longest = lengths[passes[-1][0]] if passes else 0
        positions, padding = positions + scored[index], padding + longest - lengths[index]
        full = most_tokens is not None and passes and longest * (len(passes[-1]) + 1) > most_tokens
        loose = most_tokens is not None and padding > PASS_TOKENS
        if not passes or full or loose or positions > most_scored:
            passes.append([])
            positions, padding = scored[index], 0
        passes[-1].append(index)
    return passes


def _spread(places: Sequence[tuple[int, int, int]], device: Any) -> tuple[Any, Any]:
    """Index tensors of (row, first position, count)."""
    import numpy as np
    import torch

    counts = np.array([count for _, _, count in places])
    rows = np.repeat(np.array([row for row, _, _ in places]), counts)
    columns = np.concatenate([np.arange(first, first + count) for _, first, count in places])
    return torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)


def sums(logits: Any, requests: Sequence[tuple[Sequence[int], Sequence[int]]]) -> list[Logprob]:
    """For each of `wanted` (positions in `logits`, token scored at each) the sum of log softmax at the tokens.

    `logits` (positions, vocabulary). log p(t) = logit(t) − logsumexp(logits), in float32 as the models compute; the sum
    over tokens in float64. The device is waited for once, and once more where an argmax has rivals.
    """
    import torch

    device = logits.device
    positions = torch.tensor([position for path, _ in requests for position in path], dtype=torch.long, device=device)
    tokens = torch.tensor([token for _, target in requests for token in target], dtype=torch.long, device=device)
    step = max(1, CHUNK_BYTES // (4 * logits.shape[1])) if device.type == "cpu" else 2048
    tops, logs = [], []
    for first in range(0, len(logits), step):
        wide = logits[first : first + step].float()
        top = wide.amax(1)
        tops.append(top)
        logs.append((wide - top[:, None]).exp_().sum(1).log_().add_(top))
    if not tops:
        return [Logprob(0.0, 0, True) for _ in requests]
    picked = logits[positions, tokens].float()
    is_top = picked == torch.cat(tops)[positions]
    table = torch.stack([picked - torch.cat(logs)[positions], is_top.float()]).cpu().double().numpy()
    ends = list(itertools.accumulate([len(target) for _, target in requests]))
    spans = list(zip([0, *ends], ends, strict=False))
    # Equal to the largest is the argmax, unless two are equally large: then the first one is.
    tops_only = [slice(a, b) for a, b in spans if b > a and table[1, a:b].all()]
    if tops_only:
        chosen = torch.cat([torch.arange(span.start, span.stop) for span in tops_only])
        first = logits[positions[chosen]].argmax(1) == tokens[chosen]
        table[1, chosen.numpy()] = first.float().cpu().numpy()
    return [Logprob(float(table[0, a:b].sum()), b - a, bool(table[1, a:b].all())) for a, b in spans]
