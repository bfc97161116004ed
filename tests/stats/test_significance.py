"""McNemar's exact test, and sacrebleu's paired bootstrap with the same resample indices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats as reference

from harness import stats
from harness.metrics import METRICS
from harness.metrics.text import bleu_statistics

PAIRS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=60)
SEED, RESAMPLES = 12345, 300
"""The seed that sacrebleu uses unless its environment variable says otherwise."""


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_mcnemar_is_the_binomial_test_of_discordant_pairs(pairs):
    a, b = np.array(pairs, dtype=float).T
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    expected = reference.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert stats.mcnemar_p_value(a, b) == pytest.approx(expected, rel=1e-9)
    assert stats.mcnemar_p_value(b, a) == stats.mcnemar_p_value(a, b)
    assert stats.mcnemar_p_value(a, b, [f"example {index}" for index in range(len(a))]) == pytest.approx(expected)


def test_mcnemar_is_the_sign_flip_test_of_binary_scores():
    a, b = np.array([1, 1, 1, 0, 1, 1, 0, 1, 1]), np.array([0, 0, 1, 1, 0, 0, 0, 0, 1])
    exact = stats.sign_flip_p_value(a - b, None, np.random.default_rng(0))
    assert stats.mcnemar_p_value(a, b) == pytest.approx(exact)


def test_mcnemar_refuses_what_it_is_not_for():
    with pytest.raises(ValueError, match="0 and 1"):
        stats.mcnemar_p_value([0.5, 1.0], [1.0, 0.0])
    with pytest.raises(ValueError, match="independent examples: use sign_flip_p_value"):
        stats.mcnemar_p_value([0, 1], [1, 1], ["p", "p"])
    with pytest.raises(ValueError, match="differ in number: 1 and 2"):
        stats.mcnemar_p_value([0], [1, 1])


def texts() -> tuple[list[str], list[str], list[str]]:
    """References, and two systems that change one word in eight and one in five."""
    generator = np.random.default_rng(2)
    words = [*"abcdefghijklm", "patient", "pain", "fever", "since"]
    references = [" ".join(generator.choice(words, size=generator.integers(5, 25))) for _ in range(40)]

    def changed(text: str, share: float) -> str:
        return " ".join("other" if generator.random() < share else word for word in text.split())

    return references, [changed(text, 1 / 6) for text in references], [changed(text, 1 / 5) for text in references]


class Doubles:
    """numpy as sacrebleu's bootstrap sees it, with its float32 counts in float64."""

    def __getattr__(self, name):
        return getattr(np, name)

    def array(self, values, dtype=None):
        return np.array(values, dtype="float64" if dtype == "float32" else dtype)


def paired_bootstraps(monkeypatch):
    """What sacrebleu's paired bootstrap finds, and our draws [resamples, 2] and values [2] with its indices."""
    from sacrebleu.metrics.bleu import BLEU
    from sacrebleu.significance import PairedTest

    monkeypatch.delenv("SACREBLEU_SEED", raising=False)
    references, baseline, system = texts()
    named = [("baseline", baseline), ("system", system)]
    _, scores = PairedTest(named, {"BLEU": BLEU()}, [references], test_type="bs", n_samples=RESAMPLES)()
    indices = np.random.default_rng(SEED).choice(40, size=(RESAMPLES, 40), replace=True)
    statistics = np.array(
        [
            [bleu_statistics(text, [one]) for text, one in zip(side, references, strict=True)]
            for side in (baseline, system)
        ]
    )
    combine = METRICS["bleu"].combine
    return scores["BLEU"], stats.corpus_draws(statistics, combine, None, indices), combine(statistics.sum(axis=1))


def agree(theirs, draws, values, tolerance):
    for result, drawn, value in zip(theirs, draws.T, values, strict=True):
        ordered, cut = np.sort(drawn), RESAMPLES // 40
        assert value == pytest.approx(result.score, abs=1e-9)
        assert drawn.mean() == pytest.approx(result.mean, abs=tolerance)
        assert (ordered[-cut - 1] - ordered[cut]) / 2 == pytest.approx(result.ci, abs=tolerance)
    ours = stats.paired_bootstrap_p_value(draws[:, 1], draws[:, 0], theirs[1].score - theirs[0].score)
    assert ours == pytest.approx(theirs[1].p_value, abs=1e-9)
    assert 1 / (1 + RESAMPLES) < ours < 1


def test_bleus_paired_bootstrap_is_sacrebleus_given_the_same_indices(monkeypatch):
    from sacrebleu import significance

    monkeypatch.setattr(significance, "np", Doubles())
    agree(*paired_bootstraps(monkeypatch), tolerance=1e-9)


def test_sacrebleu_as_it_is_rounds_its_resamples_to_single_precision(monkeypatch):
    theirs, draws, values = paired_bootstraps(monkeypatch)
    agree(theirs, draws, values, tolerance=1e-5)
    assert abs(draws[:, 0].mean() - theirs[0].mean) > 1e-9


def test_every_resample_of_bleu_is_sacrebleus():
    from sacrebleu.metrics.bleu import BLEU

    references, baseline, _ = texts()
    metric, combine = BLEU(), METRICS["bleu"].combine
    counts = np.array(metric._extract_corpus_statistics(baseline, [references]))
    indices = np.random.default_rng(SEED).choice(40, size=(50, 40), replace=True)
    theirs = [metric._compute_score_from_stats(rows.sum(0).tolist()).score for rows in counts[indices]]
    statistics = [bleu_statistics(text, [one]) for text, one in zip(baseline, references, strict=True)]
    assert stats.corpus_draws(statistics, combine, None, indices)[:, 0] == pytest.approx(theirs, abs=1e-9)


def test_given_indices_make_the_bootstrap_interval_repeatable():
    statistics = np.stack([np.random.default_rng(0).normal(size=30), np.ones(30)], axis=1)

    def ratio(totals):
        return totals[..., 0] / totals[..., 1]

    indices = np.random.default_rng(1).integers(30, size=(500, 30))
    one = stats.corpus_estimate(statistics, ratio, None, indices)
    assert one == stats.corpus_estimate(statistics, ratio, None, indices)
    assert "500 resamples" in one.method
    turned = stats.corpus_estimate(statistics[::-1], ratio, None, 29 - indices)
    assert (turned.value, turned.low, turned.high) == pytest.approx((one.value, one.low, one.high))
    with pytest.raises(ValueError, match="drawn clusters"):
        stats.corpus_estimate(statistics, ratio, None, indices + 1)
