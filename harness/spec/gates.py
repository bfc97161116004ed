"""A gates file: what a candidate must hold before it is released."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from harness.spec.base import Spec
from harness.spec.waivers import WaiverSpec

Confidence = Annotated[float, Field(gt=0.5, lt=1)]


class GateRule(Spec):
    """One rule: exactly one of `margin`, `floor` and `ceiling`, about one metric."""

    metric: str
    """A metric of the leaderboard, such as fact_recall, retention_perplexity or TASK/acc."""
    name: str | None = None
    """How the rule is called in reports; default: made from the metric and what is asked."""
    tier: Literal["critical", "supporting", "informational"] = "critical"
    """critical: decides. supporting: warns. informational: is shown."""
    margin: Annotated[float, Field(ge=0)] | None = None
    """Not worse than the baseline by more than this, in the metric's own unit and direction."""
    floor: float | None = None
    """The candidate's own value is above this."""
    ceiling: float | None = None
    """The candidate's own value is below this."""
    confidence: Confidence = 0.95
    """One-sided."""
    minimum_examples: Annotated[int, Field(ge=0)] = 0
    """With fewer the rule is INCONCLUSIVE."""

    @model_validator(mode="after")
    def _one(self) -> GateRule:
        if sum(value is not None for value in (self.margin, self.floor, self.ceiling)) != 1:
            raise ValueError("give exactly one of margin, floor and ceiling")
        return self

    @property
    def title(self) -> str:
        """The rule's name in reports."""
        if self.name is not None:
            return self.name
        asked = [(word, value) for word in ("margin", "floor", "ceiling") if (value := getattr(self, word)) is not None]
        return f"{self.metric} {asked[0][0]} {asked[0][1]:g}"


class GateSpec(Spec):
    """Rules of one release pipeline against one pinned baseline."""

    baseline: str
    """Folder of a pinned release, relative to the file, such as released/clinic-1."""
    rules: Annotated[list[GateRule], Field(min_length=1)]
    """At least one of them critical."""
    on_inconclusive: Literal["fail", "warn"] = "fail"
    """`warn`: a critical rule that is not settled lets the candidate through, and says so."""
    looks: Literal[1, 2] = 1
    """How often one candidate may be judged on new evidence; written before the first look. With 2 each look is made at
    half of every rule's error rate, and the second only after an INCONCLUSIVE first and with more evidence."""
    waivers: list[WaiverSpec] = []
    """Critical rules that do not decide for a while."""

    @model_validator(mode="after")
    def _critical(self) -> GateSpec:
        if not any(rule.tier == "critical" for rule in self.rules):
            raise ValueError("no rule is critical: such a gate passes everything")
        titles = [rule.title for rule in self.rules]
        if len(set(titles)) < len(titles):
            raise ValueError("two rules have the same name; give one of them a `name`")
        return self
