"""Continuations of one context as a tree: a token that several of them share at their beginning is an input once.

Four notes that differ in one line, given a conversation, are one conversation, one note and three ends of notes.
Pure: token ids in, node numbers out. forward.py puts such trees through a model.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Row = tuple[tuple[int, ...], tuple[int, ...]]
"""Context and target of one request, the context never empty."""


@dataclass(frozen=True, slots=True)
class Branches:
    """A context and the tree of what follows it. Node 0 is the context's last token; parents stand before children."""

    context: tuple[int, ...]
    tokens: tuple[int, ...]
    """Input token of each node."""
    parents: tuple[int, ...]
    """Parent of each node; node 0 is its own."""
    rows: tuple[int, ...]
    """Which requests these are."""
    places: tuple[tuple[int, ...], ...]
    """For each of them the nodes after which its target's tokens are scored."""

    @property
    def inputs(self) -> int:
        """Tokens that go through the model."""
        return len(self.context) - 1 + len(self.tokens)

    def depths(self) -> NDArray[np.int64]:
        """Distance of each node from node 0 [nodes]."""
        import numpy as np

        depths = [0]
        for parent in self.parents[1:]:
            depths.append(depths[parent] + 1)
        return np.array(depths, dtype=np.int64)

    def ancestors(self) -> NDArray[np.bool_]:
        """Which nodes each node sees: itself and those on its way from node 0 [nodes, nodes]."""
        import numpy as np

        sees = np.zeros((len(self.tokens),) * 2, dtype=bool)
        sees[0, 0] = True
        for node in range(1, len(self.tokens)):
            before = self.parents[node]
            sees[node, : before + 1] = sees[before, : before + 1]
            sees[node, node] = True
        return sees


def grow(rows: Sequence[Row], leave: Collection[int] = ()) -> list[Branches]:
    """One tree for each distinct context of `rows`, in order of first appearance; the rows to `leave` get none."""
    groups: dict[tuple[int, ...], list[int]] = {}
    left = set(leave)
    for index, (context, _) in enumerate(rows):
        if index not in left:
            groups.setdefault(context, []).append(index)
    return [_tree(context, members, [rows[i][1] for i in members]) for context, members in groups.items()]


def _tree(context: tuple[int, ...], members: Sequence[int], targets: Sequence[tuple[int, ...]]) -> Branches:
    tokens, parents = [context[-1]], [0]
    children: dict[tuple[int, int], int] = {}
    places: list[tuple[int, ...]] = []
    for target in targets:
        node, path = 0, []
        for depth, token in enumerate(target):
            path.append(node)
            if depth + 1 == len(target):
                break
            child = children.get((node, token))
            if child is None:
                child = children[node, token] = len(tokens)
                tokens.append(token)
                parents.append(node)
            node = child
        places.append(tuple(path))
    return Branches(context, tuple(tokens), tuple(parents), tuple(members), tuple(places))


def common_prefix(sequences: Sequence[Sequence[int]]) -> int:
    """How many tokens all of `sequences` begin with."""
    least, most = min(map(tuple, sequences)), max(map(tuple, sequences))
    for position, (a, b) in enumerate(zip(least, most, strict=False)):
        if a != b:
            return position
    return min(len(least), len(most))
