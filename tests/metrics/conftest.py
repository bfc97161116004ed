"""Varied texts for the golden tests: many scripts, lengths and kinds of overlap, the empty answer included."""

from __future__ import annotations

import random

import pytest

TEXT = """the a patient reports cough fever for three days no allergies takes ibuprofen 200 mg twice daily blood
pressure 120/80 follow-up Monday naïve café Müller Straße 日本語 テスト привет мир 你好 世界 😀 don't e.g. U.S. (left)
[right] x=1; foo_bar() 3.14 1,000 -- … « oui » مرحبا שלום ñandú İstanbul ﬁne"""
WORDS = [*TEXT.split(), "\u200b", "zero\u00a0width"]


def _mutate(rng: random.Random, words: list[str]) -> list[str]:
    words = list(words)
    for _ in range(rng.randrange(0, 6)):
        if words and rng.random() < 0.5:
            del words[rng.randrange(len(words))]
        else:
            words.insert(rng.randrange(len(words) + 1), rng.choice(WORDS))
    if rng.random() < 0.3:
        rng.shuffle(words)
    return words


@pytest.fixture(scope="session")
def corpus() -> list[tuple[str, list[str]]]:
    """120 pairs (hypothesis, 1 to 3 references)."""
    rng = random.Random(7)
    pairs = [("", ["a reference"]), ("  \n", ["x", ""]), ("?!", ["?!"]), ("日本", ["日本"]), ("a b c", ["a b c"])]
    while len(pairs) < 120:
        truth = rng.choices(WORDS, k=rng.randrange(1, 30))
        references = [" ".join(_mutate(rng, truth)) for _ in range(rng.randrange(1, 4))]
        glue = rng.choice([" ", "  ", "\n", "\t"])
        pairs.append((glue.join(_mutate(rng, truth)), references))
    return pairs
