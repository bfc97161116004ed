"""Collects answers of arms for people to read: stored ones to the test split, or generated for other prompts.

    answers/ID/   generate.jsonl (finished batches)   predictions.jsonl, written last

Answers to validation examples and to fresh prompts come from the finished models as the experiment left them; the
sealed test split cannot be opened meanwhile.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from harness import arms, environment, redaction
from harness.config import TaskSpec, templates
from harness.data import rows, sealing
from harness.data.conversations import read_turns, with_system
from harness.data.near_duplicates import normalise
from harness.data.prepare import prepare
from harness.data.splits import prompt_text
from harness.errors import DataError, LeakageError, UsageError
from harness.experiments import pipeline
from harness.experiments.evaluation import evaluate
from harness.experiments.running import ingest, worker
from harness.progress import Reporter
from harness.records import (
    Entry,
    Evaluation,
    Example,
    ExclusionRule,
    ExperimentRecord,
    Message,
    Prediction,
    ResolvedExperiment,
    RoundSplit,
    RunPlan,
    digest,
)
from harness.records.files import read_records, write_records
from harness.results import stored

T = TypeVar("T", Entry, RunPlan)
DONE = "predictions.jsonl"
SPARE = 12
"""Examples answered beyond the items, for gold and identical pairs."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What arms answered to the same prompts."""

    record: ExperimentRecord
    task: Mapping[str, Any]
    split: RoundSplit
    examples: tuple[Example, ...]
    evaluations: Mapping[str, str]
    """Arm → the evaluation that its answers belong to."""
    texts: Mapping[str, Mapping[str, str]]
    """Arm → example → answer."""


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked of `harness review open`; None where the harness chooses."""

    arms: tuple[str, ...]
    items: int | None = None
    raters: int = 2
    reviewers: int | None = None
    """Queues; None: as many as each item has raters."""
    validation: bool = False
    prompts: Path | None = None
    """A file of fresh prompts."""
    training_seed: int | None = None
    """None: the first."""
    instructions: str | None = None
    gold_file: Path | None = None
    gold: int | None = None
    identical: int | None = None
    repeats: int | None = None
    ask_identical: bool = False
    """Also ask about pairs whose answers are the same text."""
    exclusion: ExclusionRule = field(default_factory=ExclusionRule)
    minutes: float = 30.0


def stored_answers(home: Path, experiment: str, request: Request) -> Answers:
    """The stored answers of arms to the sealed test split; `count_looks` counts them once people will read them."""
    store = stored.open_store(home)
    record = stored.find(store, experiment)
    scored: dict[str, list[Entry]] = defaultdict(list)
    for entry in store.entries(record.experiment_id):
        if entry.eval_id is not None:
            scored[entry.arm].append(entry)
    entries = {arm: _of_seed(arm, scored, request) for arm in request.arms}
    examples = stored.sealed_examples(home.absolute(), record)
    if not examples:
        raise UsageError(f"the sealed test split of {record.name} is not under {home}", hint="Run the experiment again")
    texts = {}
    for arm, entry in entries.items():
        texts[arm] = {row.example: row.text for row in store.predictions([str(entry.eval_id)])}
    shared = [example for example in examples.values() if all(example.id in arm_texts for arm_texts in texts.values())]
    evaluations = {arm: str(entry.eval_id) for arm, entry in entries.items()}
    return Answers(record, record.task, "test", tuple(shared), evaluations, texts)


def count_looks(home: Path, answers: Answers) -> None:
    """Count a test-set evaluation for every arm whose answers to the test split people are going to read."""
    store, record = stored.open_store(home), answers.record
    chosen = {(arm, eval_id) for arm, eval_id in answers.evaluations.items()}
    entries = [entry for entry in store.entries(record.experiment_id) if (entry.arm, entry.eval_id) in chosen]
    looks = [ingest.look(record, entry, "harness review open") for entry in entries]
    ingest.keep_looks(home.absolute(), looks)
    store.ingest(looks)


def _of_seed(arm: str, candidates: Mapping[str, Sequence[T]], request: Request) -> T:
    """The entry or plan that answers for an arm: of the seed that is asked for, else of the first."""
    whole = [each for each in candidates.get(arm, ()) if each.fraction == 1]
    fitting = [each for each in whole if request.training_seed is None or each.seed in (None, request.training_seed)]
    if not fitting:
        names = ", ".join(candidates) or "none"
        raise UsageError(f"there are no answers of an arm {arm!r} with that seed", hint=f"Arms with answers: {names}")
    return min(fitting, key=lambda each: each.seed or 0)


def generated_answers(path: Path, home: Path, request: Request, seed: int, reporter: Reporter) -> Answers:
    """Answers of finished arms of the experiment file `path` to validation examples or fresh prompts.

    What was answered before is read back. `seed` draws the examples where there are more than the items need. Raises
    UsageError for an arm without a finished model.
    """
    experiment = pipeline.load(path)
    with redaction.texts(experiment.task.sensitive):
        return _generated_answers(experiment, home.absolute(), request, seed, reporter)


def _generated_answers(
    experiment: ResolvedExperiment, home: Path, request: Request, seed: int, reporter: Reporter
) -> Answers:
    prepared = prepare(experiment, home)
    record, plans = pipeline.stored_plans(experiment, prepared, home)
    if request.prompts is None:
        examples = tuple(read_records(prepared.files.folder / "validation.jsonl", Example))
    else:
        examples = fresh_prompts(request.prompts, experiment)
        test = {normalise(prompt_text(e)) for e in stored.sealed_examples(home, record).values()}
        for number, example in enumerate(examples, 1):
            if normalise(prompt_text(example)) in test:
                raise LeakageError(f"{request.prompts}: prompt {number} is one of the test split", hint="Remove it")
    if request.items is not None and len(examples) > request.items + SPARE:
        drawn = set(random.Random(seed).sample(range(len(examples)), request.items + SPARE))
        examples = tuple(example for number, example in enumerate(examples) if number in drawn)
    texts, evaluations = {}, {}
    planned: dict[str, list[RunPlan]] = defaultdict(list)
    for plan in plans:
        planned[plan.arm_name].append(plan)
    for arm in request.arms:
        plan = _of_seed(arm, planned, request)
        evaluations[arm], predictions = _answer(plan, examples, home, reporter)
        texts[arm] = {row.example: row.text for row in predictions}
    split: RoundSplit = "validation" if request.prompts is None else "prompts"
    return Answers(record, experiment.task.model_dump(mode="json"), split, examples, evaluations, texts)


def _answer(
    plan: RunPlan, examples: tuple[Example, ...], home: Path, reporter: Reporter
) -> tuple[str, list[Prediction]]:  # fmt: skip
    """Predictions of a finished arm for `examples`, and the id that they are stored under."""
    from harness.store import Store

    run = worker.read_run(plan.run_folder)
    artefact = run.artefact if run is not None and run.status == "ok" else None
    if artefact is None or (artefact.path is not None and not (plan.run_folder / artefact.path).exists()):
        hint = f"`harness run {plan.experiment.file.name}` makes it (with `keep: all` it stays)"
        raise UsageError(f"there is no finished model of {plan.arm_name} under {home}", hint=hint)
    task = plan.experiment.task
    suite = digest(["answers", examples])
    generation = task.generate.model_dump(mode="json")
    subject = [artefact.hash, suite, generation, plan.experiment.base.context]
    name = digest([*subject, evaluate.environment_of(plan)])
    folder = home / "answers" / name
    if not (folder / DONE).exists():
        reporter.label = f"answers of {plan.arm_name}"
        with sealing.closed(home / "sealed"), closing(arms.family(plan.arm.method).load(plan, artefact)) as model:
            scorer = evaluate.Scorer(plan, model, evaluate.Suite(examples), folder, name)
            write_records(folder / DONE, scorer.predictions(reporter))
    predictions = list(read_records(folder / DONE, Prediction))
    evaluation = Evaluation(
        eval_id=name,
        train_id=plan.train_id,
        artefact_hash=artefact.hash,
        suite_fingerprint=suite,
        generation=generation,
        environment=evaluate.environment_of(plan),
        created=environment.now(),
        subject=digest(subject),
    )
    store = Store(stored.database(home))
    store.ingest([*predictions, *([] if store.has_evaluation(name) else [evaluation])])
    return name, predictions


def fresh_prompts(path: Path, experiment: ResolvedExperiment) -> tuple[Example, ...]:
    """Prompts that belong to no split: rows with the task's own columns, targets not needed. Raises DataError."""
    task = experiment.task
    examples = []
    for row in rows.read_file(path):
        name = f"prompts/{digest(row.values)}"
        if task.messages is None:
            prompt = templates.render(task.prompt or "", row.values, f"{row.where}: prompt")
            if not prompt.strip():
                raise DataError(f"{row.where}: the prompt is empty")
            examples.append(
                Example(name, name, _references(task, row), prompt=prompt, system=task.system, fields=dict(row.values))
            )
        else:
            examples.append(Example(name, name, (), messages=_turns(task, row), fields=dict(row.values)))
    if not examples:
        raise DataError(f"{path}: holds no prompt", hint="A row has the columns that the task's prompt names")
    return tuple({example.id: example for example in examples}.values())


def _references(task: TaskSpec, row: rows.Row) -> tuple[str, ...]:
    """The right answer, where the row has it."""
    if task.target is None or not templates.names(task.target) <= set(row.values):
        return ()
    text = templates.render(task.target, row.values, f"{row.where}: target")
    return (text,) if text.strip() else ()


def _turns(task: TaskSpec, row: rows.Row) -> tuple[Message, ...]:
    value = row.values.get(task.messages or "")
    turns = with_system(read_turns(value, f"{row.where}: {task.messages}"), value, row.values, row.where)
    return turns[:-1] if turns[-1].role == "assistant" else turns
