"""Validates the files that people write, and the data that tasks name, without loading a model: `harness check`."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from harness import redaction
from harness.config import ExperimentSpec, GateSpec, ImportedSpec, PeftSpec, TaskSpec
from harness.config.documents import Document, read_document, shown, validate
from harness.errors import DataError, ModelError, SpecError
from harness.experiments.loading.load import (
    METHODS,
    find_task,
    load_arm,
    load_experiment,
    load_task,
    recipe_notes,
    stock_folder,
)
from harness.experiments.loading.suites import load_suite
from harness.metrics import is_own
from harness.records import Example, ResolvedExperiment


def check(path: Path, known_metrics: Collection[str] | None = None, data: bool = True) -> list[str]:
    """Validate a task, arm or experiment file, or every one below a folder; one line for each.

    With `data` a task's rows are read too: columns, templates, splits, leaks. Files of lm-eval (below a folder
    `lm_eval`) and hidden folders are left out. Raises the first HarnessError.
    """
    if not path.exists():
        stocked = find_task(path, None) or stock_folder() / path
        if not stocked.exists():
            raise SpecError("no such file or folder", file=str(path), hint="Check the path")
        path = stocked
    inside = [file for file in (path, path / "task.yaml") if file.is_file()][:1]
    if not inside:
        files = sorted(file for pattern in ("*.yaml", "*.yml") for file in path.rglob(pattern))
        inside = [file for file in files if not _left_out(file.relative_to(path))]
    if not inside:
        raise SpecError("no YAML file below this folder", file=shown(path), hint="Name a task, arm or experiment")
    return [_check_file(file, known_metrics, data) for file in inside]


def _left_out(file: Path) -> bool:
    return any(part.startswith(".") or part in ("lm_eval", "node_modules", "site-packages") for part in file.parts)


def _check_file(file: Path, known_metrics: Collection[str] | None, data: bool) -> str:
    document = read_document(file)
    kind = _kind(document)
    if kind == "gates":
        gates = validate(document, (), GateSpec, document.value)
        return f"{shown(file)}: gates with {len(gates.rules)} rules against {gates.baseline}"
    if kind == "arm":
        arm = load_arm(file)
        return f"{shown(file)}: arm {arm.name} ({arm.method})"
    if kind == "experiment" and "suite" in document.value:
        listed = "; ".join(
            f"{experiment.name} on task {experiment.task.name}" for experiment in load_suite(file, known_metrics)
        )
        return f"{shown(file)}: suite: {listed}"
    if kind == "experiment":
        experiment = load_experiment(file, known_metrics)
        arms = ", ".join(str(arm.name) for arm in experiment.arms)
        line = f"{shown(file)}: experiment {experiment.name} on task {experiment.task.name}: {arms}"
        with redaction.texts(experiment.task.sensitive):
            notes = [f"note: {note}" for note in recipe_notes(experiment)]
            return "\n  ".join([line, *notes, *(_answer_lines(experiment) if data else [])])
    task, folder = load_task(file, known_metrics)
    with redaction.texts(task.sensitive):
        return f"{shown(file)}: task {task.name}" + (f": {_data_line(task, folder)}" if data else "")


def _answer_lines(experiment: ResolvedExperiment) -> list[str]:
    """What `run` would say of the right answers and the chat template, where the base model's folder is at hand."""
    from harness.arms import imported, sft
    from harness.data.examples import read_examples
    from harness.data.splits import split_source
    from harness.experiments.evaluation import door
    from harness.models.transformers import loading

    task = experiment.task
    for arm in experiment.arms:
        if isinstance(arm, PeftSpec):
            sft.adapter_config(arm)
        if isinstance(arm, ImportedSpec):
            imported.kind_of(Path(arm.path))
    divided = split_source(read_examples(task, experiment.task_dir), task.splits, task.leakage)
    named = [f"note: {note}" for note in lm_eval_notes(task, experiment.task_dir)]
    if all(arm.method in ("toy", "endpoint") for arm in experiment.arms):
        return named
    try:
        folder = loading.resolve_base(experiment.base)
        prompter = door.prompter(folder, experiment.base, experiment.spec.chat, task)
    except ModelError as error:
        return [*named, f"not checked against the model: {error.message}"]
    for example in divided.training.train:
        prompter.encode(example)
    scored = (*divided.training.validation, *divided.sealed)
    notes = door.check(prompter, task, scored, door.end_ids(prompter.tokenizer, folder))
    return [*named, *(f"note: {note}" for note in (*prompter.notes, *notes))]


def lm_eval_notes(task: TaskSpec, folder: Path) -> list[str]:
    """Notes on the metrics of lm-eval that a task declares; imports lm-eval only where it does.

    Raises SpecError for a metric that lm-eval will not give.
    """
    if not any("/" in name and not is_own(name) for name in (task.metrics.primary, *task.metrics.also)):
        return []
    from harness.experiments.evaluation import lm_eval_scores

    return lm_eval_scores.check_names(task, folder)


def is_experiment(file: Path) -> bool:
    """Whether a path is the YAML file of an experiment."""
    return file.is_file() and _kind(read_document(file)) == "experiment"


def is_gates(file: Path) -> bool:
    """Whether a YAML file holds the rules of a gate."""
    return _kind(read_document(file)) == "gates"


def _kind(document: Document) -> str:
    """The kind of a file by the fields it has, so that a typo in one of them does not hide it."""
    fields = set(document.value)
    if "method" in fields:
        return "arm"
    scores = {
        "task": len(fields & set(TaskSpec.model_fields)) + (document.file.name == "task.yaml"),
        "experiment": len(fields & set(ExperimentSpec.model_fields)),
        "arm": len(fields & {name for kind in METHODS.values() for name in kind.model_fields}),
        "gates": len(fields & set(GateSpec.model_fields)),
    }
    best = max(scores, key=lambda name: scores[name])
    if not scores[best]:
        raise document.error((), "neither a task nor an arm nor an experiment", "An arm has `method`, a task `data`")
    return best


def _data_line(task: TaskSpec, folder: Path) -> str:
    from harness.data.examples import read_examples, read_retention
    from harness.data.splits import leak_line, split_source
    from harness.experiments.evaluation import door
    from harness.metrics.definition import Answer
    from harness.metrics.user_metrics import load_own, try_out

    source = read_examples(task, folder)
    divided = split_source(source, task.splits, task.leakage)
    splits = divided.splits
    try:
        retention = read_retention(task, folder)
    except DataError as error:
        raise DataError(f"retention: {error.message}", hint=error.hint) from None
    parts = [
        f"{len(source.examples)} examples",
        f"{len(splits.train)} train, {len(splits.validation)} validation, {len(splits.test)} test",
    ]
    if source.pairs:
        held_out = f"{len(divided.heldout_pairs)} held-out"
        parts.append(f"{len(divided.training.pairs)} train and {held_out} preference pairs")
    if retention:
        parts.append(f"{len(retention)} retention texts")
    own = load_own([task.metrics.primary, *task.metrics.also], folder, sensitive=task.sensitive)
    chosen = source.examples[:3] if own else ()  # with the right answer for the prediction
    try_out(own, [Answer(e.references[0], e.references, None, "stop", e.id, e.fields) for e in chosen])
    if own:
        parts.append(f"own metrics {', '.join(own)}")
    if splits.merged:
        parts.append(f"{sum(len(groups) for groups in splits.merged)} groups joined by near-duplicates")
    if splits.leaks:
        what = "dropped" if task.leakage and task.leakage.drop else "allowed"
        parts.append(f"{len(splits.leaks)} leaking pairs {what}")
    summary = "; ".join([*parts, *source.notes, f"fingerprint {splits.fingerprint}"])
    scored = door.check(None, task, (*divided.training.validation, *divided.sealed), ())
    samples = [] if task.sensitive else [*divided.training.train[:1], *divided.training.validation[:1]]
    rendered = [f"{split}: {_sample(e)}" for split, e in zip(("train", "validation"), samples, strict=False)]
    notes = [f"note: {note}" for note in (*scored, *lm_eval_notes(task, folder))]
    return "\n  ".join([summary, *map(leak_line, splits.leaks), *notes, *rendered])


def _sample(example: Example) -> str:
    """The prompt and the target of one example, on one line and shortened in the middle."""
    turns = [f"[{turn.role}] {turn.content}" for turn in example.messages or ()]
    prompt = "\n".join(turns) if turns else f"{example.prompt}"
    texts = [text if len(text) <= 200 else f"{text[:100]} … {text[-100:]}" for text in (prompt, example.references[0])]
    return f"{texts[0]!r} → {texts[1]!r}"
