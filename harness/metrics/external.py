"""Metrics that others compute (lm-eval, a user's code): what a report must know of them, from their names alone."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from harness.errors import UsageError
from harness.metrics import likelihood
from harness.metrics.definition import Measured, Metric

_OWN = re.compile(r"evaluate:.+|.+:[A-Za-z_]\w*")
_LOWER_IN_LM_EVAL = ("perplexity", "bits_per_byte", "brier_score", "ter", "wer")
_SHARES_IN_LM_EVAL = ("acc", "acc_norm", "acc_bytes", "exact_match", "f1")
_WEIGHTED_IN_LM_EVAL = {
    "perplexity": likelihood.combine_perplexity,
    "word_perplexity": likelihood.combine_perplexity,
    "byte_perplexity": likelihood.combine_perplexity,
    "bits_per_byte": likelihood.combine_bits_per_byte,
}
"""lm-eval's metrics that are no mean over documents; their statistics are (sum of log-probabilities, weight)."""


WITH_OPTIONS = ("rouge_1", "rouge_2", "rouge_l", "rouge_lsum", "bleu")
"""Metrics of ours whose options stand behind a colon, as a user's function behind its file."""


def is_own(name: str) -> bool:
    """Whether `name` means a user's own function (`file.py:function`, `module:function` or `evaluate:FOLDER`)."""
    return _OWN.fullmatch(name) is not None and name.partition(":")[0] not in WITH_OPTIONS


def own_metric(name: str, declaration: Mapping[str, Any] | None = None) -> Metric:
    """A user's own metric with what it declared when it was scored (`user_metrics.declaration`); not computable."""
    metric = Metric(name, f"the task's own {name}; mean over examples", _not_computable, bounds=None)
    if declaration is None:
        return metric
    bounds = declaration["bounds"]
    return replace(
        metric,
        description=declaration["description"],
        direction=declaration["direction"],
        unit=declaration["unit"],
        bounds=None if bounds is None else (float(bounds[0]), float(bounds[1])),
        version=int(declaration["version"]),
    )


def lm_eval_metric(name: str) -> Metric:
    """lm-eval's `TASK/METRIC`. Raises UsageError for another form."""
    task, _, kind = name.rpartition("/")
    if not task or not kind:
        raise UsageError(f"no metric is called {name!r}", hint="lm-eval's metrics are called TASK/METRIC")
    bare = kind.partition(",")[0]
    combine = _WEIGHTED_IN_LM_EVAL.get(bare)
    weighting = "log-probabilities and weights summed over documents" if combine else "mean over documents"
    return Metric(
        name,
        f"lm-eval's {bare} on its task {task}; {weighting}",
        _not_computable,
        kind="corpus" if combine else "example",
        combine=combine,
        direction="lower" if bare.endswith(_LOWER_IN_LM_EVAL) else "higher",
        source="lm_eval",
        suite=f"lm_eval:{task}",
        bounds=(0.0, 1.0) if bare in _SHARES_IN_LM_EVAL else None,
    )


def _not_computable(_: Any) -> Measured | None:
    return None
