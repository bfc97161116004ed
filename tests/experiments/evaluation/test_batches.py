"""Batch plans: every item once, within the budget, the same every time."""

from __future__ import annotations

from hypothesis import given, strategies as st

from harness.models import Continuation
from harness.models.transformers.batching import plan_batches, plan_continuations

LENGTHS = st.lists(st.integers(1, 500), max_size=60)


@given(lengths=LENGTHS, budget=st.integers(1, 2000), rows=st.integers(1, 40))
def test_plan_covers_everything_once_within_budget(lengths: list[int], budget: int, rows: int) -> None:
    plan = plan_batches(lengths, budget, rows)
    assert sorted(index for batch in plan for index in batch) == list(range(len(lengths)))
    for batch in plan:
        assert len(batch) <= rows
        assert len(batch) == 1 or len(batch) * max(lengths[i] for i in batch) <= budget
    flat = [lengths[index] for batch in plan for index in batch]
    assert flat == sorted(lengths, reverse=True)
    assert plan == plan_batches(list(lengths), budget, rows)


@given(lengths=LENGTHS, budget=st.integers(1, 2000), rows=st.integers(1, 40))
def test_batches_are_full(lengths: list[int], budget: int, rows: int) -> None:
    """No batch could have taken the first item of the next one."""
    plan = plan_batches(lengths, budget, rows)
    for batch in plan[:-1]:
        assert len(batch) == rows or (len(batch) + 1) * lengths[batch[0]] > budget


@given(
    shapes=st.lists(st.tuples(st.integers(0, 9), st.integers(1, 30)), max_size=60),
    budget=st.integers(1, 1000),
    rows=st.integers(1, 20),
)
def test_choices_of_one_context_stay_together(shapes: list[tuple[int, int]], budget: int, rows: int) -> None:
    requests = [Continuation((7,) * context, (3,) * target) for context, target in shapes]
    plan = plan_continuations(requests, budget, rows)
    assert sorted(index for batch in plan for index in batch) == list(range(len(requests)))
    home = {index: number for number, batch in enumerate(plan) for index in batch}
    for index, request in enumerate(requests):
        same = {home[i] for i, other in enumerate(requests) if len(request.context) > 1 and other == request}
        assert same <= {home[index]}
    for batch in plan:
        together = {requests[i].context for i in batch}
        assert len(together) == 1 or len(batch) <= rows
