"""Near-duplicates: exact similarities, planted copies, silence on unrelated texts, and speed."""

from __future__ import annotations

import itertools
import random
import time

import pytest
from hypothesis import given, settings, strategies as st

from harness.data import near_duplicates
from harness.data.near_duplicates import MIN_WORDS, SHINGLE, THRESHOLD, near_texts, normalise, same_texts, words

VOCABULARY = [f"w{n}" for n in range(3000)]


def text(rng: random.Random, length: int) -> str:
    return " ".join(rng.choices(VOCABULARY, k=length))


def replaced(rng: random.Random, original: str, share: float) -> str:
    """`original` with each word replaced by another with probability `share`."""
    return " ".join(rng.choice(VOCABULARY) if rng.random() < share else word for word in original.split())


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("What is it?", "  what IS   it "),
        ("ﬁne, isn't it", "fine isn t it"),
        ("…!", " … !"),
        ("日本語 です", "日本語です。"),
    ],
)
def test_normalised_alike(one: str, other: str) -> None:
    assert normalise(one) == normalise(other) != ""


@pytest.mark.parametrize(("one", "other"), [("3 + 4", "3 * 4"), ("a", "b"), ("?", "!"), ("no", "no no")])
def test_normalised_apart(one: str, other: str) -> None:
    assert normalise(one) != normalise(other)


@given(st.text(max_size=60))
def test_normalise_is_idempotent_and_ignores_case_of_ascii(given_text: str) -> None:
    once = normalise(given_text)
    assert words(once) == words(given_text) or not words(given_text)
    assert normalise(" ".join(words(given_text))) == once or not words(given_text)


def test_same_texts_in_order() -> None:
    assert same_texts(["b", "A!", "a", "B.", "c"]) == [[0, 3], [1, 2], [4]]


def test_similarity_is_the_exact_jaccard() -> None:
    rng = random.Random(1)
    first = text(rng, 60)
    second = replaced(rng, first, 0.05)
    sets = [{tuple(t.split()[n : n + SHINGLE]) for n in range(60 - SHINGLE + 1)} for t in (first, second)]
    expected = len(sets[0] & sets[1]) / len(sets[0] | sets[1])
    assert expected >= THRESHOLD
    pairs = near_texts([first, text(rng, 60), second])
    assert [(pair.first, pair.second) for pair in pairs] == [(0, 2)]
    assert pairs[0].similarity == pytest.approx(expected, abs=1e-12)


def test_planted_copies_are_found_and_nothing_else() -> None:
    rng = random.Random(2)
    originals = [text(rng, rng.randrange(51, 300)) for _ in range(300)]
    copies = [replaced(rng, original, 0.05) for original in originals]
    found = {(pair.first, pair.second) for pair in near_texts([*originals, *copies])}
    planted = {(n, n + 300) for n in range(300)}
    assert len(planted - found) <= 3 and found <= planted


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_agrees_with_all_pairs(kinds: list[int], rng: random.Random) -> None:
    """Against the definition, computed for every pair, on texts well above and well below the threshold."""
    base = [" ".join(f"{letter}{n}" for n in range(60)) for letter in "abcd"]
    texts = [f"{base[kind]} tail{position}" for position, kind in enumerate(kinds)]
    rng.shuffle(texts)
    expected = {
        (i, j) for i, j in itertools.combinations(range(len(texts)), 2) if texts[i].split()[0] == texts[j].split()[0]
    }
    if len(texts) >= 3 and len({t.split()[0] for t in texts}) == 1:
        expected = expected or set()
    assert {(pair.first, pair.second) for pair in near_texts(texts)} == expected


def test_short_texts_are_left_to_equality() -> None:
    short = " ".join(VOCABULARY[: MIN_WORDS - 1])
    assert near_texts([short, short + "."]) == []
    enough = " ".join(VOCABULARY[:MIN_WORDS])
    assert len(near_texts([enough, enough + "."])) == 1


def test_a_line_that_all_share_is_boilerplate() -> None:
    rng = random.Random(3)
    instruction = "Read the following text with care and answer in one sentence of at most twenty words please"
    bodies = [text(rng, 25) for _ in range(4)]
    assert near_texts([f"{instruction}\n{body}" for body in bodies]) == []
    assert len(near_texts([f"{instruction}\n{body}" for body in bodies[:2]])) == 0
    copied = [*bodies, bodies[0] + " more"]
    assert [(p.first, p.second) for p in near_texts([f"{instruction}\n{body}" for body in copied])] == [(0, 4)]


def test_five_thousand_texts_of_two_hundred_words_in_time() -> None:
    rng = random.Random(4)
    texts = [text(rng, 200) for _ in range(5000)]
    texts[4000] = replaced(rng, texts[17], 0.05)
    started = time.process_time()
    assert [(pair.first, pair.second) for pair in near_texts(texts)] == [(17, 4000)]
    assert time.process_time() - started < 15


def test_candidates_are_those_of_an_index_of_all_bands() -> None:
    from datasketch import MinHash, MinHashLSH

    rng = random.Random(5)
    vocabulary = [f"word{number}" for number in range(300)]
    texts = [" ".join(rng.choice(vocabulary) for _ in range(40)) for _ in range(30)]
    for text in list(texts):
        for share in (0.03, 0.1, 0.2):
            texts.append(" ".join(rng.choice(vocabulary) if rng.random() < share else w for w in text.split()))
    shingles = near_duplicates._shingle_sets(texts)
    index = MinHashLSH(
        num_perm=near_duplicates.BANDS * near_duplicates.ROWS, params=(near_duplicates.BANDS, near_duplicates.ROWS)
    )
    expected = set()
    for position, found in enumerate(shingles):
        sketch = MinHash(num_perm=near_duplicates.BANDS * near_duplicates.ROWS, seed=1, hashfunc=int)
        sketch.update_batch(found.tolist())
        expected |= {(earlier, position) for earlier in index.query(sketch)}
        index.insert(position, sketch)
    assert len(expected) > 30
    assert near_duplicates._candidates(shingles) == expected
