"""Planted leakage in real dialogues: is it found, and is anything else taken for it?

    python bench/leakage.py [FOLDER]       default: ../shared/data/mts_dialog beside the repository

Into doctor-patient dialogues (MTS-Dialog, in the splits they came in) copies of dialogues of more than 50 words are
planted, each in another split than its original: exact copies, copies with other capitals and white space, and copies
with one word in twenty replaced (exactly so many; and each word with a chance of one in twenty, which is harder).
The product's own check (`harness.data.splits`) reports at least 99 % of each kind, joined to their originals. What it
reports on the untouched data is listed with what the two texts do not share: the same text in two files is a leak of
the published splits, and every other example reported counts as a false alarm. Two more controls are made-up dialogues
that cannot be copies. Exits with 1 when a bound is missed.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path

from harness.config import LeakageSpec, SplitsSpec
from harness.data.examples import read_examples
from harness.data.near_duplicates import MIN_WORDS, normalise, words
from harness.data.splits import split, split_source
from harness.errors import DataError, HarnessError
from harness.experiments.loading.load import load_task
from harness.records import LeakagePair, SourceData, Split

FOLDER = Path(__file__).resolve().parents[2] / "shared" / "data" / "mts_dialog"
LEAST_FOUND, MOST_FALSE = 0.99, 0.01
LONG = 50
"""Words beyond which a planted copy must be found."""
ROUNDS = 2
"""Draws of every random kind."""
ALLOWED = LeakageSpec(allow="the bench reads the pairs")
TASK = """\
name: mts
data:
  files:
    train: {folder}/MTS-Dialog-TrainingSet.csv
    validation: {folder}/MTS-Dialog-ValidationSet.csv
    test: [{folder}/MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv, {folder}/MTS-Dialog-TestSet-2-MEDIQA-Sum-2023.csv]
  licence: CC-BY-4.0
prompt: "{{{{ dialogue }}}}"
target: "{{{{ section_text }}}}"
metrics: {{primary: rouge_l}}
"""
OTHER: dict[Split, Split] = {"train": "test", "validation": "train", "test": "train"}


@dataclass(frozen=True)
class Data:
    """The dialogues, the split of each, and the words that replacements are drawn from."""

    source: SourceData
    side: dict[str, Split]
    vocabulary: list[str]
    long: list[str]
    """Ids of dialogues of more than LONG words."""


def main() -> int:
    """Print every rate and every reported pair; 1 when a bound is missed."""
    parser = argparse.ArgumentParser(description="planted leakage: found, and false alarms")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER, help="folder of the MTS-Dialog csv files")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    started = time.perf_counter()
    try:
        data = read(options.folder.resolve())
    except HarnessError as error:
        print(error, file=sys.stderr)
        return 2
    sizes = {side: len(rows) for side, rows in (data.source.by_split or {}).items()}
    print(f"{sizes}: {len(data.side)} dialogues, {len(data.long)} of more than {LONG} words\n")
    rng = random.Random(options.seed)
    good = [found(data, kind, change, rng) for kind, change in KINDS.items()]
    good.append(untouched(data))
    good.append(control(data, "lines of many dialogues", mosaic, rng))
    good.append(control(data, "half a dialogue, the other half another's", halves, rng))
    print(f"\n{time.perf_counter() - started:.0f} s")
    print("PASS" if all(good) else "FAIL")
    return 0 if all(good) else 1


def read(folder: Path) -> Data:
    """The dialogues as a task of the product reads them."""
    if not folder.is_dir():
        raise DataError(f"{folder} is no folder", hint="Give the folder of the MTS-Dialog csv files")
    with tempfile.TemporaryDirectory() as place:
        file = Path(place) / "task.yaml"
        file.write_text(TASK.format(folder=folder))
        source = read_examples(*load_task(file))
    assert source.by_split is not None
    side = {example.id: name for name, part in source.by_split.items() for example in part}
    found = {name: words(text) for name, text in source.texts.items()}
    vocabulary = sorted({word for every in found.values() for word in every})
    return Data(source, side, vocabulary, [name for name, every in found.items() if len(every) > LONG])


# -------------------------------------------------------------------------------------------------------- planting


def exact(text: str, data: Data, rng: random.Random) -> str:
    """The same text."""
    return text


def recast(text: str, data: Data, rng: random.Random) -> str:
    """Other capitals, word by word, and other white space."""
    changed = [rng.choice((str.upper, str.lower, str.title, str))(word) for word in text.split()]
    return "".join(word + rng.choice((" ", "  ", "\n", "\t", " \n ", "\u00a0")) for word in changed)


def every_twentieth(text: str, data: Data, rng: random.Random) -> str:
    """One word in twenty replaced by another of the corpus, at random places."""
    parts = text.split()
    for place in rng.sample(range(len(parts)), max(1, round(len(parts) / 20))):
        parts[place] = rng.choice([word for word in rng.sample(data.vocabulary, 2) if word != parts[place].lower()])
    return " ".join(parts)


def by_chance(text: str, data: Data, rng: random.Random) -> str:
    """Each word replaced with a chance of one in twenty."""
    return " ".join(rng.choice(data.vocabulary) if rng.random() < 0.05 else word for word in text.split())


Change = Callable[[str, Data, random.Random], str]
KINDS: dict[str, Change] = {
    "exact copies": exact,
    "case and white space": recast,
    "one word in twenty": every_twentieth,
    "chance of one in twenty": by_chance,
}


def planted(data: Data, copies: dict[str, tuple[str, Split]]) -> SourceData:
    """The data with `copies` (name → text, split) added."""
    first = data.source.examples[0]
    made = {name: replace(first, id=name, group=name, prompt=text) for name, (text, _) in copies.items()}
    assert data.source.by_split is not None
    by_split = {
        side: (*part, *(made[name] for name, (_, where) in copies.items() if where == side))
        for side, part in data.source.by_split.items()
    }
    texts = {**data.source.texts, **{name: text for name, (text, _) in copies.items()}}
    return replace(
        data.source, examples=tuple(e for part in by_split.values() for e in part), by_split=by_split, texts=texts
    )


def found(data: Data, kind: str, change: Change, rng: random.Random) -> bool:
    """Plant copies of every long dialogue and count those that are reported with their original (or its equal)."""
    hits, moved, tries = 0, 0, 0
    missed: list[str] = []
    rounds = 1 if change is exact else ROUNDS
    for number in range(rounds):
        copies = {
            f"copy of {name}": (change(data.source.texts[name], data, rng), OTHER[data.side[name]])
            for name in data.long
        }
        source = planted(data, copies)
        partners: dict[str, set[str]] = {}
        for leak in split_source(source, None, ALLOWED).splits.leaks:
            for one, other in ((leak.kept, leak.dropped), (leak.dropped, leak.kept)):
                partners.setdefault(one, set()).add(normalise(source.texts[other]))
        lost = [name for name in data.long if normalise(source.texts[name]) not in partners.get(f"copy of {name}", ())]
        missed += [f"{name} ({len(words(source.texts[name]))} words)" for name in lost]
        hits, tries = hits + len(data.long) - len(lost), tries + len(data.long)
        moved += separated(source, data.long) if number == 0 else 0
    good = hits >= LEAST_FOUND * tries
    print(f"{kind:<26}found {hits} of {tries} = {hits / tries:.2%} (at least {LEAST_FOUND:.0%}){mark(good)}")
    if missed:
        print(f"    missed: {', '.join(missed[:6])}{' …' if len(missed) > 6 else ''}")
    print(f"    split by the harness itself: {moved} of {len(data.long)} copies on another side than their original")
    return good and moved <= (1 - LEAST_FOUND) * len(data.long)


def separated(source: SourceData, names: Sequence[str]) -> int:
    """Copies that the harness's own splitting puts on another side than their originals."""
    splits = split(source.examples, SplitsSpec(), ALLOWED, source.texts)
    side = {name: part for part in ("train", "validation", "test") for name in getattr(splits, part)}
    return sum(side[name] != side[f"copy of {name}"] for name in names)


# ---------------------------------------------------------------------------------------------------- false alarms


def untouched(data: Data) -> bool:
    """Everything reported on the data as it is; an example counts as a false alarm unless its text stands twice."""
    leaks = split_source(data.source, None, ALLOWED).splits.leaks
    same = {name for leak in leaks if leak.reason == "prompt" for name in (leak.kept, leak.dropped)}
    alike = {name for leak in leaks for name in (leak.kept, leak.dropped)} - same
    share = len(alike) / (len(data.side) - len(same))
    good = share <= MOST_FALSE
    print(f"\nuntouched data: {len(leaks)} pairs between splits")
    print(f"    {len(same)} examples in pairs of the same text, letter case and punctuation aside: leaks as published")
    print(f"    {len(alike)} examples in pairs that are only alike, each counted as a false alarm:")
    print(f"{'false-positive rate':<26}{share:.2%} (at most {MOST_FALSE:.0%}){mark(good)}")
    for number, leak in enumerate(sorted(leaks, key=lambda one: -one.similarity), 1):
        explain(number, leak, data)
    return good


def explain(number: int, leak: LeakagePair, data: Data) -> None:
    """One reported pair: how alike, how long, and what each says that the other does not."""
    a, b = (words(data.source.texts[name]) for name in (leak.kept, leak.dropped))
    sides = f"{leak.dropped_split}/{leak.kept_split}"
    if leak.reason == "prompt":
        print(f"    {number:>2}. {sides}, the same {len(a)} words: {shorten(a)}")
        return
    blocks = SequenceMatcher(None, a, b, autojunk=False).get_opcodes()
    only_a = [word for kind, low, high, _, _ in blocks if kind != "equal" for word in a[low:high]]
    only_b = [word for kind, _, _, low, high in blocks if kind != "equal" for word in b[low:high]]
    print(
        f"    {number:>2}. {sides}, similarity {leak.similarity:.2f}, {len(a)} and {len(b)} words, "
        f"{len(a) - len(only_a)} in common and in order: {shorten(a)}\n"
        f"        only in one: {shorten(only_a) or '-'}   only in the other: {shorten(only_b) or '-'}"
    )


def shorten(found: Sequence[str], limit: int = 18) -> str:
    return " ".join(found[:limit]) + (" …" if len(found) > limit else "")


def mosaic(data: Data, rng: random.Random) -> str:
    """A text of lines of many dialogues, as long as one: each line from another one."""
    wanted = len(words(data.source.texts[rng.choice(data.long)]))
    lines: list[str] = []
    while sum(len(words(line)) for line in lines) < wanted:
        lines.append(rng.choice(data.source.texts[rng.choice(data.long)].splitlines()))
    return "\n".join(lines)


def halves(data: Data, rng: random.Random) -> str:
    """The first half of one dialogue and the second half of another: Jaccard similarity about a third to each."""
    a, b = (data.source.texts[name].split() for name in rng.sample(data.long, 2))
    size = min(len(a), len(b))
    return " ".join(a[: size // 2] + b[len(b) - (size - size // 2) :])


def control(data: Data, kind: str, make: Callable[[Data, random.Random], str], rng: random.Random) -> bool:
    """Texts that are no copies of any dialogue, planted in the test split: how many are reported."""
    made = (make(data, rng) for _ in range(1000))
    texts = dict.fromkeys(text for text in made if len(words(text)) >= MIN_WORDS)
    copies: dict[str, tuple[str, Split]] = {f"made up {n}": (text, "test") for n, text in enumerate(texts)}
    leaks = split_source(planted(data, copies), None, ALLOWED).splits.leaks
    wrong = {name for leak in leaks for name in (leak.kept, leak.dropped) if name in copies}
    share = len(wrong) / len(copies)
    good = share <= MOST_FALSE
    print(f"{kind}: {len(wrong)} of {len(copies)} made-up texts reported = {share:.2%} (at most 1 %){mark(good)}")
    return good


def mark(good: bool) -> str:
    return "" if good else "  MISSED"


if __name__ == "__main__":
    sys.exit(main())
