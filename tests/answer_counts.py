"""Counts of answers, one prediction after the other: what the store's own counts are held against."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from harness.records import Prediction
from harness.results.collect import AnswerCounts


def count_answers(predictions: Iterable[Prediction]) -> dict[str, AnswerCounts]:
    """By evaluation."""
    counts: dict[str, AnswerCounts] = {}
    for row in predictions:
        old = counts.get(row.eval_id, AnswerCounts())
        counts[row.eval_id] = replace(
            old,
            answers=old.answers + 1,
            length_limited=old.length_limited + (row.finish == "length"),
            truncated=old.truncated + row.truncated,
            thinking=old.thinking + ("</think>" in row.text),
        )
    return counts
