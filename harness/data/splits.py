"""Divides examples into train, validation and test, checks for leaks between them, and holds out what no trainer sees.

Pure: no disk, no random generator. An example's split is decided by SHA-256 of the task's salt and the example's group,
so that adding or removing examples moves no other. Groups that near-duplicates link are joined first and share the
smallest of their hashes: an example moves only when a new near-duplicate joins its group to another, and
`Splits.merged` lists these.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from harness.config import LeakageSpec, SplitsSpec
from harness.data import near_duplicates
from harness.data.near_duplicates import TextPair
from harness.errors import DataError, LeakageError
from harness.records import Example, LeakagePair, PreferencePair, SourceData, Split, Splits, TrainingData, digest
from harness.redaction import named

ORDER: tuple[Split, ...] = ("train", "validation", "test")
"""Which split drops the example in a leak: the earlier of the two."""
HELDOUT_PAIRS = 0.1
"""Share of train pairs kept back where no test or validation example has a pair."""


@dataclass(frozen=True, slots=True)
class Divided:
    """A source that is split: what a trainer may see, and what is sealed for scoring alone."""

    splits: Splits
    training: TrainingData
    """Train and validation examples, and the pairs of train examples that are not held out."""
    sealed: tuple[Example, ...]
    """The test split."""
    heldout_pairs: tuple[PreferencePair, ...]
    """Pairs for measuring preference accuracy: those of test examples, else of validation examples, else a tenth of
    the groups with train pairs (chosen by a hash)."""


def split(
    examples: Sequence[Example],
    spec: SplitsSpec,
    leakage: LeakageSpec | None = None,
    texts: Mapping[str, str] | None = None,
) -> Splits:
    """Assign `examples` to splits by the hash of salt and group, near-duplicates joined first, and check for leaks.

    `texts` (example id → text) is what near-duplicates are looked for in, by default the prompt. Raises DataError when
    a split is empty.
    """
    pairs = _similar(examples, texts)
    groups = _Union(example.group for example in examples)
    for pair in pairs:
        groups.join(examples[pair.first].group, examples[pair.second].group)
    share = {group: _position(spec.salt, group) for group in groups.members}
    canonical = {root: min(share[group] for group in members) for root, members in groups.classes().items()}
    assignment = {example.id: _side(canonical[groups.root(example.group)], spec) for example in examples}
    merged = tuple(sorted(tuple(sorted(members)) for members in groups.classes().values() if len(members) > 1))
    leaks = _group_leaks(examples, assignment) + _leaks(examples, pairs, assignment)
    result = _finish(examples, assignment, leaks, leakage, merged)
    _refuse_empty(result, _emptiness_hint(examples, merged))
    return result


def presplit(
    by_split: Mapping[Split, Sequence[Example]],
    leakage: LeakageSpec | None = None,
    texts: Mapping[str, str] | None = None,
) -> Splits:
    """Keep the splits that the data came in, and check for leaks between them.

    Raises LeakageError for leaks that the task neither drops nor allows, DataError for an empty split.
    """
    examples = [example for side in ORDER for example in by_split.get(side, ())]
    assignment: dict[str, Split] = {example.id: side for side in ORDER for example in by_split.get(side, ())}
    leaks = _leaks(examples, _similar(examples, texts), assignment)
    for side in ORDER:
        if not by_split.get(side):
            raise DataError(f"the {side} split is empty", hint=f"Check the {side} file that the task names")
    result = _finish(examples, assignment, leaks, leakage, ())
    _refuse_empty(result, "All its examples leak into another split: check that the files are not copies")
    return result


def split_source(
    source: SourceData,
    spec: SplitsSpec | None,
    leakage: LeakageSpec | None = None,
    documents: Mapping[str, str] | None = None,
) -> Divided:
    """`presplit` or `split`, as the source came, then `against_documents`; and what each side of the work is handed."""
    if source.by_split is not None:
        splits = presplit(source.by_split, leakage, source.texts)
    else:
        splits = split(source.examples, spec or SplitsSpec(), leakage, source.texts)
    if documents:
        splits = against_documents(splits, source.texts, documents, leakage)
    return divide(source, splits)


def divide(source: SourceData, splits: Splits) -> Divided:
    """The parts of a split source that training and scoring are handed."""
    examples = {example.id: example for example in source.examples}
    train_pairs, heldout_pairs = _divide_pairs(source, splits)
    training = TrainingData(
        train=tuple(examples[name] for name in splits.train),
        validation=tuple(examples[name] for name in splits.validation),
        pairs=train_pairs,
    )
    return Divided(splits, training, tuple(examples[name] for name in splits.test), heldout_pairs)


def against_documents(
    splits: Splits, texts: Mapping[str, str], documents: Mapping[str, str], leakage: LeakageSpec | None
) -> Splits:
    """`splits` checked against `documents` (name → text) that are scored beside the test split, such as lm-eval's.

    A training or validation example that repeats one leaks: it is dropped or allowed as `leakage` says, and recorded.
    Raises LeakageError without a leakage spec.
    """
    sides: dict[str, Split] = {name: "train" for name in splits.train}
    sides.update({name: "validation" for name in splits.validation})
    names = [*sides, *documents]
    every = [texts[name] if name in sides else documents[name] for name in names]
    classes = near_duplicates.same_texts(every)
    matches: list[tuple[int, int, float, Literal["prompt", "near-duplicate"]]] = [
        (a, b, 1.0, "prompt") for group in classes for a in group for b in group if a < b
    ]
    firsts = [group[0] for group in classes]
    near = near_duplicates.near_texts([every[first] for first in firsts])
    for pair in near:
        members = (classes[pair.first], classes[pair.second])
        matches += [(min(a, b), max(a, b), pair.similarity, "near-duplicate") for a in members[0] for b in members[1]]
    leaks = tuple(
        LeakagePair(names[b], "test", names[a], sides[names[a]], reason, similarity)
        for a, b, similarity, reason in sorted(matches)
        if names[a] in sides and names[b] not in sides
    )
    if not leaks:
        return splits
    if leakage is None:
        raise _leak_error(leaks)
    gone = {leak.dropped for leak in leaks} if leakage.drop else set()
    return dataclasses.replace(
        splits,
        train=tuple(name for name in splits.train if name not in gone),
        validation=tuple(name for name in splits.validation if name not in gone),
        leaks=splits.leaks + leaks,
        fingerprint=digest([splits.fingerprint, leaks, leakage]),
    )


def prompt_text(example: Example) -> str:
    """The prompt of an example as one text, without system text."""
    if example.messages is not None:
        return "\n".join(turn.content for turn in example.messages if turn.role != "system")
    return example.prompt or ""


def leak_line(pair: LeakagePair) -> str:
    """One leaking pair in words."""
    return (
        f"{named(pair.dropped)} ({pair.dropped_split}) ~ {named(pair.kept)} ({pair.kept_split}):"
        f" {pair.reason}, similarity {pair.similarity:.2f}"
    )


def training_share(data: TrainingData, share: float) -> TrainingData:
    """`share` of the train examples, whole groups in the order of their hashes until it is reached, and their pairs.

    A smaller share lies within a larger one; validation stays as it is.
    """
    if share >= 1:
        return data
    sizes = Counter(example.group for example in data.train)
    kept, count = set[str](), 0
    for group in sorted(sizes, key=lambda name: _position("training share", name)):
        if count >= share * len(data.train):
            break
        kept.add(group)
        count += sizes[group]
    train = tuple(example for example in data.train if example.group in kept)
    names = {example.id for example in train}
    return TrainingData(train, data.validation, tuple(pair for pair in data.pairs if pair.example in names))


# ---------------------------------------------------------------------------------------------------- assignment


class _Union:
    """Disjoint sets of names."""

    def __init__(self, members: Iterable[str]) -> None:
        self._parent = {member: member for member in members}

    @property
    def members(self) -> Iterable[str]:
        return self._parent.keys()

    def root(self, member: str) -> str:
        while self._parent[member] != member:
            self._parent[member] = self._parent[self._parent[member]]
            member = self._parent[member]
        return member

    def join(self, first: str, second: str) -> None:
        self._parent[self.root(first)] = self.root(second)

    def classes(self) -> dict[str, list[str]]:
        by_root: dict[str, list[str]] = defaultdict(list)
        for member in self._parent:
            by_root[self.root(member)].append(member)
        return by_root


def _position(salt: str, key: str) -> float:
    """A number in [0, 1) from the hash of `salt` and `key`."""
    raw = hashlib.sha256(f"{salt}\0{key}".encode()).digest()[:8]
    return (int.from_bytes(raw, "big") >> 11) / 2**53


def _side(position: float, spec: SplitsSpec) -> Split:
    if position < spec.test:
        return "test"
    return "validation" if position < spec.test + spec.validation else "train"


def _finish(
    examples: Sequence[Example],
    assignment: Mapping[str, Split],
    leaks: Sequence[LeakagePair],
    leakage: LeakageSpec | None,
    merged: tuple[tuple[str, ...], ...],
) -> Splits:
    """Apply the task's word on leaks and take the fingerprint."""
    if leaks and leakage is None:
        raise _leak_error(leaks)
    dropped: set[str] = set()
    if leakage is not None and leakage.drop is not None:
        leaks, dropped = _drop(leaks)
    sides: dict[Split, tuple[str, ...]] = {
        side: tuple(e.id for e in examples if assignment[e.id] == side and e.id not in dropped) for side in ORDER
    }
    contents = {example.id: digest(example) for example in examples if example.id not in dropped}
    fingerprint = digest(
        {
            "splits": {side: [(name, contents[name]) for name in names] for side, names in sides.items()},
            "leaks": [dataclasses.astuple(leak) for leak in leaks],
            "leakage": leakage.model_dump() if leakage else None,
        }
    )
    return Splits(sides["train"], sides["validation"], sides["test"], tuple(leaks), merged, fingerprint)


def _refuse_empty(splits: Splits, hint: str) -> None:
    for side in ORDER:
        if not getattr(splits, side):
            raise DataError(f"the {side} split is empty", hint=hint)


def _emptiness_hint(examples: Sequence[Example], merged: Sequence[Sequence[str]]) -> str:
    groups = len({example.group for example in examples})
    largest = max((len(members) for members in merged), default=0)
    if largest > groups / 2:
        return (
            f"Near-duplicates join {largest} of {groups} groups into one: the data repeats itself too much to be split"
        )
    return f"There are {groups} groups: add data, enlarge the split's share under `splits`, or change its salt"


# --------------------------------------------------------------------------------------------------------- leaks


def _similar(examples: Sequence[Example], texts: Mapping[str, str] | None) -> list[TextPair]:
    """Pairs of examples whose texts are equal once normalised or nearly so.

    Of a class of equal texts each member is paired with the first one, and near-duplicates are looked for among the
    first ones: whoever has a partner appears, without the square of a large class.
    """
    compared = [texts[e.id] if texts is not None else prompt_text(e) for e in examples]
    classes = near_duplicates.same_texts(compared)
    pairs = [TextPair(same[0], other, 1.0, "prompt") for same in classes for other in same[1:]]
    firsts = [same[0] for same in classes]
    for pair in near_duplicates.near_texts([compared[position] for position in firsts]):
        first, second = sorted((firsts[pair.first], firsts[pair.second]))
        pairs.append(TextPair(first, second, pair.similarity, "near-duplicate"))
    return pairs


def _leaks(
    examples: Sequence[Example], pairs: Sequence[TextPair], assignment: Mapping[str, Split]
) -> list[LeakagePair]:
    """Pairs that stand on different sides, the side that is kept first; every offender appears at least once."""
    equal: dict[int, list[int]] = defaultdict(list)
    for pair in pairs:
        if pair.reason == "prompt":
            equal[pair.first].append(pair.second)
    leaks: dict[tuple[str, str], LeakagePair] = {}

    def add(member: int, other: int, pair: TextPair) -> None:
        a, b = examples[member], examples[other]
        low, high = sorted((a, b), key=lambda example: ORDER.index(assignment[example.id]))
        if assignment[low.id] != assignment[high.id]:
            leak = LeakagePair(
                high.id, assignment[high.id], low.id, assignment[low.id], pair.reason, round(pair.similarity, 4)
            )
            leaks.setdefault((high.id, low.id), leak)

    for first, others in equal.items():
        for member, other in _across([first, *others], examples, assignment):
            add(member, other, TextPair(member, other, 1.0, "prompt"))
    for pair in pairs:
        if pair.reason == "near-duplicate":
            for member in (pair.first, *equal.get(pair.first, ())):
                for other in (pair.second, *equal.get(pair.second, ())):
                    add(member, other, pair)
    return list(leaks.values())


def _across(
    members: Sequence[int], examples: Sequence[Example], assignment: Mapping[str, Split]
) -> Iterable[tuple[int, int]]:
    """Pairs of members on different sides: each with the first member of every other side, not all with all."""
    firsts: dict[Split, int] = {}
    for member in members:
        firsts.setdefault(assignment[examples[member].id], member)
    return [
        (member, first)
        for member in members
        for side, first in firsts.items()
        if side != assignment[examples[member].id]
    ]


def _group_leaks(examples: Sequence[Example], assignment: Mapping[str, Split]) -> list[LeakagePair]:
    """Groups on both sides, which assignment by group rules out: a check of that promise."""
    first: dict[str, Example] = {}
    leaks = []
    for example in examples:
        other = first.setdefault(example.group, example)
        if assignment[other.id] != assignment[example.id]:
            low, high = sorted((other, example), key=lambda e: ORDER.index(assignment[e.id]))
            leaks.append(LeakagePair(high.id, assignment[high.id], low.id, assignment[low.id], "group", 1.0))
    return leaks


def _drop(leaks: Sequence[LeakagePair]) -> tuple[list[LeakagePair], set[str]]:
    """Leaks that count, and the ids to drop: what leaks into test goes first, then train against what is left of
    validation (a validation example that is dropped itself takes no train example with it)."""
    dropped = {leak.dropped for leak in leaks if leak.kept_split == "test"}
    kept = [leak for leak in leaks if leak.kept_split == "test" or leak.kept not in dropped]
    return kept, {leak.dropped for leak in kept}


def _leak_error(leaks: Sequence[LeakagePair]) -> LeakageError:
    shown = "; ".join(
        f"{named(leak.dropped)} ({leak.dropped_split}) and {named(leak.kept)} ({leak.kept_split}): "
        + ("same " + leak.reason if leak.reason != "near-duplicate" else f"{leak.similarity:.0%} alike")
        for leak in leaks[:3]
    )
    more = f"; and {len(leaks) - 3} more" if len(leaks) > 3 else ""
    return LeakageError(
        f"{len(leaks)} pair{'s' if len(leaks) > 1 else ''} of examples leak between splits: {shown}{more}",
        pairs=tuple(leaks),
        hint="Write `leakage: {drop: train}` in the task to drop the training side and record it, "
        "or `leakage: {allow: REASON}`",
    )


# --------------------------------------------------------------------------------------------------------- pairs


def _divide_pairs(source: SourceData, splits: Splits) -> tuple[tuple[PreferencePair, ...], tuple[PreferencePair, ...]]:
    """Pairs for training and pairs for measuring."""
    sides: dict[str, Split] = {name: side for side in ORDER for name in getattr(splits, side)}
    by_side: dict[Split | None, list[PreferencePair]] = defaultdict(list)
    for pair in source.pairs:
        by_side[sides.get(pair.example)].append(pair)
    train, heldout = by_side["train"], by_side["test"] or by_side["validation"]
    if heldout:
        return tuple(train), tuple(heldout)
    # Whole groups are kept back: answers to one question must not stand on both sides.
    group = {example.id: example.group for example in source.examples}
    ranked = sorted({group[pair.example] for pair in train}, key=lambda name: _position("held-out pairs", name))
    back = set(ranked[: max(1, round(HELDOUT_PAIRS * len(ranked)))]) if len(ranked) > 1 else set()
    return (
        tuple(pair for pair in train if group[pair.example] not in back),
        tuple(pair for pair in train if group[pair.example] in back),
    )
