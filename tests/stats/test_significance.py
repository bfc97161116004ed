"""The permutation test of binary scores, Holm, and sacrebleu's paired bootstrap with the same resample indices."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from scipy import stats as reference

from harness import stats
from harness.metrics import METRICS
from harness.metrics.text import bleu_statistics
from harness.stats.bootstrap import weights
from harness.stats.clusters import statistic_sums

PAIRS = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=12)
SEED, RESAMPLES = 12345, 300
"""The seed that sacrebleu uses unless its environment variable says otherwise."""


@given(PAIRS)
@settings(max_examples=60, deadline=None)
def test_of_right_and_wrong_the_sign_flip_test_is_mcnemars(pairs):
    """Exact: the binomial test of the examples on which only one side is right."""
    a, b = np.array(pairs, dtype=float).T
    only_a, only_b = int((a > b).sum()), int((b > a).sum())
    expected = reference.binomtest(only_a, only_a + only_b).pvalue if only_a + only_b else 1.0
    assert stats.sign_flip_p_value(a - b, None, np.random.default_rng(0)) == pytest.approx(expected, rel=1e-9)


@given(st.lists(st.floats(0, 1), min_size=0, max_size=12))
def test_holm_is_the_step_down_definition(p_values):
    ours = stats.holm(p_values)
    order = np.argsort(p_values, kind="stable")
    running = 0.0
    for rank, index in enumerate(order):
        running = max(running, min(1.0, p_values[index] * (len(p_values) - rank)))
        assert ours[index] == pytest.approx(running)
        assert ours[index] >= p_values[index]


def test_holm_equals_statsmodels():
    from statsmodels.stats.multitest import multipletests

    p_values = [0.01, 0.04, 0.03, 0.005, 0.5]
    assert stats.holm(p_values) == pytest.approx(multipletests(p_values, method="holm")[1].tolist())


def test_holm_never_puts_a_larger_p_value_below_a_smaller_one():
    assert stats.holm([0.01, 0.011]) == pytest.approx([0.02, 0.02])
    assert stats.holm([0.04, 0.02, 0.021]) == pytest.approx([0.06, 0.06, 0.06])


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


def corpus_draws(statistics, combine, indices):
    """Corpus values [resamples, systems] of the examples drawn."""
    _, sums = statistic_sums(statistics, None)
    return np.concatenate([combine(np.tensordot(part, sums, axes=1)) for part in weights(sums, indices, len(indices))])


def paired_bootstrap_p_value(draws_a, draws_b, difference):
    """Of sacrebleu's paired bootstrap (Koehn 2004), from draws [resamples] of the same resamples."""
    absolute = np.abs(draws_a - draws_b)
    return (1 + int((absolute - absolute.mean() > abs(difference)).sum())) / (1 + len(absolute))


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
    return scores["BLEU"], corpus_draws(statistics, combine, indices), combine(statistics.sum(axis=1))


def agree(theirs, draws, values, tolerance):
    for result, drawn, value in zip(theirs, draws.T, values, strict=True):
        ordered, cut = np.sort(drawn), RESAMPLES // 40
        assert value == pytest.approx(result.score, abs=1e-9)
        assert drawn.mean() == pytest.approx(result.mean, abs=tolerance)
        assert (ordered[-cut - 1] - ordered[cut]) / 2 == pytest.approx(result.ci, abs=tolerance)
    ours = paired_bootstrap_p_value(draws[:, 1], draws[:, 0], theirs[1].score - theirs[0].score)
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
    assert corpus_draws(statistics, combine, indices)[:, 0] == pytest.approx(theirs, abs=1e-9)


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
