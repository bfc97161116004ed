"""Real data with both traps: every file counts its ids from 0, and a few short dialogues stand in two files."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.data.examples import read_examples
from harness.data.near_duplicates import near_texts, normalise, words
from harness.data.splits import split_source
from harness.errors import LeakageError
from harness.experiments.loading.check import check
from harness.experiments.loading.load import load_task

DATA = Path(__file__).parents[2].parent / "shared" / "data" / "mts_dialog"
pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="shared/data/mts_dialog lies not beside the repository")

TASK = """\
# Notes from dialogues.  Check it: harness check mts.yaml
name: mts
data:
  files:
    train: {data}/MTS-Dialog-TrainingSet.csv
    validation: {data}/MTS-Dialog-ValidationSet.csv
    test: {data}/MTS-Dialog-TestSet-1-MEDIQA-Chat-2023.csv
  licence: CC-BY-4.0
id: ID
prompt: "Write the section {{{{ section_header }}}} of the note.\\n\\n{{{{ dialogue }}}}\\n\\nNote:"
target: "{{{{ section_text }}}}"
metrics: {{primary: rouge_l}}
"""


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    def make(more: str = "") -> Path:
        (tmp_path / "mts.yaml").write_text(TASK.format(data=DATA) + more)
        return tmp_path / "mts.yaml"

    return make


def test_leaks_stop_the_run(write: Callable[[str], Path]) -> None:
    task, folder = load_task(write(""))
    source = read_examples(task, folder)
    assert len(source.examples) == 1501
    with pytest.raises(
        LeakageError, match=r"pairs of examples leak between splits: train/\d+ \(train\) and "
    ) as caught:
        split_source(source, task.splits, task.leakage)
    assert 3 <= len(caught.value.pairs) <= 30
    assert "leakage: {drop: train}" in str(caught.value)


def test_leaks_are_dropped_and_listed(write: Callable[[str], Path]) -> None:
    path = write("leakage: {drop: train}\n")
    task, folder = load_task(path)
    source = read_examples(task, folder)
    splits = split_source(source, task.splits, task.leakage).splits
    dropped = {leak.dropped for leak in splits.leaks}
    assert len(splits.test) == 200 and 3 <= len(dropped) <= 30
    assert len(splits.train) + len(splits.validation) + len(dropped) == 1301
    texts = {name: normalise(source.texts[name]) for name in (*splits.train, *splits.test)}
    assert not {texts[name] for name in splits.train} & {texts[name] for name in splits.test}
    assert f"{len(splits.leaks)} leaking pairs dropped" in check(path)[0]


def test_planted_copies_are_found_and_untouched_dialogues_are_not(write: Callable[[str], Path]) -> None:
    """Copies of dialogues of more than 50 words with one word in twenty replaced: at least 99 % found. Untouched
    dialogues with a near-duplicate elsewhere: at most 1 %."""
    source = read_examples(*load_task(write("")))
    texts = list(source.texts.values())
    untouched = {n for pair in near_texts(texts) for n in (pair.first, pair.second)}
    assert len(untouched) <= 0.01 * len(texts)
    rng = random.Random(1)
    vocabulary = sorted({word for text in texts for word in words(text)})
    long = [n for n, text in enumerate(texts) if len(words(text)) > 50][:400]
    copies = [
        " ".join(rng.choice(vocabulary) if rng.random() < 0.05 else word for word in texts[n].split()) for n in long
    ]
    found = {(pair.first, pair.second) for pair in near_texts([*texts, *copies])}
    hits = sum((n, len(texts) + position) in found for position, n in enumerate(long))
    assert hits >= 0.99 * len(long)
