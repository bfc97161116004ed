"""Metrics of a generated text against one or more references.

ROUGE and BLEU are computed by rouge-score and sacrebleu themselves; chrF's sufficient statistics are counted with
sacrebleu's own n-gram helper, because its public result does not carry them. Golden tests hold all three to 1e-9.

Corpus metrics are handled through sufficient statistics: one tuple of counts an item, summed over items, turned into
the corpus value by a `combine_*` function over arrays of shape [..., k], so that thousands of bootstrap resamples are
one call.
"""

from __future__ import annotations

import collections
import functools
import string
import unicodedata
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BLEU_ORDER = 4
CHRF_ORDER = 6
CHRF_BETA = 2


class _Words:
    """Tokens of rouge-score for every script: runs of letters, marks and digits in lower case, or each of them."""

    def __init__(self, characters: bool) -> None:
        self._characters = characters

    def tokenize(self, text: str) -> list[str]:
        tokens = [""]
        for character in text.lower():
            kept = unicodedata.category(character)[0] in "LMN"
            if not kept or (self._characters and unicodedata.category(character)[0] != "M"):
                tokens.append("")
            tokens[-1] += character if kept else ""
        return [token for token in tokens if token]


@functools.cache
def _rouge_scorer(kind: str, options: frozenset[str]) -> Any:
    from rouge_score import rouge_scorer

    tokenizer = _Words("characters" in options) if options & {"words", "characters"} else None
    return rouge_scorer.RougeScorer([kind], use_stemmer="stemmer" in options, tokenizer=tokenizer)


@functools.cache
def _sentence_bleu(tokenizer: str) -> Any:
    from sacrebleu.metrics.bleu import BLEU

    # effective_order only changes the value of a single sentence, not its counts.
    return BLEU(effective_order=True, tokenize=tokenizer)


def rouge(kind: str, text: str, references: Sequence[str], options: frozenset[str] = frozenset()) -> float:
    """ROUGE F1 in [0, 1] of `kind` (`rouge1`, `rouge2`, `rougeL`, `rougeLsum`), by default the best over the references
    (Lin 2004).

    Reference implementation: rouge-score with its default tokenizer (lower case, ASCII letters and digits), no
    stemming. Text without such characters has no tokens and scores 0, also against itself. Options: `stemmer` (of
    rouge-score), `mean` over the references, and for other scripts `words` or `characters` as tokens.
    """
    scorer = _rouge_scorer(kind, options - {"mean"})
    if "mean" in options:
        return sum(float(scorer.score(reference, text)[kind].fmeasure) for reference in references) / len(references)
    return float(scorer.score_multi(list(references), text)[kind].fmeasure)


def f1(text: str, references: Sequence[str]) -> float:
    """F1 in [0, 1] of the words of two short answers, the best over the references (SQuAD, Rajpurkar et al. 2016).

    Words as the task's own script has them: lower case, without ASCII punctuation and the articles a, an, the.
    """
    given = collections.Counter(_squad_words(text))
    best = 0.0
    for reference in references:
        right = collections.Counter(_squad_words(reference))
        common = sum((given & right).values())
        if not given or not right:
            best = max(best, float(given == right))
        elif common:
            best = max(best, 2 * common / (given.total() + right.total()))
    return best


def _squad_words(text: str) -> list[str]:
    bare = "".join(character for character in text.lower() if character not in string.punctuation)
    return [word for word in bare.split() if word not in ("a", "an", "the")]


def accuracy(text: str, references: Sequence[str]) -> float:
    """1.0 when the text is a reference but for case, white space and punctuation at its ends, else 0.0."""
    return float(_label(text) in map(_label, references))


def _label(text: str) -> str:
    return " ".join(text.strip(string.whitespace + string.punctuation).casefold().split())


def exact_match(text: str, references: Sequence[str]) -> float:
    """1.0 when the text equals a reference after stripping white space at both ends, else 0.0."""
    return float(text.strip() in {reference.strip() for reference in references})


def bleu_statistics(text: str, references: Sequence[str], tokenizer: str = "13a") -> tuple[float, ...]:
    """BLEU's counts of one item: hypothesis length, closest reference length, 4 matches, 4 totals (k = 10).

    sacrebleu's defaults: 13a tokenizer, case kept, n-grams up to 4 (Papineni et al. 2002; Post 2018).
    """
    score = _sentence_bleu(tokenizer).sentence_score(text, list(references))
    return tuple(map(float, (score.sys_len, score.ref_len, *score.counts, *score.totals)))


def sentence_bleu(statistics: Sequence[float]) -> float:
    """Sentence BLEU in [0, 100] of one item's counts: effective order, as sacrebleu advises for single sentences."""
    orders = max(1, sum(total > 0 for total in statistics[6:10]))
    return float(_bleu(_array(statistics), orders))


def combine_bleu(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corpus BLEU in [0, 100] of summed counts [..., 10] → [...], with exponential smoothing (sacrebleu's default).

    BLEU = BP · exp(¼ Σ log p_n), p_n = matches / total; the k-th order without a match counts 1 / 2^k of one. It is 0
    without any match, or when the texts are too short to hold a 4-gram.
    """
    return _bleu(_array(statistics), BLEU_ORDER)


def _bleu(statistics: NDArray[np.float64], orders: int) -> NDArray[np.float64]:
    import numpy as np

    length, reference_length = statistics[..., 0], statistics[..., 1]
    matches, totals = statistics[..., 2 : 2 + orders], statistics[..., 6 : 6 + orders]
    defined = (matches > 0).any(axis=-1) & (totals > 0).all(axis=-1)
    missed = matches == 0
    smoothed = np.where(missed, 0.5 ** np.cumsum(missed, axis=-1), matches)
    logs = np.log(smoothed / np.where(totals > 0, totals, 1.0)).mean(axis=-1)
    brevity = np.minimum(0.0, 1.0 - reference_length / np.where(length > 0, length, 1.0))
    value: NDArray[np.float64] = np.where(defined, 100.0 * np.exp(logs + brevity), 0.0)
    return value


def chrf_statistics(text: str, references: Sequence[str]) -> tuple[float, ...]:
    """chrF's counts of one item: for each of 6 orders the hypothesis', the reference's and the common n-grams (k = 18).

    White space is left out; of several references the one with the best F score counts (Popović 2015; sacrebleu).
    """
    from sacrebleu.metrics.helpers import extract_all_char_ngrams

    hypothesis = extract_all_char_ngrams(text, CHRF_ORDER, False)
    candidates = []
    for reference in references:
        counts: list[float] = []
        for ours, theirs in zip(hypothesis, extract_all_char_ngrams(reference, CHRF_ORDER, False), strict=True):
            common = sum(min(count, theirs[gram]) for gram, count in ours.items() if gram in theirs)
            # An order that the reference is too short for is not held against the hypothesis.
            counts += [float(sum(ours.values())) if theirs else 0.0, float(sum(theirs.values())), float(common)]
        candidates.append(tuple(counts))
    values = [float(combine_chrf(_array(candidate))) for candidate in candidates]
    return candidates[values.index(max(values))]


def combine_chrf(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corpus chrF2 in [0, 100] of summed counts [..., 18] → [...].

    F_β with β = 2 of the mean precision and the mean recall over the orders that both sides have (sacrebleu's
    effective order, no epsilon smoothing).
    """
    import numpy as np

    counts = _array(statistics)
    ours, theirs, common = counts[..., 0::3], counts[..., 1::3], counts[..., 2::3]
    used = (ours > 0) & (theirs > 0)
    orders = np.maximum(used.sum(axis=-1), 1)
    precision = np.where(used, common / np.where(ours > 0, ours, 1.0), 0.0).sum(axis=-1) / orders
    recall = np.where(used, common / np.where(theirs > 0, theirs, 1.0), 0.0).sum(axis=-1) / orders
    factor = float(CHRF_BETA**2)
    below = factor * precision + recall
    value: NDArray[np.float64] = 100.0 * (1 + factor) * precision * recall / np.where(below > 0, below, 1.0)
    return value


def _array(values: Any) -> NDArray[np.float64]:
    import numpy as np

    return np.asarray(values, dtype=np.float64)
