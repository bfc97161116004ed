"""Which requests go through a model together: decided before the first one does, from lengths alone.

A fixed plan makes results repeatable: floating-point sums depend on the shape of a batch, so a resumed run must form
the same batches to give the same bits.
"""

from __future__ import annotations

from collections.abc import Sequence

from harness.models import Continuation


def plan_batches(lengths: Sequence[int], budget_tokens: int, max_rows: int) -> list[tuple[int, ...]]:
    """Indices of `lengths` in batches, longest first (memory runs out at the start or not at all), ties by index.

    rows × longest length stays within `budget_tokens` and rows within `max_rows`; a longer item goes alone.
    """
    batches: list[tuple[int, ...]] = []
    current: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        widest = lengths[current[0]] if current else lengths[index]
        if current and (len(current) >= max_rows or (len(current) + 1) * widest > budget_tokens):
            batches.append(tuple(current))
            current = []
        current.append(index)
    if current:
        batches.append(tuple(current))
    return batches


def plan_continuations(requests: Sequence[Continuation], budget_tokens: int, max_rows: int) -> list[tuple[int, ...]]:
    """Indices of `requests` in batches; requests of one context stay together, so that a model can share its pass.

    A group counts as its rows times its longest row: caches are held once a row. Groups larger than `max_rows` or the
    budget go alone.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for index, request in enumerate(requests):
        # Texts without context share nothing but the prefix token: they are planned one by one.
        key = request.context if len(request.context) > 1 else (-1, index)
        groups.setdefault(key, []).append(index)
    members = list(groups.values())
    lengths = [len(group) * max(len(requests[i].context) + len(requests[i].target) for i in group) for group in members]
    most = max(map(len, members), default=1)
    batches = plan_batches(lengths, budget_tokens, max(1, max_rows // most))
    return [tuple(index for unit in batch for index in members[unit]) for batch in batches]
