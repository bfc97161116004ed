"""Finds texts that are the same or nearly the same: equal after normalisation, or near-duplicates by MinHash.

Near-duplicates are pairs whose sets of three-word shingles have a Jaccard similarity of at least `THRESHOLD`. MinHash
with locality-sensitive hashing (Broder 1997; Indyk and Motwani 1998; the `datasketch` library) proposes candidates, and
the exact similarity of each decides, so hashing causes no false alarm and misses a pair at the threshold with a
probability of 1 - (1 - 0.5^4)^100 = 0.2 %.

Shingle length and threshold were chosen on 1,701 doctor-patient dialogues. Of 720 copies of dialogues of more than 50
words, each word replaced with a chance of one in twenty, 719 are found (all 720 where every twentieth is replaced). Of
the untouched dialogues 0.65 % have a partner: short ones that do say the same.
"""

from __future__ import annotations

import hashlib
import itertools
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SHINGLE = 3
"""Words in a shingle."""
THRESHOLD = 0.5
"""Least Jaccard similarity of near-duplicates."""
MIN_WORDS = 20
"""Shorter texts are compared by equality only: few shingles make chance matches."""
BOILERPLATE_WORDS = 8
"""Least length of a line that can be boilerplate."""
BOILERPLATE_TEXTS = 50
"""A line that stands in so many different texts (or in all of at least three) does not count for similarity."""
BANDS, ROWS = 100, 4
"""Bands of the locality-sensitive hash, and MinHash values in each."""

_MULTIPLIER = 0x9E3779B97F4A7C15  # odd: 2^64 over the golden ratio

# Scripts without spaces between words (Thai and Lao, kana, Han) count a character as a word. Signs that change the
# meaning of a formula are words too; other punctuation is dropped.
_UNSPACED = "\u0e00-\u0eff\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W{_UNSPACED}]+|[+*/=<>%^|~]")


@dataclass(frozen=True, slots=True)
class TextPair:
    """Positions of two texts (`first` < `second`), their similarity, and how it was found."""

    first: int
    second: int
    similarity: float
    reason: Literal["prompt", "near-duplicate"]


def words(text: str) -> list[str]:
    """Words of `text` without case, punctuation and compatibility differences (Unicode NFKC)."""
    return _WORD.findall(unicodedata.normalize("NFKC", text).casefold())


def normalise(text: str) -> str:
    """`text` reduced to its words; a text without words is reduced to its characters without white space."""
    return " ".join(words(text)) or "".join(text.split())


def same_texts(texts: Sequence[str]) -> list[list[int]]:
    """Positions of texts that are equal once normalised, in order of first appearance; single ones included."""
    classes: dict[str, list[int]] = defaultdict(list)
    for position, text in enumerate(texts):
        classes[normalise(text)].append(position)
    return list(classes.values())


def near_texts(texts: Sequence[str]) -> list[TextPair]:
    """Every pair of near-duplicates among `texts`, sorted by position. Give texts that differ once normalised."""
    import numpy as np

    shingles = _shingle_sets(texts)
    pairs = []
    for first, second in _candidates(shingles):
        a, b = shingles[first], shingles[second]
        if min(len(a), len(b)) < THRESHOLD * max(len(a), len(b)):
            continue
        shared = len(np.intersect1d(a, b, assume_unique=True))
        similarity = shared / (len(a) + len(b) - shared)
        if similarity >= THRESHOLD:
            pairs.append(TextPair(first, second, similarity, "near-duplicate"))
    return sorted(pairs, key=lambda pair: (pair.first, pair.second))


def _shingle_sets(texts: Sequence[str]) -> list[NDArray[np.uint32]]:
    """Distinct 32-bit hashes of each text's shingles, boilerplate lines left out; none for a text that is too short."""
    import numpy as np

    interned: dict[str, str] = {}  # a word is kept once, however many texts hold it
    lines = [
        [tuple(interned.setdefault(word, word) for word in words(line)) for line in text.splitlines()] for text in texts
    ]
    boilerplate = _boilerplate(lines)
    codes: dict[str, int] = {}
    sets = []
    for text_lines in lines:
        kept = [word for line in text_lines if line not in boilerplate for word in line]
        if len(kept) < MIN_WORDS:
            sets.append(np.zeros(0, dtype=np.uint32))
            continue
        for word in kept:
            if word not in codes:
                codes[word] = _code(word)
        row = np.array([codes[word] for word in kept], dtype=np.uint64)
        # A polynomial hash over 2^64, of which the well-mixed upper half is kept; overflow is meant.
        mixed = np.zeros(len(row) - SHINGLE + 1, dtype=np.uint64)
        for offset in range(SHINGLE):
            mixed = mixed * np.uint64(_MULTIPLIER) + row[offset : len(row) - SHINGLE + 1 + offset]
        sets.append(np.unique((mixed >> np.uint64(32)).astype(np.uint32)))
    return sets


def _code(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


def _boilerplate(lines: Sequence[Sequence[tuple[str, ...]]]) -> frozenset[tuple[str, ...]]:
    counts = Counter(line for text in lines for line in set(text) if len(line) >= BOILERPLATE_WORDS)
    least = min(BOILERPLATE_TEXTS, max(len(lines), 3))
    return frozenset(line for line, count in counts.items() if count >= least)


def _candidates(shingles: Sequence[NDArray[np.uint32]]) -> set[tuple[int, int]]:
    """Pairs of positions that share a band of MinHash values.

    Band by band over one table of values (1.6 kB a text): an index of all bands at once takes fifty times as much.
    """
    import numpy as np

    long = [position for position, hashes in enumerate(shingles) if len(hashes)]
    pairs: set[tuple[int, int]] = set()
    if len(long) < 2:
        return pairs
    from datasketch import MinHash

    blank = MinHash(num_perm=BANDS * ROWS, seed=1, hashfunc=int)
    values = np.empty((len(long), BANDS * ROWS), dtype=np.uint32)  # its values have 32 bits
    for row, position in enumerate(long):
        sketch = blank.copy()
        sketch.update_batch(shingles[position].tolist())
        values[row] = sketch.hashvalues
    for band in range(BANDS):
        band_values = np.ascontiguousarray(values[:, band * ROWS : (band + 1) * ROWS])
        order = np.lexsort(band_values.T)
        same = (band_values[order[1:]] == band_values[order[:-1]]).all(axis=1)
        for start in np.flatnonzero(same & ~np.concatenate([[False], same[:-1]])).tolist():
            last = start + 1
            while last < len(same) and same[last]:
                last += 1
            group = sorted(long[row] for row in order[start : last + 1].tolist())
            pairs.update(itertools.combinations(group, 2))
    return pairs
