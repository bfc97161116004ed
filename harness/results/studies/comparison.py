"""Two arms side by side: the paired difference of every metric, and the examples where they differ most."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from harness.errors import UsageError
from harness.records import Entry, Estimate, Example, ExperimentRecord, Prediction, digest
from harness.results.collect import Results, by_arm, scored
from harness.results.estimator import Estimator, Series, Table, series, tabulate
from harness.results.leaderboard import remarks
from harness.results.leaderboard.columns import Column, columns_of, metric_of
from harness.results.leaderboard.environments import examine
from harness.results.winner.contest import question_of


@dataclass(frozen=True, slots=True)
class Texts:
    """Where the words of a comparison come from; empty when the store's text is not to be shown."""

    examples: Mapping[str, Example] = field(default_factory=dict)
    """Test examples by id."""
    predictions: Sequence[Prediction] = ()
    inside: bool = False
    """Shown where the texts of a sensitive task may be shown: in the app, never in a file."""


@dataclass(frozen=True, slots=True)
class MetricDifference:
    """One metric of two arms; `reason` says why the difference is not there."""

    column: Column
    a: Estimate | None
    b: Estimate | None
    difference: Estimate | None
    """a minus b, paired."""
    p_value: float | None
    """Permutation p-value of no difference, for the primary metric; not adjusted for how many pairs were looked at."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One example where the arms differ. Texts are None for a sensitive task or where they are not known."""

    example: str
    value_a: float
    value_b: float
    prompt: str | None = None
    references: tuple[str, ...] | None = None
    text_a: str | None = None
    text_b: str | None = None

    @property
    def difference(self) -> float:
        """a minus b in the primary metric."""
        return self.value_a - self.value_b


@dataclass(frozen=True, slots=True)
class Comparison:
    """Arms a and b of one experiment, every difference as a minus b."""

    experiment: ExperimentRecord
    a: str
    b: str
    metrics: tuple[MetricDifference, ...]
    """The primary metric first."""
    samples: tuple[Sample, ...]
    """Largest difference in the primary metric first."""
    wins_a: int
    """Examples where a has the better value of the primary metric."""
    wins_b: int
    ties: int
    sensitive: bool
    estimand: str
    notes: tuple[str, ...]
    values: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Both arms' values of the primary metric of every example, seeds averaged."""


def compare(
    results: Results, a: str, b: str, texts: Texts, samples: int = 3, rng: np.random.Generator | None = None
) -> Comparison:
    """Compare two arms of an experiment; no text is taken from `texts` when the task is sensitive, unless they
    stay inside.

    Without `rng` resampling is seeded by the experiment's id.

    Raises UsageError: an arm that the experiment does not have (names the nearest), twice the same arm, an arm without
    a result, or arms that were scored in environments that no sentinel has accepted together.
    """
    experiment, arms = results.experiment, (a, b)
    table, entries = tabulate(results.scores), by_arm(results.entries)
    evaluations = _evaluations(results, entries, a, b)
    columns = columns_of(experiment, table)
    seed = int(digest(experiment.experiment_id), 16) if rng is None else int(rng.integers(2**62))
    question = question_of(results, {arm: entries[arm] for arm in arms})
    judge = Estimator(results.groups, seed, question)
    trained = {arm: any(entry.seed is not None for entry in entries[arm]) for arm in arms}

    def measured(arm: str, column: Column) -> Series | str:
        return series(table, evaluations[arm], column.name, trained[arm])

    values = _per_item(table, evaluations, a, b, columns[0])
    better = 1.0 if columns[0].direction == "higher" else -1.0
    gains = [better * (ours - theirs) for ours, theirs in values.values()]
    sensitive = bool(experiment.task.get("sensitive"))
    hidden = sensitive and not texts.inside
    shown = _samples(values, Texts() if hidden else texts, (evaluations[a][0], evaluations[b][0]), samples)
    if hidden:  # an id may name a person, so a number stands for it
        shown = [replace(sample, example=f"no. {number}") for number, sample in enumerate(shown, 1)]
    several = ", ".join(arm for arm, eval_ids in evaluations.items() if len(eval_ids) > 1)
    note = f"texts of {several} are those of the first seed; values are means over seeds"
    return Comparison(
        experiment=experiment,
        a=a,
        b=b,
        metrics=tuple(
            _difference(judge, column, (measured(a, column), measured(b, column)), arms) for column in columns
        ),
        samples=tuple(shown),
        wins_a=sum(gain > 0 for gain in gains),
        wins_b=sum(gain < 0 for gain in gains),
        ties=sum(gain == 0 for gain in gains),
        sensitive=sensitive,
        estimand=remarks.estimand([len(evaluations[arm]) for arm in arms if trained[arm]], question),
        notes=(note,) if several else (),
        values=values,
    )


def _evaluations(results: Results, entries: Mapping[str, Sequence[Entry]], a: str, b: str) -> dict[str, list[str]]:
    """The evaluations of two arms that can be compared."""
    for arm in (a, b):
        if arm not in entries:
            near = difflib.get_close_matches(arm, entries, n=1)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            raise UsageError(f"no arm is called {arm!r}", hint=f"{hint}Arms: {', '.join(entries)}")
    if a == b:
        raise UsageError(f"{a!r} compared with itself", hint=f"Give two of the arms: {', '.join(entries)}")
    evaluations = {
        arm: [entry.eval_id for entry in scored(entries[arm]) if entry.eval_id is not None] for arm in (a, b)
    }
    for arm, eval_ids in evaluations.items():
        if not eval_ids:
            raise UsageError(f"arm {arm!r} has no result: {entries[arm][-1].status}", hint="`harness run` tries again")
    environments = examine(results)
    changes = [environments.unranked.get(arm, "") for arm in (a, b)]
    if any(changes) and (environments.mixed & {a, b} or changes[0] != changes[1]):
        raise UsageError(
            f"{a} and {b} were scored in different environments ({changes[1] or changes[0]})",
            hint=f"`harness sentinel {results.experiment.file}` checks whether that matters",
        )
    return evaluations


def _difference(
    judge: Estimator, column: Column, both: tuple[Series | str, Series | str], who: tuple[str, str]
) -> MetricDifference:
    metric, (a, b) = metric_of(column), both
    values = [
        None if isinstance(side, str) else judge.value(metric, side, arm) for side, arm in zip(both, who, strict=True)
    ]
    ours, theirs = (None if isinstance(value, str) else value for value in values)
    if isinstance(a, str) or isinstance(b, str):
        reason = f"{who[0]}: {a}" if isinstance(a, str) else f"{who[1]}: {b}"
        return MetricDifference(column, ours, theirs, None, None, reason)
    difference = judge.difference(metric, a, b, who)
    if isinstance(difference, str):
        return MetricDifference(column, ours, theirs, None, None, difference)
    p_value = judge.p_value(metric, a, b, who) if column.primary else None
    return MetricDifference(column, ours, theirs, difference, p_value)


def _per_item(
    table: Table, evaluations: Mapping[str, Sequence[str]], a: str, b: str, column: Column
) -> dict[str, tuple[float, float]]:
    """Both arms' values of each item, averaged over seeds; for a corpus metric, that of the single item."""
    means: list[dict[str, float]] = []
    for arm in (a, b):
        scores = [table.get(eval_id, {}).get(column.name, {}) for eval_id in evaluations[arm]]
        values: dict[str, list[float]] = {}
        for rows in scores:
            for item, score in rows.items():
                if score.status == "ok" and score.value is not None:
                    values.setdefault(item, []).append(score.value)
        means.append(
            {item: sum(by_seed) / len(by_seed) for item, by_seed in values.items() if len(by_seed) == len(scores)}
        )
    return {item: (value, means[1][item]) for item, value in means[0].items() if item in means[1]}


def _samples(
    values: Mapping[str, tuple[float, float]], texts: Texts, eval_ids: tuple[str, str], number: int
) -> list[Sample]:
    different = [item for item, (ours, theirs) in values.items() if ours != theirs]
    different.sort(key=lambda item: -abs(values[item][0] - values[item][1]))
    answers = {(row.eval_id, row.example): row.text for row in texts.predictions}
    samples = []
    for item in different[:number]:
        example = texts.examples.get(item)
        prompt, references = (prompt_of(example), example.references) if example else (None, None)
        ours, theirs = (answers.get((eval_id, item)) for eval_id in eval_ids)
        samples.append(Sample(item, *values[item], prompt, references, ours, theirs))
    return samples


def prompt_of(example: Example) -> str:
    """What an example asks, system text and turns included."""
    if example.messages is not None:
        return "\n".join(f"{message.role}: {message.content}" for message in example.messages)
    return "\n".join(part for part in (example.system, example.prompt) if part)


# ------------------------------------------------------------------------------------------------- word by word

Piece = tuple[Literal["both", "own"], str]
_WORDS = re.compile(r"\s+|\w+|[^\w\s]")


def word_diff(a: str, b: str) -> tuple[tuple[Piece, ...], tuple[Piece, ...]]:
    """Both texts cut into pieces that the other has in the same order (`both`) or lacks (`own`).

    Joining the pieces of a side gives its text again. Longest matching blocks of words, punctuation marks and runs of
    white space (Ratcliff & Metzener 1988, as difflib has it).
    """
    ours, theirs = _WORDS.findall(a), _WORDS.findall(b)
    left: list[Piece] = []
    right: list[Piece] = []
    for operation, i, j, k, m in difflib.SequenceMatcher(None, ours, theirs, autojunk=False).get_opcodes():
        kind: Literal["both", "own"] = "both" if operation == "equal" else "own"
        if i < j:
            left.append((kind, "".join(ours[i:j])))
        if k < m:
            right.append((kind, "".join(theirs[k:m])))
    return tuple(left), tuple(right)
