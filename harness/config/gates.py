"""A gates file: what a candidate must hold before it is released."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from harness.config.documents import Spec

Words = Annotated[str, Field(pattern=r"\S")]
Confidence = Annotated[float, Field(gt=0.5, lt=1)]
MeasureName = Literal[
    "artefact_bytes",
    "trainable_parameters",
    "total_parameters",
    "peak_memory_bytes",
    "train_seconds",
    "money",
    "weights_bytes",
    "serving_memory_bytes",
    "first_token_seconds",
    "first_token_p90_seconds",
    "tokens_per_second",
    "batch_tokens_per_second",
]
"""What a run cost, and how its artefact serves; `harness/release/gate/measures.py` says where each comes from."""
ParityName = Literal["adapter", "merged", "nf4", "fp4", "int8", "endpoint"]
"""What ships: the newest `harness parity` check of this kind counts."""
SPEEDS = ("tokens_per_second", "batch_tokens_per_second")
"""Measures that are better higher."""
HUMAN = "human_win_rate"
LIMITS: Mapping[str, tuple[str, ...]] = {
    "metric": ("margin", "floor", "ceiling"),
    "measure": ("ceiling", "floor", "times"),
    "flag": ("ceiling",),
    "parity": ("margin",),
}
"""What a rule can be about → the limits that fit it."""
SMALLEST_SLICE = 20
"""Examples that a rule about a slice asks for, unless it says otherwise: fewer tell little of their own spread."""


class GateRule(Spec):
    """One rule: about one metric, measure or flag, with one limit."""

    metric: str | None = None
    """A metric of the leaderboard, such as fact_recall, retention_perplexity, TASK/acc or human_win_rate."""
    measure: MeasureName | None = None
    """What it costs or how it serves: size, memory, seconds, money, speed."""
    flag: str | None = None
    """A reviewer's flag of the newest unblinded round, such as fabrication: the share of answers with it."""
    parity: ParityName | None = None
    """What ships, such as merged, nf4 or endpoint: it scores as the candidate, within a margin either way."""
    name: str | None = None
    """How the rule is called in reports; default: made from what it is about and what is asked."""
    tier: Literal["critical", "supporting", "informational"] = "critical"
    """critical: decides. supporting: warns. informational: is shown."""
    margin: Annotated[float, Field(ge=0)] | None = None
    """Not worse than the baseline by more than this, in the metric's own unit and direction."""
    floor: float | None = None
    """The candidate's own value is above this."""
    ceiling: float | None = None
    """The candidate's own value is below this."""
    times: Annotated[float, Field(gt=0)] | None = None
    """Of a measure: at most so many times the baseline's; of a speed at least."""
    slice: Annotated[dict[str, str | int | float | bool], Field(min_length=1)] | None = None
    """Of a metric: over the test examples whose columns hold these values alone."""
    against: Literal["baseline", "untrained"] = "baseline"
    """What a margin is from; untrained: the untrained arm of the candidate's own experiment (what was forgotten)."""
    confidence: Confidence = 0.95
    """Confidence of the one-sided limit that decides the rule."""
    minimum_examples: Annotated[int, Field(ge=0)] | None = None
    """With fewer the rule is INCONCLUSIVE; default: 0, in a slice 20. Of a flag: answers that were judged."""
    minimum_votes: Annotated[int, Field(ge=1)] | None = None
    """Of human_win_rate: votes of people on the candidate's answers."""
    minimum_agreement: Annotated[float, Field(gt=-1, lt=1)] | None = None
    """Of human_win_rate: Krippendorff's alpha (nominal) of the raters is above this."""

    @model_validator(mode="after")
    def _fits(self) -> GateRule:
        subjects = self._given(*LIMITS)
        if len(subjects) != 1:
            told = ", ".join(f"`{name}`" for name in LIMITS)
            found = f"found {' and '.join(subjects)}" if subjects else "found none"
            raise ValueError(f"a rule is about exactly one of {told}; {found}")
        subject, limits = subjects[0], self._given("margin", "floor", "ceiling", "times")
        fitting = ("floor",) if self.metric == HUMAN else LIMITS[subject]
        if subject == "measure":
            fitting = ("floor", "times") if self.measure in SPEEDS else ("ceiling", "times")
        wrong = [limit for limit in limits if limit not in fitting]
        what = HUMAN if self.metric == HUMAN else f"a {subject}" if self.measure is None else self.measure
        if wrong:
            raise ValueError(f"{what} takes {_joined(fitting, 'or')}, no {wrong[0]}")
        if len(limits) != 1:
            raise ValueError(f"give exactly one of {_joined(fitting, 'and')}")
        self._check_values()
        self._check_conditions()
        return self

    def _check_values(self) -> None:
        """Limits that nothing, or everything, could meet."""
        share = self.floor if self.metric == HUMAN else self.ceiling if self.flag is not None else None
        if share is not None and not 0 < share < 1:
            raise ValueError(f"a share lies between 0 and 1, found {share:g}")
        if self.parity is not None and self.margin == 0:
            raise ValueError(
                "a margin of 0 is never shown to be kept: give the largest difference that does not matter"
            )
        limit = self.ceiling if self.ceiling is not None else self.floor
        if self.measure is not None and limit is not None and limit <= 0:
            raise ValueError(f"{self.measure} is above 0, so a limit of {limit:g} says nothing")

    def _check_conditions(self) -> None:
        """Fields that only some rules have."""
        of_scores = self.metric is not None and self.metric != HUMAN
        if self.slice is not None and not of_scores:
            raise ValueError("`slice` belongs to a metric of the examples")
        if self.against == "untrained" and (not of_scores or self.margin is None):
            raise ValueError("`against: untrained` belongs to a metric with a margin")
        if self.minimum_examples is not None and not (of_scores or self.flag is not None):
            raise ValueError("`minimum_examples` belongs to metrics and flags; votes have `minimum_votes`")
        if self._given("minimum_votes", "minimum_agreement") and self.metric != HUMAN:
            raise ValueError(f"`minimum_votes` and `minimum_agreement` belong to `metric: {HUMAN}`")

    def _given(self, *names: str) -> list[str]:
        return [name for name in names if getattr(self, name) is not None]

    @property
    def subject(self) -> str:
        """The field that says what the rule is about."""
        return self._given(*LIMITS)[0]

    @property
    def least(self) -> int:
        """Examples, answers or votes below which it is INCONCLUSIVE."""
        if self.metric == HUMAN:
            return self.minimum_votes or 0
        return self.minimum_examples if self.minimum_examples is not None else SMALLEST_SLICE if self.slice else 0

    @property
    def title(self) -> str:
        """The rule's name in reports."""
        if self.name is not None:
            return self.name
        about = str(getattr(self, self.subject))
        about = about if self.subject in ("metric", "measure") else f"{self.subject} {about}"
        where = (
            f" [{', '.join(f'{field}={shown(value)}' for field, value in self.slice.items())}]" if self.slice else ""
        )
        other = " against untrained" if self.against == "untrained" else ""
        limit = self._given("margin", "floor", "ceiling", "times")[0]
        return f"{about}{where}{other} {limit} {getattr(self, limit):g}"


def shown(value: object) -> str:
    """A value of a slice, and of a column that it is held against, as text: `true`, `3`, `2.5`, `north`."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value)


def _joined(names: tuple[str, ...], word: str) -> str:
    return f" {word} ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


class WaiverSpec(Spec):
    """One rule that does not decide until a date, by whom and why."""

    rule: str
    """Name of a critical rule, as reports show it."""
    owner: Words
    """Who answers for it."""
    reason: Words
    """Why the candidate may be released all the same."""
    expires: str
    """Last day on which it holds, YYYY-MM-DD (UTC), at most 90 days ahead."""

    @field_validator("expires")
    @classmethod
    def _date(cls, value: str) -> str:
        try:
            if datetime.date.fromisoformat(value).isoformat() == value:
                return value
        except ValueError:
            pass
        raise ValueError(f"{value!r} is no date; write YYYY-MM-DD")


class GateSpec(Spec):
    """Rules of one release pipeline against one pinned baseline."""

    baseline: str
    """Folder of a pinned release, relative to the file, such as released/clinic-1."""
    rules: Annotated[list[GateRule], Field(min_length=1)]
    """What the candidate must hold; at least one rule is critical."""
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
