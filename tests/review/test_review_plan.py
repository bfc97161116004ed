"""The plan of a round: balanced items, raters and sides, and fillers that nobody can tell."""

from __future__ import annotations

import itertools
import random
from collections import Counter, defaultdict
from dataclasses import replace

import pytest
from hypothesis import given, settings, strategies as st

from harness.errors import ReviewError
from harness.records import Assignment
from harness.review.plan import Design, Material, balanced, choose_items, fillers_for, plan_round


@st.composite
def plans(draw: st.DrawFn) -> tuple[Material, Design, int]:
    """Material and a design that fits it, and a seed."""
    arms = [f"arm{number}" for number in range(draw(st.integers(2, 5)))]
    examples = [f"x{number}" for number in range(draw(st.integers(1, 14)))]
    pairs = len(arms) * (len(arms) - 1) // 2
    queues = draw(st.integers(1, 6))
    design = Design(
        items=draw(st.integers(1, len(examples) * pairs)),
        raters=draw(st.integers(1, queues)),
        queues=queues,
        gold=draw(st.integers(0, 4)),
        identical=draw(st.integers(0, 3)),
        repeats=draw(st.integers(0, 4)),
    )
    return Material(examples, arms, gold=examples[:3]), design, draw(st.integers(0, 2**63 - 1))


def pair(a: Assignment) -> tuple[str, ...]:
    return tuple(sorted((a.left, a.right)))


def spread(counts: list[int]) -> int:
    return max(counts) - min(counts)


@settings(max_examples=150)
@given(plans())
def test_every_pair_gets_its_raters_and_everything_is_balanced(given_: tuple[Material, Design, int]) -> None:
    material, design, seed = given_
    plan = plan_round("r", material, design, seed)
    ordinary = [a for a in plan if a.kind == "ordinary"]
    raters = defaultdict(set)
    for a in ordinary:
        raters[a.item].add(a.queue)
    assert len(raters) == design.items == len({(a.example, pair(a)) for a in ordinary})
    assert all(len(queues) == design.raters for queues in raters.values())
    assert len(ordinary) == design.items * design.raters
    once = list({a.item: a for a in ordinary}.values())
    of_pair = Counter(pair(a) for a in once)
    assert spread([of_pair[p] for p in itertools.combinations(sorted(material.arms), 2)]) <= 1
    of_example = Counter(a.example for a in once)
    assert spread([of_example[example] for example in material.examples]) <= 1
    lengths = Counter(a.queue for a in ordinary)
    assert spread([lengths[queue] for queue in range(design.queues)]) <= 1


@settings(max_examples=150)
@given(plans())
def test_sides_differ_by_one_at_most_for_each_rater_each_pair_and_both(given_: tuple[Material, Design, int]) -> None:
    plan = plan_round("r", *given_)
    ordinary = [a for a in plan if a.kind == "ordinary"]
    for key in (lambda a: a.queue, pair, lambda a: (a.queue, pair(a))):
        leaning: Counter[object] = Counter()
        for a in ordinary:
            leaning[key(a)] += 1 if a.left < a.right else -1
        assert all(abs(value) <= 1 for value in leaning.values())
    good_left: Counter[object] = Counter()
    for a in plan:
        if a.kind == "gold":
            good_left[a.queue] += 1 if a.left == "gold:good" else -1
    assert all(abs(value) <= 1 for value in good_left.values())


@settings(max_examples=100)
@given(plans())
def test_fillers_are_there_in_number_and_repeats_come_after_with_sides_swapped(
    given_: tuple[Material, Design, int],
) -> None:
    material, design, seed = given_
    plan = plan_round("r", material, design, seed)
    for queue in range(design.queues):
        mine = [a for a in plan if a.queue == queue]
        assert [a.place for a in mine] == list(range(len(mine)))
        first = {a.item: a for a in mine if a.kind == "ordinary"}
        kinds = Counter(a.kind for a in mine)
        assert kinds["gold"] == design.gold and kinds["repeat"] == min(design.repeats, len(first))
        assert kinds["identical"] == min(design.identical, len(material.examples))
        again = [a for a in mine if a.kind == "repeat"]
        assert len({a.item for a in again}) == len(again)
        for a in again:
            assert first[a.item].place < a.place
            assert (a.left, a.right) == (first[a.item].right, first[a.item].left)
        assert all(a.left == a.right for a in mine if a.kind == "identical")


@settings(max_examples=60)
@given(st.lists(st.tuples(st.integers(0, 4), st.integers(0, 5)), max_size=80), st.integers(0, 2**32))
def test_any_raters_and_pairs_get_balanced_sides(cells: list[tuple[int, int]], seed: int) -> None:
    sides = balanced(cells, random.Random(seed))
    assert len(sides) == len(cells)
    for key in (lambda cell: cell[0], lambda cell: ("pair", cell[1]), lambda cell: cell):
        leaning: Counter[object] = Counter()
        for cell, side in zip(cells, sides, strict=True):
            leaning[key(cell)] += 1 if side else -1
        assert all(abs(value) <= 1 for value in leaning.values())


def test_tokens_are_random_and_everything_else_follows_from_the_seed() -> None:
    material = Material([f"x{n}" for n in range(20)], ["a", "b", "c"], gold=["x1"])
    design = Design(30, 2, 3, 2, 1, 2)

    def bare(seed: int) -> list[Assignment]:
        return [replace(a, token="", item="") for a in plan_round("r", material, design, seed)]

    assert bare(5) == bare(5) != bare(6)
    one, other = (plan_round("r", material, design, 5) for _ in range(2))
    assert not {a.token for a in one} & {a.token for a in other}
    assert min(len(a.token) for a in one) >= 32  # 192 bits in base 64


def test_a_side_says_nothing_of_the_arm() -> None:
    """Over many seeds the first arm stands left as often as right, and the first place is any kind's."""
    material = Material([f"x{n}" for n in range(9)], ["a", "b"], gold=["x1"])
    left = [plan_round("r", material, Design(9, 1, 1), seed)[0].left for seed in range(400)]
    assert abs(left.count("a") - 200) < 60  # 6 standard deviations
    kinds = {plan_round("r", material, Design(9, 1, 1, 2, 2, 0), seed)[0].kind for seed in range(60)}
    assert kinds == {"ordinary", "gold", "identical"}


def test_answers_that_are_the_same_are_ties_that_cost_nobody_time() -> None:
    same = frozenset({("x0", "a", "b"), ("x3", "a", "b")})
    plan = plan_round("r", Material([f"x{n}" for n in range(5)], ["a", "b"], same), Design(5, 2, 2), 1)
    assert sorted(a.example for a in plan if a.kind == "automatic") == ["x0", "x3"]
    assert all(a.queue is None and a.rater is None for a in plan if a.kind == "automatic")
    assert {a.example for a in plan if a.kind == "ordinary"} == {"x1", "x2", "x4"}


def test_any_two_reviewers_share_items() -> None:
    plan = plan_round("r", Material([f"x{n}" for n in range(60)], ["a", "b"]), Design(60, 2, 4), 3)
    of_item = defaultdict(set)
    for a in plan:
        of_item[a.item].add(a.queue)
    together = Counter(tuple(sorted(queues)) for queues in of_item.values())
    assert len(together) == 6 and spread(list(together.values())) <= 4


@pytest.mark.parametrize(
    ("design", "arms", "message"),
    [
        (Design(7, 1, 1), "ab", "7 items are more than there are: 6 examples × 1 arm pairs. Give at most --items 6"),
        (Design(2, 3, 2), "ab", "each item is judged by 3 raters, and 2 reviewers are planned"),
        (Design(2, 1, 1), "a", "a round compares two arms or more"),
        (Design(0, 1, 1), "ab", "at least one item"),
        (Design(2, 1, 1, gold=1), "ab", "nothing to make gold pairs of"),
    ],
)
def test_what_cannot_be_planned_is_one_line(design: Design, arms: str, message: str) -> None:
    with pytest.raises(ReviewError) as caught:
        plan_round("r", Material([f"x{n}" for n in range(6)], list(arms)), design, 0)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_all_combinations_come_once_when_all_are_asked_for() -> None:
    for examples, arms in itertools.product(range(1, 9), range(2, 6)):
        pairs = arms * (arms - 1) // 2
        names = [str(n) for n in range(examples)]
        items = choose_items(names, list("abcdef"[:arms]), examples * pairs, random.Random(0))
        assert len(set(items)) == examples * pairs


def test_fillers_are_about_a_fifth() -> None:
    for ordinary in (20, 40, 100, 300):
        assert 0.1 <= sum(fillers_for(ordinary)) / ordinary <= 0.35
    assert fillers_for(3) == (0, 0, 0)
