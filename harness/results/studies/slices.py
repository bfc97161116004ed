"""Where two arms differ: the paired difference of the primary metric within parts of the test split."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from harness import stats
from harness.records import Estimate, Example

PARTS = 3
SMALLEST = 5
"""Examples of a group that is shown on its own."""


@dataclass(frozen=True, slots=True)
class Slice:
    """Examples that have something in common. `difference` is a minus b; `reason` says why it is not there."""

    kind: str
    """`prompt length`, `reference length` or `group`."""
    name: str
    n: int
    a: float
    b: float
    difference: Estimate | None
    reason: str = ""


def slices(
    values: Mapping[str, tuple[float, float]],
    examples: Mapping[str, Example],
    groups: Mapping[str, str],
    bounds: tuple[float, float] | None,
    seeds: int = 1,
) -> tuple[Slice, ...]:
    """Differences by length of prompt and reference (thirds, in words) and by group (of at least five examples).

    `values` has each example's values of the two arms, averaged over `seeds`; `bounds` are the metric's. Intervals are
    about these checkpoints, each at 95 % on its own: among twenty slices one excludes zero by chance.
    """
    items = [item for item in values if item in examples]
    parts = []
    for kind, count in (("prompt length", prompt_words), ("reference length", reference_words)):
        for name, part in _thirds({item: count(examples[item]) for item in items}):
            parts.append(_slice(kind, name, part, values, groups, bounds, seeds))
    sizes = Counter(groups.get(item, item) for item in values)
    for group, size in sizes.most_common():
        if size >= SMALLEST:
            part = [item for item in values if groups.get(item, item) == group]
            # Within one group every example stands for itself.
            parts.append(_slice("group", group, part, values, {}, bounds, seeds))
    return tuple(parts)


def _slice(
    kind: str,
    name: str,
    items: Sequence[str],
    values: Mapping[str, tuple[float, float]],
    groups: Mapping[str, str],
    bounds: tuple[float, float] | None,
    seeds: int,
) -> Slice:
    ours, theirs = (np.array([values[item][side] for item in items]) for side in (0, 1))
    part = Slice(kind, name, len(items), float(ours.mean()), float(theirs.mean()), None)
    try:
        clusters = [groups.get(item, item) for item in items]
        difference = stats.paired_difference(ours, theirs, clusters, seeds=seeds, bounds=bounds)
    except ValueError as error:
        return replace(part, reason=str(error))
    return replace(part, difference=difference)


def _thirds(sizes: Mapping[str, int]) -> list[tuple[str, list[str]]]:
    """Thirds by size; items of one size stay together, so fewer where sizes hardly differ."""
    if not sizes:
        return []
    cuts = np.quantile(list(sizes.values()), [part / PARTS for part in range(1, PARTS)], method="lower")
    parts: dict[int, list[str]] = {}
    for item, size in sizes.items():
        parts.setdefault(int(np.searchsorted(cuts, size)), []).append(item)
    named = []
    for _, items in sorted(parts.items()):
        low, high = min(sizes[item] for item in items), max(sizes[item] for item in items)
        named.append((f"{low} words" if low == high else f"{low} to {high} words", items))
    return named


def prompt_words(example: Example) -> int:
    """Words of all that an example asks with, its system text apart."""
    texts = [message.content for message in example.messages] if example.messages else [example.prompt or ""]
    return sum(len(text.split()) for text in texts)


def reference_words(example: Example) -> int:
    """Words of its first reference."""
    return len(example.references[0].split()) if example.references else 0
