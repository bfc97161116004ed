"""Trees of continuations, the parts they go through in, and what a long common beginning saves."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, strategies as st

from harness.config import BaseModelSpec
from harness.models import Continuation
from harness.models.transformers import causal, forward, token_tree
from harness.models.transformers.causal import CausalModel
from harness.models.transformers.loading import load_base

Folder = Callable[[str], Path]
IDS = st.lists(st.integers(0, 2), min_size=1, max_size=6).map(tuple)


@given(st.lists(st.tuples(IDS, IDS), min_size=1, max_size=12))
def test_every_target_is_a_way_through_its_tree(rows: list[token_tree.Row]) -> None:
    trees = token_tree.grow(rows)
    assert sorted(row for tree in trees for row in tree.rows) == list(range(len(rows)))
    assert [tree.context for tree in trees] == list(dict.fromkeys(context for context, _ in rows))
    for tree in trees:
        sees, depths = tree.ancestors(), tree.depths()
        ways = set()
        for row, path in zip(tree.rows, tree.places, strict=True):
            context, target = rows[row]
            # What a node sees, in order, is the text before the token that is scored after it.
            for count, node in enumerate(path):
                seen = [tree.tokens[other] for other in range(len(tree.tokens)) if sees[node, other]]
                assert (*context[:-1], *seen) == (*context, *target[:count])
                assert depths[node] == count
                ways.add((context, target[:count]))
        # Nothing that is shared goes through twice.
        assert len(tree.tokens) == len(ways)


def test_rows_left_out_grow_no_tree() -> None:
    rows = [((1, 2), (3,)), ((1,), (3, 4)), ((1, 2), (5,))]
    [tree] = token_tree.grow(rows, leave=[1])
    assert tree.rows == (0, 2)
    assert tree.tokens == (2,)
    assert tree.inputs == 2


@given(st.lists(IDS, min_size=1, max_size=6))
def test_common_prefix_is_the_longest(sequences: list[tuple[int, ...]]) -> None:
    count = token_tree.common_prefix(sequences)
    assert len({sequence[:count] for sequence in sequences}) == 1
    assert count == min(map(len, sequences)) or len({sequence[: count + 1] for sequence in sequences}) > 1


@given(
    st.lists(st.tuples(st.integers(1, 300), st.integers(0, 80)), max_size=40),
    st.one_of(st.none(), st.integers(1, 1000)),
    st.integers(1, 200),
)
def test_parts_hold_everything_once_within_the_limits(
    rows: list[tuple[int, int]], most_tokens: int | None, most_scored: int
) -> None:
    lengths, scored = [row[0] for row in rows], [row[1] for row in rows]
    parts = forward.parts(lengths, scored, most_tokens, most_scored)
    assert sorted(index for part in parts for index in part) == list(range(len(rows)))
    for part in parts:
        assert lengths[part[0]] == max(lengths[index] for index in part)
        if len(part) > 1:
            assert most_tokens is None or lengths[part[0]] * len(part) <= most_tokens
            assert sum(scored[index] for index in part) <= most_scored
            padding = sum(lengths[part[0]] - lengths[index] for index in part)
            assert most_tokens is None or padding <= forward.PASS_TOKENS


def load(folder: Path) -> CausalModel:
    return CausalModel(*load_base(BaseModelSpec(path=str(folder)), "cpu"))


def counted(model: CausalModel) -> list[tuple[int, int]]:
    """A list that fills with the shape of every forward pass's input ids."""
    shapes: list[tuple[int, int]] = []

    def note(module: Any, args: Any, kwargs: Any) -> None:
        shapes.append(tuple(kwargs["input_ids"].shape))

    model.model.register_forward_pre_hook(note, with_kwargs=True)
    return shapes


def prompts(count: int, beginning: int) -> list[tuple[int, ...]]:
    rng = random.Random(3)
    first = tuple(rng.randrange(2, 300) for _ in range(beginning))
    return [(*first, *(rng.randrange(2, 300) for _ in range(rng.randint(4, 30)))) for _ in range(count)]


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_long_common_beginning_goes_through_once(tiny: Folder, kind: str) -> None:
    model = load(tiny(kind))
    texts = prompts(5, 100)
    requests = [Continuation(text, tail) for text in texts for tail in ((5, 6, 7), (5, 9), (8,))]
    answers = [model.generate([text], 12, [])[0] for text in texts]
    alone = [model.logprobs([request])[0] for request in requests]
    assert model.grows_trees
    shapes = counted(model)
    assert model.generate(texts, 12, []) == answers
    assert shapes[0] == (1, 100) and all(width <= 30 for _, width in shapes[1:])
    shapes.clear()
    found = model.logprobs(requests)
    # The same beginning as before: it is not computed again.
    assert [rows for rows, _ in shapes] == [5, 5]
    assert max(width for _, width in shapes) < 30
    assert max(abs(a.logprob - b.logprob) for a, b in zip(found, alone, strict=True)) < 1e-4
    assert [row.greedy for row in found] == [row.greedy for row in alone]


def test_what_was_asked_before_does_not_change_a_bit(tiny: Folder) -> None:
    requests = [Continuation(text, (5, 6, 7)) for text in prompts(4, 90)]
    fresh = load(tiny("llama")).logprobs(requests)
    model = load(tiny("llama"))
    assert model.grows_trees
    model.generate(prompts(3, 90), 5, [])
    model.logprobs([Continuation(text[5:], (9, 8)) for text in prompts(4, 80)])
    assert model.logprobs(requests) == fresh


def test_one_token_choices_are_one_row(tiny: Folder) -> None:
    model = load(tiny("llama"))
    assert model.grows_trees
    shapes = counted(model)
    choices = model.logprobs([Continuation((5, 6, 7, 8), (token,)) for token in range(10, 14)])
    assert shapes == [(1, 3), (1, 1)]
    with torch.no_grad():
        table = model.model(input_ids=torch.tensor([[5, 6, 7, 8]])).logits[0, -1].log_softmax(-1)
    assert [row.logprob for row in choices] == pytest.approx(table[10:14].tolist(), abs=1e-5)


def test_equally_large_logits_have_their_first_as_argmax() -> None:
    logits = torch.tensor([[0.0, 2.0, 2.0], [3.0, 1.0, 0.0]])
    rows = forward.sums(logits, [([0, 1], (1, 0)), ([0, 1], (2, 0)), ([1], (0,)), ([], ())])
    assert [row.greedy for row in rows] == [True, False, True, True]
    assert rows[0].logprob == rows[1].logprob
    assert [row.tokens for row in rows] == [2, 2, 1, 0]


def test_a_model_that_takes_no_mask_of_ones_own_is_scored_otherwise(
    tiny: Folder, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load(tiny("mistral"))
    assert not model.grows_trees  # its layers see a window
    wrong = load(tiny("llama"))
    monkeypatch.setattr(token_tree.Branches, "depths", lambda self: 0 * torch.arange(len(self.tokens)).numpy())
    assert not wrong.grows_trees
    assert wrong.shares_contexts


def test_parts_are_small_on_a_processor(tiny: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    model = load(tiny("llama"))
    requests = [Continuation(text, tail) for text in prompts(6, 0) for tail in ((5, 6), (5, 7))]
    assert model.grows_trees  # found out with passes of its own
    shapes = counted(model)
    whole = model.logprobs(requests)
    passes_of_whole = len(shapes)
    monkeypatch.setattr(causal, "CPU_TOKENS", 40)
    parts = model.logprobs(requests)
    assert len(shapes) - passes_of_whole > passes_of_whole
    assert max(rows * width for rows, width in shapes[passes_of_whole:]) <= 40 < max(a * b for a, b in shapes)
    assert max(abs(a.logprob - b.logprob) for a, b in zip(whole, parts, strict=True)) < 1e-4
