"""Which answer stands on the left: as even as parity allows, for every rater, every arm pair, and both together.

Assignments are the edges of a bipartite multigraph of raters and arm pairs. Of parallel edges (the same rater, the same
pair) half get one side and half the other. What is left over has at most one edge between two vertices; a dummy vertex
on each side makes every degree even, and along an Euler circuit an edge walked from rater to pair gets one side, one
walked back the other. Every vertex is entered as often as it is left, so each is balanced to within the one edge that
may have been a dummy (Euler 1736; the construction is the usual one for equitable two-colourings of bipartite graphs).
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Hashable, Sequence

Cell = tuple[Hashable, Hashable]
"""Rater and arm pair."""


def balanced(cells: Sequence[Cell], rng: random.Random) -> list[bool]:
    """One side for each assignment: True where the pair's first arm stands on the left.

    For every rater, every arm pair and every combination the numbers of True and False differ by at most 1.
    """
    by_cell: dict[Cell, list[int]] = defaultdict(list)
    for index, cell in enumerate(cells):
        by_cell[cell].append(index)
    sides = [False] * len(cells)
    single: dict[Cell, int] = {}
    for cell in sorted(by_cell, key=repr):
        indices = by_cell[cell]
        rng.shuffle(indices)
        half = len(indices) // 2
        for index in indices[:half]:
            sides[index] = True
        if len(indices) % 2:
            single[cell] = indices[-1]
    for cell, side in _two_colours(list(single), rng).items():
        sides[single[cell]] = side
    return sides


def _two_colours(edges: list[Cell], rng: random.Random) -> dict[Cell, bool]:
    """A colour for each edge of a simple bipartite graph, every vertex balanced to within 1."""
    rng.shuffle(edges)
    ends = [(("rater", rater), ("pair", pair)) for rater, pair in edges]
    degree: dict[Hashable, int] = defaultdict(int)
    for left, right in ends:
        degree[left] += 1
        degree[right] += 1
    odd = [vertex for vertex, count in degree.items() if count % 2]
    spare_rater, spare_pair = ("rater", ("spare",)), ("pair", ("spare",))
    extra = [(v, spare_pair) if v[0] == "rater" else (spare_rater, v) for v in odd]  # type: ignore[index]
    if sum(left == spare_rater for left, _ in extra) % 2:
        extra.append((spare_rater, spare_pair))
    walked = _walk([*ends, *extra])
    turn = rng.random() < 0.5
    return {edge: forward != turn for edge, forward in zip(edges, walked, strict=False)}


def _walk(edges: Sequence[tuple[Hashable, Hashable]]) -> list[bool]:
    """For each edge of a graph of even degrees, whether an Euler circuit walks it from its first end."""
    around: dict[Hashable, list[int]] = defaultdict(list)
    for number, (first, second) in enumerate(edges):
        around[first].append(number)
        around[second].append(number)
    forward: dict[int, bool] = {}
    for start in range(len(edges)):
        vertex = edges[start][0]
        while True:
            while around[vertex] and around[vertex][-1] in forward:
                around[vertex].pop()
            if not around[vertex]:
                break
            number = around[vertex].pop()
            first, second = edges[number]
            forward[number] = vertex == first
            vertex = second if vertex == first else first
    return [forward[number] for number in range(len(edges))]
