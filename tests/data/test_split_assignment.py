"""Splits: assignment by hash, joined groups, leaks stopped or dropped, fingerprints, and what a trainer sees."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, reject, settings, strategies as st

from harness.config import LeakageSpec, SplitsSpec
from harness.data.splits import divide, presplit, split, split_source, training_share
from harness.errors import DataError, LeakageError
from harness.records import Example, Message, PreferencePair, SourceData, Split, Splits, TrainingData

SPEC = SplitsSpec(test=0.3, validation=0.2, salt="s")
DROP = LeakageSpec(drop="train")
PINNED_TEST = ("e0", "e8")
PINNED_VALIDATION = ("e1", "e2", "e7", "e10")
LONG = " ".join(f"long{n}" for n in range(60))


def item(name: str, prompt: str | None = None, group: str | None = None) -> Example:
    return Example(id=name, group=group or name, references=("r",), prompt=prompt or f"only {name} says this {name}")


def many(count: int, start: int = 0) -> list[Example]:
    return [item(f"e{n}") for n in range(start, start + count)]


def side_of(splits: Splits) -> dict[str, str]:
    return {name: side for side in ("train", "validation", "test") for name in getattr(splits, side)}


def source_of(examples: Sequence[Example], pairs: Sequence[PreferencePair] = ()) -> SourceData:
    return SourceData(tuple(examples), None, tuple(pairs), {e.id: e.prompt or "" for e in examples}, {})


def test_shares_and_order() -> None:
    splits = split(many(4000), SPEC)
    assert len(splits.test) == pytest.approx(1200, abs=120)
    assert len(splits.validation) == pytest.approx(800, abs=110)
    assert len(splits.train) + len(splits.validation) + len(splits.test) == 4000
    numbers = [int(name[1:]) for name in splits.train]
    assert numbers == sorted(numbers)
    assert (splits.leaks, splits.merged) == ((), ())


def test_assignment_is_pinned() -> None:
    """Sealed splits must stay sealed: a change of the hash would move test examples into training."""
    splits = split([item(f"e{n}") for n in range(12)], SPEC)
    assert side_of(splits) == side_of(split([item(f"e{n}") for n in reversed(range(12))], SPEC))
    assert splits.test == PINNED_TEST and splits.validation == PINNED_VALIDATION


@settings(max_examples=60, deadline=None)
@given(st.sets(st.integers(0, 500), min_size=80, max_size=150), st.sets(st.integers(501, 900), max_size=40))
def test_adding_examples_moves_none(old: set[int], new: set[int]) -> None:
    before = side_of(split([item(f"e{n}") for n in sorted(old)], SPEC))
    after = side_of(split([item(f"e{n}") for n in sorted(old | new)], SPEC))
    assert {name: after[name] for name in before} == before


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=150, max_size=200))
def test_groups_never_straddle(groups: list[int]) -> None:
    examples = [item(f"e{n}", group=f"g{group}") for n, group in enumerate(groups)]
    try:
        sides = side_of(split(examples, SPEC))
    except LeakageError:
        raise  # it is a DataError too, and a group on two sides is one
    except DataError:
        reject()  # few groups can leave a split empty
    assert all(len({sides[e.id] for e in examples if e.group == f"g{group}"}) == 1 for group in set(groups))


def test_salt_draws_another_split() -> None:
    first, second = split(many(200), SPEC), split(many(200), SPEC.model_copy(update={"salt": "t"}))
    assert first.test != second.test and first.fingerprint != second.fingerprint


def test_near_duplicates_join_groups_and_are_reported() -> None:
    examples = many(100)
    plain = side_of(split(examples, SPEC))
    apart = [next(e.id for e in examples if plain[e.id] == side) for side in ("train", "test")]
    texts = {e.id: e.prompt or "" for e in examples}
    texts[apart[0]], texts[apart[1]] = LONG, LONG + " and a little more"
    splits = split(examples, SPEC, texts=texts)
    sides = side_of(splits)
    assert splits.merged == (tuple(sorted(apart)),)
    assert sides[apart[0]] == sides[apart[1]]
    assert {name: side for name, side in sides.items() if name not in apart} == {
        name: side for name, side in plain.items() if name not in apart
    }


def test_equal_prompts_join_groups() -> None:
    examples = [*many(60), item("x", "The same, again!"), item("y", "the same again"), item("z", "The SAME again")]
    splits = split(examples, SPEC)
    assert splits.merged == (("x", "y", "z"),)
    assert len({side_of(splits)[name] for name in "xyz"}) == 1


def test_messages_are_compared_without_their_system_text() -> None:
    system = Message("system", LONG)
    chats = [
        Example(f"m{n}", f"m{n}", ("r",), messages=(system, Message("user", f"question number {n} of all")))
        for n in range(60)
    ]
    assert split(chats, SPEC).merged == ()


@pytest.mark.parametrize(
    ("examples", "message"),
    [
        ([item("a"), item("b")], r"^the \w+ split is empty\. There are 2 groups: add data, enlarge the split's share"),
        ([item(f"e{n}", "all say this") for n in range(9)], r"Near-duplicates join 9 of 9 groups into one"),
        ([], r"^the train split is empty\. There are 0 groups"),
    ],
)
def test_empty_split(examples: list[Example], message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        split(examples, SPEC)
    assert caught.value.exit_code == 2 and "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------ presplit


def given_splits(**extra: list[Example]) -> dict[Split, list[Example]]:
    """Five clean examples on each side, and what a test plants."""
    sides: tuple[Split, ...] = ("train", "validation", "test")
    return {side: [item(f"{side}/{n}") for n in range(5)] + extra.get(side, []) for side in sides}


def test_given_splits_are_kept() -> None:
    splits = presplit(given_splits())
    assert splits.train == tuple(f"train/{n}" for n in range(5)) and splits.leaks == ()
    assert splits.test == tuple(f"test/{n}" for n in range(5))


LEAKY = {
    "train": [item("train/copy", "It is THE same"), item("train/near", LONG), item("train/val", "as in validation")],
    "validation": [item("validation/v", "As in validation."), item("validation/copy", "it is the same")],
    "test": [item("test/copy", "It is the same!"), item("test/near", LONG + " with a tail")],
}


def test_leaks_stop_the_run_with_the_pairs() -> None:
    with pytest.raises(LeakageError) as caught:
        presplit(given_splits(**LEAKY))
    text = str(caught.value)
    assert text.startswith("5 pairs of examples leak between splits: train/copy (train) and ")
    assert "; and 2 more. Write `leakage: {drop: train}` in the task" in text and "\n" not in text
    assert caught.value.exit_code == 2
    assert {(pair.dropped, pair.kept, pair.reason) for pair in caught.value.pairs} == {  # type: ignore[attr-defined]
        ("train/copy", "test/copy", "prompt"),
        ("train/copy", "validation/copy", "prompt"),
        ("validation/copy", "test/copy", "prompt"),
        ("train/val", "validation/v", "prompt"),
        ("train/near", "test/near", "near-duplicate"),
    }


def test_drop_takes_the_training_side() -> None:
    splits = presplit(given_splits(**LEAKY), DROP)
    assert not {"train/copy", "train/near", "train/val"} & set(splits.train)
    assert "validation/copy" not in splits.validation and "validation/v" in splits.validation
    assert len(splits.test) == 7 and len(splits.train) == 5
    # The copy in validation is gone itself, so it is not what train/copy leaks into.
    assert {(leak.dropped, leak.kept) for leak in splits.leaks} == {
        ("train/copy", "test/copy"), ("validation/copy", "test/copy"), ("train/val", "validation/v"),
        ("train/near", "test/near"),
    }  # fmt: skip
    assert presplit({**given_splits(**LEAKY)}, DROP).fingerprint == splits.fingerprint
    clean: dict[Split, list[Example]] = {
        side: [e for e in part if e.id in getattr(splits, side)] for side, part in given_splits(**LEAKY).items()
    }
    assert presplit(clean, DROP).leaks == () and presplit(clean).fingerprint != splits.fingerprint


def test_a_dropped_validation_example_takes_no_train_example_with_it() -> None:
    """A chain: train is near validation, validation near test, train not near test."""
    numbers = [f"long{n}" for n in range(90)]
    chain = [" ".join(numbers[start : start + 60]) for start in (0, 15, 30)]
    extra = {s: [item(f"{s}/x", t)] for s, t in zip(("train", "validation", "test"), chain, strict=True)}
    splits = presplit(given_splits(**extra), DROP)
    assert [(leak.dropped, leak.kept) for leak in splits.leaks] == [("validation/x", "test/x")]
    assert "train/x" in splits.train


def test_allow_keeps_and_records() -> None:
    splits = presplit(given_splits(**LEAKY), LeakageSpec(allow="a demonstration"))
    assert len(splits.train) == 8 and len(splits.leaks) == 5


def test_many_equal_prompts_are_listed_without_their_square() -> None:
    extra = {side: [item(f"{side}/c{n}", "always the same") for n in range(300)] for side in ("train", "test")}
    splits = presplit(given_splits(**extra), DROP)
    assert Counter(leak.dropped_split for leak in splits.leaks)["train"] <= 600
    assert len(splits.train) == 5 and {leak.kept for leak in splits.leaks} == {f"test/c{n}" for n in range(300)}


def test_nothing_left_to_train_on() -> None:
    sides: dict[Split, list[Example]] = {
        side: [item(f"{side}/{n}", f"text {n} of all") for n in range(3)] for side in ("train", "validation", "test")
    }  # type: ignore[misc]
    with pytest.raises(DataError, match=r"^the train split is empty\. All its examples leak into another split"):
        presplit(sides, DROP)
    with pytest.raises(DataError, match=r"^the test split is empty\. Check the test file"):
        presplit({**given_splits(), "test": []})


# ------------------------------------------------------------------------------------- fingerprint and training


def test_fingerprint_covers_content() -> None:
    examples = many(60)
    first = split(examples, SPEC).fingerprint
    assert split(many(60), SPEC).fingerprint == first
    for change in ({"references": ("other",)}, {"fields": {"python": "3.12"}}, {"system": "s"}):
        changed = [replace(examples[0], **change), *examples[1:]]  # type: ignore[arg-type]
        assert split(changed, SPEC).fingerprint != first
    assert split(many(61), SPEC).fingerprint != first


def test_a_trainer_sees_neither_test_examples_nor_their_pairs() -> None:
    examples = many(100)
    source = source_of(examples, [PreferencePair(e.id, "good", "bad") for e in examples])
    divided = split_source(source, SPEC)
    splits, data = divided.splits, divided.training
    assert [e.id for e in data.train] == list(splits.train)
    assert [e.id for e in data.validation] == list(splits.validation)
    assert {pair.example for pair in data.pairs} == set(splits.train)
    assert {pair.example for pair in divided.heldout_pairs} == set(splits.test)
    assert [e.id for e in divided.sealed] == list(splits.test)


def test_held_out_pairs_without_any_in_test() -> None:
    examples = [item(f"e{n}", group=f"g{n // 2}") for n in range(400)]
    splits = split(examples, SPEC)
    sides = side_of(splits)
    pairs = [PreferencePair(e.id, "good", "bad") for e in examples if sides[e.id] != "test"]
    source = source_of(examples, pairs)
    assert {pair.example for pair in divide(source, splits).heldout_pairs} == set(splits.validation)
    source = source_of(examples, [pair for pair in pairs if sides[pair.example] == "train"])
    divided = divide(source, splits)
    held, kept = divided.heldout_pairs, divided.training.pairs
    assert len(held) + len(kept) == len(splits.train) and len(held) == pytest.approx(len(splits.train) / 10, abs=2)
    group = {e.id: e.group for e in examples}
    assert not {group[pair.example] for pair in held} & {group[pair.example] for pair in kept}
    assert divide(source_of(examples), splits).heldout_pairs == ()


@settings(deadline=None)
@given(st.lists(st.integers(0, 12), min_size=1, max_size=60), st.floats(0.01, 1), st.floats(0.01, 1))
def test_shares_of_the_train_split_are_nested_and_hold_whole_groups(groups: list[int], one: float, two: float) -> None:
    train = tuple(Example(f"e{n}", f"g{group}", ("a",), prompt=f"p{n}") for n, group in enumerate(groups))
    data = TrainingData(train, train[:1], tuple(PreferencePair(example.id, "a", "b") for example in train))
    less, more = (training_share(data, share) for share in sorted((one, two)))
    assert {example.id for example in less.train} <= {example.id for example in more.train}
    assert less.validation == data.validation
    for share, part in zip(sorted((one, two)), (less, more), strict=True):
        sizes = Counter(example.group for example in train)
        kept = {example.group for example in part.train}
        assert len(part.train) == sum(sizes[group] for group in kept)
        assert share * len(train) <= len(part.train) < share * len(train) + max(sizes.values())
        assert [pair.example for pair in part.pairs] == [example.id for example in part.train]
    assert training_share(data, 1.0) is data
