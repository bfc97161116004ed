"""The evaluate.Metric classes work without a hub and give the leaderboard's values."""

from __future__ import annotations

import numpy as np
import pytest


@pytest.fixture(scope="module")
def classes(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("HF_HUB_OFFLINE", "1")
    from harness.metrics import evaluate_metrics

    yield evaluate_metrics
    patch.undo()


def test_combined_values_equal_the_leaderboards(classes, corpus, tmp_path):
    import evaluate

    from harness.metrics import METRICS, Answer

    kinds = [classes.Rouge1, classes.Rouge2, classes.RougeL, classes.Bleu, classes.Chrf, classes.ExactMatch]
    together = evaluate.combine([kind(cache_dir=str(tmp_path)) for kind in kinds])
    result = together.compute(predictions=[pair[0] for pair in corpus], references=[pair[1] for pair in corpus])
    assert set(result) == {kind.harness_name for kind in kinds}
    for name, value in result.items():
        known = METRICS[name]
        measured = [known.score(Answer(text, tuple(references), None, "stop")) for text, references in corpus]
        if known.combine is None:
            expected = np.mean([one.value for one in measured])
        else:
            expected = known.combine(np.sum([one.statistics for one in measured], axis=0))
        assert value == pytest.approx(float(expected), abs=1e-12)


def test_a_single_reference_may_be_plain_text(classes, tmp_path):
    metric = classes.RougeL(cache_dir=str(tmp_path))
    assert metric.compute(predictions=["a b"], references=["a b"]) == {"rouge_l": 1.0}
