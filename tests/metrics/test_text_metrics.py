"""ROUGE, BLEU and chrF equal rouge-score and sacrebleu to 1e-9, by item and aggregated from statistics."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from rouge_score import rouge_scorer
from sacrebleu.metrics.bleu import BLEU
from sacrebleu.metrics.chrf import CHRF

from harness.metrics import METRICS, Answer, Measured, text

KINDS = {"rouge_1": "rouge1", "rouge_2": "rouge2", "rouge_l": "rougeL"}
SIZES = [1, 3, 17, 120]


def measure(name: str, hypothesis: str, references: list[str]) -> Measured:
    result = METRICS[name].score(Answer(hypothesis, tuple(references), None, "stop"))
    assert result is not None
    return result


@pytest.mark.parametrize("name", KINDS)
def test_rouge_equals_rouge_score(name, corpus):
    scorer = rouge_scorer.RougeScorer([KINDS[name]])
    for hypothesis, references in corpus:
        expected = max(scorer.score(reference, hypothesis)[KINDS[name]].fmeasure for reference in references)
        assert measure(name, hypothesis, references).value == pytest.approx(expected, abs=1e-9)


def padded(references: list[list[str]]) -> list[list[str | None]]:
    """sacrebleu's layout: one stream for each reference number, None where an item has fewer."""
    return [[row[i] if i < len(row) else None for row in references] for i in range(max(map(len, references)))]


@pytest.mark.parametrize(("name", "reference"), [("bleu", BLEU()), ("chrf", CHRF())])
@pytest.mark.parametrize("size", SIZES)
def test_corpus_value_from_statistics_equals_sacrebleu(name, reference, size, corpus):
    for start in range(0, 120 - size + 1, max(1, size)):
        part = corpus[start : start + size]
        statistics = [measure(name, hypothesis, references).statistics for hypothesis, references in part]
        ours = float(METRICS[name].combine(np.sum(statistics, axis=0)))
        theirs = reference.corpus_score([pair[0] for pair in part], padded([pair[1] for pair in part])).score
        assert ours == pytest.approx(theirs, abs=1e-9)


@pytest.mark.parametrize(("name", "reference"), [("bleu", BLEU(effective_order=True)), ("chrf", CHRF())])
def test_item_value_equals_sacrebleu_sentence_score(name, reference, corpus):
    for hypothesis, references in corpus:
        expected = reference.sentence_score(hypothesis, references).score
        assert measure(name, hypothesis, references).value == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("name", ["bleu", "chrf"])
def test_combine_is_vectorised_and_free_of_warnings(name, corpus):
    statistics = np.array([measure(name, hypothesis, references).statistics for hypothesis, references in corpus])
    together = METRICS[name].combine(statistics.reshape(4, 30, -1))
    one_by_one = [float(METRICS[name].combine(row)) for row in statistics]
    assert together.shape == (4, 30)
    np.testing.assert_allclose(together.ravel(), one_by_one, atol=1e-12)
    assert np.isfinite(together).all()


def test_exact_match_ignores_white_space_at_the_ends_only():
    assert text.exact_match(" a b\n", ["x", "a b"]) == 1.0
    assert text.exact_match("a  b", ["a b"]) == 0.0
    assert text.exact_match("A b", ["a b"]) == 0.0


WORDY = st.lists(st.from_regex(r"[a-z0-9]{1,8}", fullmatch=True), min_size=4, max_size=20).map(" ".join)


@given(WORDY)
@settings(max_examples=60, deadline=None)
def test_identical_text_gets_the_maximum(sentence):
    for name in ("rouge_1", "rouge_2", "rouge_l", "bleu", "chrf", "exact_match"):
        top = METRICS[name].bounds[1]
        assert measure(name, sentence, ["something else", sentence]).value == pytest.approx(top)


@given(st.lists(st.tuples(st.text(max_size=40), st.text(max_size=40)), min_size=1, max_size=12), st.randoms())
@settings(max_examples=60, deadline=None)
def test_order_of_items_is_irrelevant_and_values_stay_in_bounds(pairs, random):
    shuffled = list(pairs)
    random.shuffle(shuffled)
    for name in ("bleu", "chrf"):
        values = []
        for order in (pairs, shuffled):
            statistics = [measure(name, hypothesis, [reference]).statistics for hypothesis, reference in order]
            values.append(float(METRICS[name].combine(np.sum(statistics, axis=0))))
        assert values[0] == values[1]
        assert 0.0 <= values[0] <= 100.0 + 1e-9
    for name in ("rouge_1", "rouge_2", "rouge_l"):
        for hypothesis, reference in pairs:
            assert 0.0 <= measure(name, hypothesis, [reference]).value <= 1.0
