"""Plans who judges what, in which order and on which sides: drawn once from a sealed seed, before anybody votes.

An *item* is an (example, arm pair). Items are drawn so that every arm pair and every example comes up equally often, to
within one (a balanced incomplete design where there are fewer items than examples × pairs). Each item goes to `raters`
different queues, a queue being what one reviewer works through. Into each queue are mixed, unrecognisably:

- gold pairs, one answer of which is clearly wrong: does the rater read?
- identical pairs, the same text twice: does the rater call a tie a tie?
- repeats, an item judged before with its sides swapped: does the rater agree with themselves?

Items whose two answers are the same text are ties without anybody being asked (kind `automatic`); they count as items,
so that the share of ties is not distorted.
"""

from __future__ import annotations

import itertools
import math
import random
import secrets
from collections import defaultdict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field

from harness.errors import ReviewError
from harness.records import Assignment, AssignmentKind
from harness.results.human.votes import BAD, GOOD

TOKEN_BYTES = 24
"""192 random bits."""
Item = tuple[str, str, str]
"""Example, first arm's source, second arm's source."""
Cell = tuple[Hashable, Hashable]
"""Rater and arm pair."""


@dataclass(frozen=True, slots=True)
class Design:
    """Items, raters of each item, and queues. `gold`, `identical` and `repeats` are numbers for each queue."""

    items: int
    raters: int
    queues: int
    gold: int = 0
    identical: int = 0
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class Material:
    """The examples and answers that there are to judge."""

    examples: Sequence[str]
    arms: Sequence[str]
    """Sources of the arms' answers (evaluation ids)."""
    same: frozenset[Item] = frozenset()
    """Items whose answers are the same text, arms in the order of `arms`."""
    gold: Sequence[str] = ()
    """Examples with a good answer and one that is clearly worse, of the sources GOOD and BAD."""


@dataclass(slots=True)
class _Slot:
    """A pair of answers before it has a place."""

    kind: AssignmentKind
    item: str
    example: str
    left: str
    right: str


@dataclass(slots=True)
class _Drawing:
    """State of one drawing: the generator, the tokens, and the opaque names of items."""

    rng: random.Random
    token: Callable[[], str]
    spare: list[str] = field(default_factory=list)
    """Examples of no chosen item."""
    names: dict[Item, str] = field(default_factory=dict)

    def name(self, item: Item) -> str:
        return self.names.setdefault(item, self.token())


def new_token() -> str:
    """An opaque random name, safe in a link."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def plan_round(
    round_id: str, material: Material, design: Design, seed: int, token: Callable[[], str] = new_token
) -> list[Assignment]:
    """Every assignment of a round, queue by queue in order, then the automatic ties.

    Sides: for every queue, every arm pair and both together, each arm of a pair stands on the left as often as on the
    right, to within one. The same arguments and seed give the same plan but for the tokens, which are random.

    Raises ReviewError when the material does not suffice.
    """
    _check(material, design)
    draw = _Drawing(random.Random(seed), token)
    chosen = choose_items(material.examples, material.arms, design.items, draw.rng)
    judged = [item for item in chosen if item not in material.same]
    queues = _ordinary(judged, design, draw)
    used = {example for example, _, _ in chosen}
    draw.spare = [example for example in material.examples if example not in used]
    assignments: list[Assignment] = []
    for number, ordinary in enumerate(queues):
        fillers = [*_gold(number, material, design, draw), *_identical(number, material, design, draw)]
        order = _arrange(ordinary, fillers, design.repeats, draw.rng)
        assignments += [
            Assignment(draw.token(), round_id, s.kind, s.item, s.example, s.left, s.right, number, position)
            for position, s in enumerate(order)
        ]
    ties = [item for item in chosen if item in material.same]
    assignments += [
        Assignment(draw.token(), round_id, "automatic", draw.name(item), *item, None, position)
        for position, item in enumerate(ties)
    ]
    return assignments


def _check(material: Material, design: Design) -> None:
    pairs = math.comb(len(material.arms), 2)
    most = len(material.examples) * pairs
    if pairs == 0:
        raise ReviewError("a round compares two arms or more", hint="Name them with --arms a,b")
    if design.items < 1 or design.raters < 1:
        raise ReviewError("a round needs at least one item and one rater", hint="Raise --items or --raters")
    if design.items > most:
        raise ReviewError(
            f"{design.items} items are more than there are: {len(material.examples)} examples × {pairs} arm pairs",
            hint=f"Give at most --items {most}",
        )
    if design.queues < design.raters:
        raise ReviewError(
            f"each item is judged by {design.raters} raters, and {design.queues} reviewers are planned",
            hint=f"Give at least --reviewers {design.raters}",
        )
    if design.gold and not material.gold:
        raise ReviewError("there is nothing to make gold pairs of", hint="Give --gold-file, or --gold 0")


def choose_items(examples: Sequence[str], arms: Sequence[str], count: int, rng: random.Random) -> list[Item]:
    """`count` different items: arm pairs, and examples, come up equally often to within one.

    Item i is example i mod E and pair (i + ⌊i / lcm(E, P)⌋) mod P of E shuffled examples and P shuffled pairs. Within a
    block of lcm(E, P) items no combination comes twice; the shift by one from block to block takes up the others.
    """
    names, pairs = list(examples), list(itertools.combinations(arms, 2))
    rng.shuffle(names)
    rng.shuffle(pairs)
    block = math.lcm(len(names), len(pairs))
    return [
        (names[index % len(names)], *pairs[(index + index // block) % len(pairs)]) for index in range(count)
    ]  # fmt: skip


def _ordinary(items: Sequence[Item], design: Design, draw: _Drawing) -> list[list[_Slot]]:
    """Each item in as many queues as it has raters, on balanced sides."""
    dealt = [(item, queue) for item, queues in deal(items, design, draw.rng) for queue in queues]
    sides = balanced([(queue, item[1:]) for item, queue in dealt], draw.rng)
    queues: list[list[_Slot]] = [[] for _ in range(design.queues)]
    for (item, queue), first_left in zip(dealt, sides, strict=True):
        example, first, second = item
        left, right = (first, second) if first_left else (second, first)
        queues[queue].append(_Slot("ordinary", draw.name(item), example, left, right))
    return queues


def deal(items: Sequence[Item], design: Design, rng: random.Random) -> list[tuple[Item, list[int]]]:
    """The queues of each item, all different. Queue lengths differ by at most one.

    Arm pair by arm pair, the shortest queues come first; among those the ones with fewest of this pair, then those that
    shared fewest items with the ones chosen already, so that any two reviewers meet about equally often; then chance.
    """
    length = [0] * design.queues
    of_pair: dict[tuple[tuple[str, str], int], int] = defaultdict(int)
    met: dict[tuple[int, int], int] = defaultdict(int)
    dealt = []
    for item in sorted(items, key=lambda item: item[1:]):
        pair = item[1:]
        chosen: list[int] = []
        for _ in range(design.raters):
            open_queues = [queue for queue in range(design.queues) if queue not in chosen]
            rng.shuffle(open_queues)
            best = min(
                open_queues,
                key=lambda queue: (length[queue], of_pair[pair, queue], sum(met[queue, other] for other in chosen)),
            )
            chosen.append(best)
        for queue in chosen:
            length[queue] += 1
            of_pair[pair, queue] += 1
            for other in chosen:
                met[queue, other] += 1
        dealt.append((item, chosen))
    return dealt


def _gold(queue: int, material: Material, design: Design, draw: _Drawing) -> list[_Slot]:
    """Gold pairs of a queue, the good answer on either side equally often to within one."""
    if not design.gold:
        return []
    rounds = -(-design.gold // len(material.gold))
    pool = [name for _ in range(rounds) for name in draw.rng.sample(list(material.gold), len(material.gold))]
    first = draw.rng.randrange(2)
    slots = []
    for number, example in enumerate(pool[: design.gold]):
        sides = (GOOD, BAD) if (number + first) % 2 else (BAD, GOOD)
        slots.append(_Slot("gold", draw.name((example, f"gold {queue} {number}", "")), example, *sides))
    return slots


def _identical(queue: int, material: Material, design: Design, draw: _Drawing) -> list[_Slot]:
    """The same answer twice; of examples that are not otherwise judged where there are any, arms by turns."""
    pool = draw.spare if len(draw.spare) >= design.identical else list(material.examples)
    examples = draw.rng.sample(pool, min(design.identical, len(pool)))
    first = draw.rng.randrange(len(material.arms))
    slots = []
    for number, example in enumerate(examples):
        source = material.arms[(number + first) % len(material.arms)]
        slots.append(_Slot("identical", draw.name((example, f"same {queue}", source)), example, source, source))
    return slots


def _arrange(
    ordinary: Sequence[_Slot], fillers: Sequence[_Slot], repeats: int, rng: random.Random
) -> list[_Slot]:  # fmt: skip
    """One queue in its order: ordinary pairs shuffled, a filler in each of equal stretches, repeats well after."""
    order = list(ordinary)
    rng.shuffle(order)
    positions: list[tuple[float, _Slot]] = [(float(index), slot) for index, slot in enumerate(order)]
    mixed = list(fillers)
    rng.shuffle(mixed)
    for number, slot in enumerate(mixed):
        positions.append(((number + rng.random()) * len(order) / len(mixed) - 0.5, slot))
    gap = max(3, len(order) // 3)
    for index in rng.sample(range(len(order)), min(repeats, len(order))):
        early = index if index + gap < len(order) else rng.randrange(max(1, len(order) - gap))
        while any(slot.kind == "repeat" and slot.item == order[early].item for _, slot in positions):
            early = (early + 1) % len(order)
        first = order[early]
        again = _Slot("repeat", first.item, first.example, first.right, first.left)
        positions.append((rng.uniform(min(early + gap, len(order) - 0.5), len(order)) - 0.25, again))
    return [slot for _, slot in sorted(positions, key=lambda entry: entry[0])]


def fillers_for(ordinary: int) -> tuple[int, int, int]:
    """Gold pairs, identical pairs and repeats that suit a queue of `ordinary` pairs: about a fifth on top."""
    gold = max(min(3, ordinary // 4), ordinary // 12)
    return gold, max(min(1, ordinary // 8), ordinary // 25), max(min(2, ordinary // 5), ordinary // 15)


def balanced(cells: Sequence[Cell], rng: random.Random) -> list[bool]:
    """One side for each assignment: True where the pair's first arm stands on the left.

    For every rater, every arm pair and every combination the numbers of True and False differ by at most 1.
    Assignments are the edges of a bipartite multigraph of raters and arm pairs. Of parallel edges (the same rater, the
    same pair) half get one side and half the other. What is left over has at most one edge between two vertices; a
    dummy vertex on each side makes every degree even, and along an Euler circuit an edge walked from rater to pair gets
    one side, one walked back the other. Every vertex is entered as often as it is left, so each is balanced to within
    the one edge that may have been a dummy (Euler 1736; the construction is the usual one for equitable two-colourings
    of bipartite graphs).
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
