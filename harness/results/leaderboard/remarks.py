"""What a reader must know beside the numbers, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from harness.records import ExperimentRecord, Question, RunRecord
from harness.results.collect import AnswerCounts, Results
from harness.results.leaderboard.costs import OUTSIDE, Cost, against_budget
from harness.results.leaderboard.raced import race_notes
from harness.results.numbers import count, seconds as in_seconds
from harness.results.score_table import Table

UNKNOWN_BUDGET = "budget unknown: trained elsewhere, so it may have had more data, time or tuning than the other arms"


def estimand(seeds: Sequence[int], question: Question = "checkpoints") -> str:
    """What the intervals are about, from the number of seeds of each scored arm (0 without training)."""
    trained = sorted({number for number in seeds if number})
    numbers = " to ".join(str(number) for number in dict.fromkeys([*trained[:1], *trained[-1:]]))
    if question == "method":
        return (
            f"Intervals are about these methods: they cover which seeds ({numbers} were trained) and which test "
            "examples were drawn."
        )
    about = f", averaged over {numbers} seeds" if trained and trained != [1] else " (1 seed)"
    return (
        f"Intervals are about these checkpoints{about}: they cover which test examples were drawn, and say nothing "
        "about other seeds."
    )


def of_experiment(results: Results) -> tuple[str, ...]:
    """Remarks on the experiment as a whole."""
    task, notes = results.experiment.task, []
    leakage = task.get("leakage") or {}
    if leakage.get("allow"):
        notes.append(f"leaks between splits were allowed: {leakage['allow']}")
    for change in results.experiment.spec.get("changes") or ():
        notes.append(_changed(change))
    if not results.groups:
        notes.append("no groups are known: each test example is taken as independent")
    machines = _machines(results)
    if len(machines) > 1:
        told = "; ".join(f"{', '.join(arms)} on {machine}" for machine, arms in machines.items())
        notes.append(f"arms ran on different hardware, so their times do not compare: {told}")
    return (*notes, *race_notes(results.experiment))


def beside_reference(results: Results, arm: str, method: str, counts: Sequence[AnswerCounts]) -> tuple[str, ...]:
    """Remarks on an arm whose answers are those of the reference arm, or whose prompts are others."""
    reference = results.experiment.spec.get("reference")
    theirs = [
        results.answers[entry.eval_id]
        for entry in results.entries
        if entry.arm == reference and entry.eval_id is not None and entry.eval_id in results.answers
    ]
    if arm == reference or not theirs or not counts:
        return ()
    notes = []
    if all(count.texts and count.texts == theirs[0].texts for count in counts):
        notes.append(
            f"its answers equal those of {reference} on all {counts[0].answers} test examples: as far as they go, it is"
            " the same model"
        )
    prompted = method in ("few_shot", "untrained", "endpoint")  # these say themselves what their prompts are
    if not prompted and any(count.prompts and count.prompts != theirs[0].prompts for count in counts):
        notes.append(
            f"its prompts are not those of {reference}: another chat template, tokenizer or date, so that they compare"
            " as systems and not as models"
        )
    return tuple(notes)


def cut_documents(table: Table, eval_ids: Sequence[str]) -> tuple[str, ...]:
    """Remarks on lm-eval's documents that did not fit the context."""
    cut: dict[str, int] = {}
    for eval_id in eval_ids:
        scores = table.get(eval_id, {})
        for name in scores:  # of a column's scores only those that are asked for are made into records
            if name.endswith("/prompts_cut"):
                cut[name.rpartition("/")[0]] = len(scores[name])
    return tuple(f"{number} documents of {task} lost their left to fit the context" for task, number in cut.items())


def _changed(change: Mapping[str, Any]) -> str:
    """A sentence about something that the files say otherwise than when the experiment was first run."""
    was, now = change["was"], change["now"]
    if isinstance(was, Mapping) and isinstance(now, Mapping):
        names = [name for name in now if was.get(name) != now[name]]
        told = "; ".join(f"{name} was {was.get(name)!r}, is {now[name]!r}" for name in names)
    else:
        told = f"was {was!r}, is {now!r}"
    return f"{change['field']} was changed {change['when']}, after results were stored: {told}"


def _machines(results: Results) -> dict[str, list[str]]:
    """Hardware → arms that were trained or scored on it; endpoints have theirs elsewhere."""
    where = {evaluation.eval_id: evaluation.hardware for evaluation in results.evaluations}
    runs = {(run.train_id, run.attempt): run for run in results.runs}
    machines: dict[str, list[str]] = {}
    for entry in results.entries:
        run = runs.get((entry.train_id, entry.attempt))
        used = [run.provenance.hardware] if run is not None and run.method != "endpoint" else []
        for hardware in [*used, where.get(entry.eval_id or "", {})]:
            if hardware.get("processor"):
                parts = [str(hardware["processor"]), *map(str, hardware.get("accelerators") or ())]
                arms = machines.setdefault(" with ".join(parts), [])
                arms += [] if entry.arm in arms else [entry.arm]
    return machines


def of_arm(
    experiment: ExperimentRecord,
    runs: Sequence[RunRecord],
    cost: Cost | None,
    answers: AnswerCounts,
    missing: int,
) -> tuple[str, ...]:
    """Remarks on one arm: those of its runs, and what its ledger and its answers show."""
    notes = list(dict.fromkeys(note for run in runs for note in run.notes))
    for run in runs:  # one line for each sign of instability; memory that ran out stands among the run's own notes
        for kind in dict.fromkeys(event.kind for event in run.ledger.events if event.kind != "out_of_memory"):
            first, *others = [event for event in run.ledger.events if event.kind == kind]
            steps = ", ".join(str(event.step) for event in others[:5]) + (", …" if len(others) > 5 else "")
            seed = "" if run.seed is None else f"seed {run.seed}: "
            notes.append(f"{seed}{first.detail}" + (f"; again at step {steps}" if others else ""))
    if any(run.method in OUTSIDE for run in runs):
        notes.append(UNKNOWN_BUDGET)
    if cost is not None:
        notes += _of_cost(experiment, cost)
    if answers.length_limited:
        notes.append(f"{answers.length_limited} of {answers.answers} answers were cut off at max_new_tokens")
    if answers.refused:
        notes.append(f"{answers.refused} of {answers.answers} test prompts got no answer from the server (refused)")
    if answers.thinking:
        notes.append(
            f"{answers.thinking} of {answers.answers} answers hold reasoning (</think>), which is scored with the rest:"
            " turn it off (chat.kwargs, or at the server), or have the server take it out"
        )
    if answers.truncated:
        notes.append(f"{answers.truncated} of {answers.answers} test prompts lost their left to fit the context")
    if missing:
        notes.append(f"{missing} test items have no value and are left out")
    return tuple(notes)


def _of_cost(experiment: ExperimentRecord, cost: Cost) -> list[str]:
    notes = []
    if cost.has_parent and cost.all_examples is not None and cost.examples is not None:
        notes.append(
            f"cost includes its parent's training: {count(cost.all_examples - cost.examples)} of "
            f"{count(cost.all_examples)} examples"
        )
    budget = experiment.spec.get("budget") or {}
    standing = against_budget(budget, cost)
    if standing in ("more", "less"):
        whole = cost.with_parent or cost
        given = {
            "examples": f"{count(whole.examples)} examples",
            "tokens": f"{count(whole.tokens)} tokens",
            "device_seconds": f"{in_seconds(whole.train_seconds)} s of train steps",
        }
        name = next(name for name in given if budget.get(name))
        notes.append(f"saw {standing} than the budget: {given[name]}, budget {count(budget[name])}")
    if cost.lost_seconds:
        notes.append(f"{cost.lost_seconds:.0f} s were lost in failed or repeated attempts")
    if cost.truncated_prompts:
        notes.append(f"{count(cost.truncated_prompts)} training prompts lost their left to fit the context")
    return notes
