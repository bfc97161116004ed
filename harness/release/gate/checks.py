"""What a gates file says of metrics, held against what is known of them before anything is read."""

from __future__ import annotations

from pathlib import Path

from harness.config import GateRule, GateSpec
from harness.config.documents import Document
from harness.config.gates import HUMAN
from harness.errors import UsageError
from harness.metrics import Metric, is_own
from harness.metrics.user_metrics import known_metric


def check_rules(document: Document, spec: GateSpec, folder: Path) -> None:
    """Raise SpecError naming line and field for an unknown metric, or for a limit that it cannot have.

    `folder` is where a user's own metrics lie.
    """
    for number, rule in enumerate(spec.rules):
        if rule.metric is None or rule.metric == HUMAN:
            continue
        try:
            metric = known_metric(rule.metric, folder)
        except UsageError as error:
            people = any(word in rule.metric.lower() for word in ("win", "human"))
            hint = f"Did you mean {HUMAN!r}?" if people else error.hint
            raise document.error(("rules", number, "metric"), error.message, hint) from None
        wrong = _wrong_limit(rule, metric) or _wrong_slice(rule, metric)
        if wrong is not None:
            field, message, hint = wrong
            raise document.error(("rules", number, field), message, hint)


def _wrong_limit(rule: GateRule, metric: Metric) -> tuple[str, str, str] | None:
    """Field, message and hint."""
    if metric.bounds is None:
        return None
    low, high = metric.bounds
    between = f"{metric.name} lies between {low:g} and {high:g}"
    for field in ("floor", "ceiling"):
        value = getattr(rule, field)
        if value is not None and not low <= value <= high:
            return field, f"{between}, found {value:g}", "Use the metric's own unit"
    if rule.margin is not None and rule.margin >= high - low:
        return "margin", f"{between}: a margin of {rule.margin:g} passes everything", "Use the metric's own unit"
    return None


def _wrong_slice(rule: GateRule, metric: Metric) -> tuple[str, str, str] | None:
    from_lm_eval = "/" in metric.name and not is_own(metric.name)
    if rule.slice is None or (metric.suite == "test" and not from_lm_eval):
        return None
    return "slice", f"{metric.name} is not about test examples", "Slices are made of the columns of test examples"
