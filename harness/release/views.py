"""A gate's verdict as a Python user holds it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from harness.errors import NotRecorded
from harness.records import GateCall, GateOutcome, GateVerdict, to_json
from harness.release.gate import reports
from harness.results.render.table import table
from harness.results.render.writers import Part
from harness.results.views import View, frame

if TYPE_CHECKING:
    import pandas


@dataclass(frozen=True, slots=True, repr=False)
class GateView(View):
    """Whether a candidate may be released, rule by rule."""

    call: GateCall
    """The verdict as it stands once earlier ones are known, with all that is stored of it."""
    problem: NotRecorded | None
    """Why it is not in the store; a pipeline must not go on then."""
    candidate: str

    @property
    def verdict(self) -> GateVerdict:
        """The verdict itself."""
        return self.call.verdict

    @property
    def outcome(self) -> GateOutcome:
        """PASS, FAIL, INCONCLUSIVE or INVALID."""
        return self.verdict.outcome

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 inconclusive, 4 invalid, 5 not stored."""
        return self.problem.exit_code if self.problem is not None else self.verdict.exit_code

    @property
    def title(self) -> str:
        """What was held against what, and why the gate was asked."""
        return f"{self.candidate} against {self.call.baseline} ({self.call.reason})"

    def to_dict(self) -> dict[str, Any]:
        """As `harness gate --json`."""
        about = {name: value for name, value in to_json(self.call).items() if name != "verdict"}
        return reports.as_json(self.verdict, {**about, "candidate": self.candidate})

    def to_pandas(self) -> pandas.DataFrame:
        """One row for each rule: outcome, estimate with its interval, and limit, in the unit of the rule's number."""
        names = ("rule", "tier", "outcome", "value", "low", "high", "limit", "more_examples", "words")
        rules = [{**to_json(rule), **(to_json(rule.estimate) or {})} for rule in self.verdict.rules]
        return frame([{name: rule.get(name) for name in names} for rule in rules])

    def parts(self) -> Sequence[Part]:
        """One row for each rule, the worst first."""
        rows = [[rule.rule, rule.outcome, rule.words] for rule in reports.worst_first(self.verdict)]
        warnings = [f"warning: {warning}" for warning in self.verdict.warnings]
        return [self.title, self.outcome, table(["rule", "outcome", "why"], rows, warnings)]

    def __str__(self) -> str:
        """As `harness gate` prints it."""
        return "\n".join(reports.as_lines(self.verdict, self.title))
