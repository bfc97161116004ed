"""What a reader must know beside the numbers, in words."""

from __future__ import annotations

from collections.abc import Sequence

from harness.records import ExperimentRecord, Question, RunRecord
from harness.report.costs import Cost
from harness.report.numbers import count
from harness.report.results import AnswerCounts, Results


def estimand(seeds: Sequence[int], question: Question = "checkpoints") -> str:
    """What the intervals are about, from the number of seeds of each scored arm (0 without training)."""
    trained = sorted({number for number in seeds if number})
    if question == "method":
        numbers = " to ".join(str(number) for number in dict.fromkeys([trained[0], trained[-1]]))
        return (
            f"Intervals are about these methods: they cover which seeds ({numbers} were trained) and which test "
            "examples were drawn."
        )
    if not trained or trained == [1]:
        return (
            "Intervals are about these checkpoints (1 seed): they cover which test examples were drawn, "
            "and say nothing about other seeds."
        )
    numbers = " to ".join(str(number) for number in dict.fromkeys([trained[0], trained[-1]]))
    return (
        f"Intervals are about these checkpoints, averaged over {numbers} seeds: they cover which test examples were "
        "drawn, and say nothing about other seeds."
    )


def of_experiment(results: Results) -> tuple[str, ...]:
    """Remarks on the experiment as a whole."""
    task, notes = results.experiment.task, []
    leakage = task.get("leakage") or {}
    if leakage.get("allow"):
        notes.append(f"leaks between splits were allowed: {leakage['allow']}")
    if not results.groups:
        notes.append("no groups are known: each test example is taken as independent")
    return tuple(notes)


def of_arm(
    experiment: ExperimentRecord,
    runs: Sequence[RunRecord],
    cost: Cost | None,
    answers: AnswerCounts,
    missing: int,
) -> tuple[str, ...]:
    """Remarks on one arm: those of its runs, and what its ledger and its answers show."""
    notes = list(dict.fromkeys(note for run in runs for note in run.notes))
    if cost is not None:
        notes += _of_cost(experiment, cost)
    if answers.length_limited:
        notes.append(f"{answers.length_limited} of {answers.answers} answers were cut off at max_new_tokens")
    if answers.truncated:
        notes.append(f"{answers.truncated} of {answers.answers} test prompts lost their left to fit the context")
    if missing:
        notes.append(f"{missing} test items have no value and are left out")
    return tuple(notes)


def _of_cost(experiment: ExperimentRecord, cost: Cost) -> list[str]:
    notes = []
    if cost.has_parent:
        notes.append(
            f"cost includes its parent's training: {count(cost.all_examples - cost.examples)} of "
            f"{count(cost.all_examples)} examples"
        )
    budget = (experiment.spec.get("budget") or {}).get("examples")
    if budget and cost.examples and round(cost.all_examples) != budget:
        word = "more" if cost.all_examples > budget else "less"
        notes.append(f"saw {word} than the budget: {count(cost.all_examples)} examples, budget {count(budget)}")
    if cost.lost_seconds:
        notes.append(f"{cost.lost_seconds:.0f} s were lost in failed or repeated attempts")
    if cost.truncated_prompts:
        notes.append(f"{count(cost.truncated_prompts)} training prompts lost their left to fit the context")
    return notes
