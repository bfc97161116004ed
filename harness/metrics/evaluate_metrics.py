"""The text metrics as `evaluate.Metric` classes that need no hub: instantiate them, or hand them to `combine`.

    import evaluate
    from harness.metrics.evaluate_metrics import Bleu, RougeL
    evaluate.combine([RougeL(), Bleu()]).compute(predictions=["…"], references=[["…", "…"]])

The values are those of the leaderboard: the same functions compute both. `keep_in_memory=True` (the default here)
keeps the library from writing cache files.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate
import numpy as np

from harness.metrics import METRICS, Answer


class TextMetric(evaluate.Metric):  # type: ignore[misc]
    """Base of the classes below: one entry of METRICS over predictions and one or several references each."""

    harness_name: str

    def __init__(self, keep_in_memory: bool = True, **options: Any) -> None:
        super().__init__(keep_in_memory=keep_in_memory, **options)

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description=METRICS[self.harness_name].description,
            citation="",
            inputs_description="predictions: texts; references: one text, or a list of texts, for each prediction.",
            features=[
                datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
                datasets.Features({"predictions": text, "references": text}),
            ],
        )

    def _compute(self, predictions: Sequence[str], references: Sequence[Any]) -> dict[str, float]:
        known = METRICS[self.harness_name]
        answers = [
            Answer(text, (given,) if isinstance(given, str) else tuple(given), None, "stop")
            for text, given in zip(predictions, references, strict=True)
        ]
        measured = [result for result in map(known.score, answers) if result is not None]
        if known.combine is not None:
            statistics = np.asarray([result.statistics for result in measured], dtype=np.float64)
            return {known.name: float(known.combine(statistics.sum(axis=0)))}
        return {known.name: float(np.mean(np.asarray([result.value for result in measured], dtype=np.float64)))}


class Rouge1(TextMetric):
    """ROUGE-1 F1, mean over examples."""

    harness_name = "rouge_1"


class Rouge2(TextMetric):
    """ROUGE-2 F1, mean over examples."""

    harness_name = "rouge_2"


class RougeL(TextMetric):
    """ROUGE-L F1, mean over examples."""

    harness_name = "rouge_l"


class Bleu(TextMetric):
    """Corpus BLEU, sacrebleu's defaults."""

    harness_name = "bleu"


class Chrf(TextMetric):
    """Corpus chrF2, sacrebleu's defaults."""

    harness_name = "chrf"


class ExactMatch(TextMetric):
    """Share of exact matches, white space at the ends aside."""

    harness_name = "exact_match"
