"""Writes a task's split and leak-checked examples to the two folders that training and scoring read.

    home/tasks/NAME-FINGERPRINT/    train.jsonl  validation.jsonl  pairs.jsonl  manifest.json
    home/sealed/NAME-FINGERPRINT/   test.jsonl  pairs.jsonl  pair_examples.jsonl  retention.jsonl  lm_eval/TASK.jsonl
                                    manifest.json

The two folders stand apart because only the first is ever handed to a trainer.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness import redaction
from harness.config import DpoSpec, LmEvalSpec, PairsFileSpec, TaskSpec
from harness.data.examples import read_examples, read_retention
from harness.data.near_duplicates import normalise
from harness.data.preference_files import read_pairs
from harness.data.splits import Divided, leak_line, prompt_text, split_source
from harness.errors import LeakageError
from harness.records import Example, ResolvedExperiment, SourceData, Splits, TaskFiles, digest
from harness.records.files import read_json, write_json, write_records, write_text

DATA_FILE = "DATA_FILE"
"""Stands in a local lm-eval task's YAML where the sealed test split's rows belong."""
SHOWN_LEAKS = 5


@dataclass(frozen=True, slots=True)
class Prepared:
    """A task on disk, with its splits and the notes that are printed of it."""

    files: TaskFiles
    splits: Splits
    notes: tuple[str, ...]
    groups: Mapping[str, str]
    """Test example id → group."""

    @property
    def sizes(self) -> dict[str, int]:
        """Examples in each split."""
        sides = {"train": self.splits.train, "validation": self.splits.validation, "test": self.splits.test}
        return {name: len(ids) for name, ids in sides.items()}


def prepare(experiment: ResolvedExperiment, home: Path) -> Prepared:
    """Read, split and check the experiment's task and write it under `home`; what is there already is kept.

    Raises SpecError, DataError, or LeakageError for a leak that the task neither drops nor allows.
    """
    with redaction.texts(experiment.task.sensitive):
        return _prepare(experiment, home)


def _prepare(experiment: ResolvedExperiment, home: Path) -> Prepared:
    task = experiment.task
    source = read_examples(task, experiment.task_dir)
    documents = _lm_eval_documents(task, experiment.task_dir, home)
    divided = split_source(source, task.splits, task.leakage, documents)
    _refuse_test_prompts(experiment, divided.sealed)
    return Prepared(
        files=_files(experiment, source, divided, home),
        splits=divided.splits,
        notes=(*source.notes, *leak_notes(task, divided.splits)),
        groups={example.id: example.group for example in divided.sealed},
    )


def _refuse_test_prompts(experiment: ResolvedExperiment, test: tuple[Example, ...]) -> None:
    """Raise LeakageError where a file's preference pairs answer prompts of the sealed test split."""
    for arm in experiment.arms:
        if isinstance(arm, DpoSpec) and isinstance(arm.pairs, PairsFileSpec):
            sealed = {normalise(prompt_text(example)): example.id for example in test}
            for example in read_pairs(Path(arm.pairs.path), experiment.task).examples:
                same = sealed.get(normalise(prompt_text(example)))
                if same is not None:
                    line = int(example.id.partition("/")[2]) + 1
                    name = redaction.named(same)
                    raise LeakageError(
                        f"{arm.pairs.path}: line {line} has the prompt of a test example ({name})",
                        hint="Remove it: what is trained on cannot be measured on",
                    )


def _files(experiment: ResolvedExperiment, source: SourceData, divided: Divided, home: Path) -> TaskFiles:
    task = experiment.task
    templates = [task.system, task.prompt, task.target, task.messages, task.references]
    if task.special_tokens is not None:
        templates.append(task.special_tokens)
    training, examples, pairs = divided.training, divided.sealed, divided.heldout_pairs
    fingerprint = digest([templates, training])
    folder = home / "tasks" / f"{task.name}-{fingerprint}"
    if not (folder / "manifest.json").exists():
        write_records(folder / "train.jsonl", training.train)
        write_records(folder / "validation.jsonl", training.validation)
        write_records(folder / "pairs.jsonl", training.pairs)
        write_json(folder / "manifest.json", {"task": task, "provenance": source.provenance})
    retention = read_retention(task, experiment.task_dir)
    lm_eval = _lm_eval_files(task, experiment.task_dir)
    kept = [task.retention.tasks] if task.retention is not None and task.retention.tasks is not None else []
    suite = digest([templates, task.lm_eval, lm_eval, examples, pairs, retention, *kept])
    sealed = home / "sealed" / f"{task.name}-{suite}"
    if not (sealed / "manifest.json").exists():
        named = {pair.example for pair in pairs}
        write_records(sealed / "test.jsonl", examples)
        write_records(sealed / "pairs.jsonl", pairs)
        write_records(sealed / "pair_examples.jsonl", [e for e in source.examples if e.id in named])
        write_records(sealed / "retention.jsonl", retention)
        for name, text in lm_eval.items():
            if DATA_FILE in text:
                write_text(sealed / "lm_eval" / f"{name}.jsonl", _documents(examples))
        write_json(sealed / "manifest.json", {"task": task, "splits": divided.splits.fingerprint})
    return TaskFiles(folder, sealed, fingerprint, suite)


def _lm_eval_documents(task: TaskSpec, task_dir: Path, home: Path) -> dict[str, str]:
    """Documents of lm-eval tasks that are not made of our own test split, to be kept out of training; read once."""
    files = _lm_eval_files(task, task_dir)
    own = {name for name, text in files.items() if DATA_FILE in text}
    documents: dict[str, str] = {}
    for spec in _lm_eval_specs(task):
        foreign = [name for name in spec.tasks if name not in own]
        if not foreign:
            continue
        spec = spec.model_copy(update={"tasks": foreign})
        kept = home / "lm_eval_documents" / f"{digest([spec, files])}.json"
        if not kept.exists():
            from harness.models import lm_eval_tasks

            by_task = lm_eval_tasks.documents(spec, task_dir, home)
            write_json(kept, {f"{name}#{n}": text for name, texts in by_task.items() for n, text in enumerate(texts)})
        documents |= dict(read_json(kept))
    return documents


def _lm_eval_specs(task: TaskSpec) -> list[LmEvalSpec]:
    """The task's lm-eval tasks, and those of its retention."""
    return [spec for spec in (task.lm_eval, task.retention.tasks if task.retention else None) if spec is not None]


def _documents(examples: tuple[Example, ...]) -> str:
    """The test rows' columns as JSON lines, for a local lm-eval task."""
    return "".join(json.dumps({**row.fields, "id": row.id}, ensure_ascii=False) + "\n" for row in examples)


def _lm_eval_files(task: TaskSpec, task_dir: Path) -> dict[str, str]:
    """Task name → text of its YAML, for local lm-eval tasks: part of the suite's fingerprint.

    With the YAML of what a group or tag may be made of, and the code that a task calls, by path.
    """
    by_task: dict[str, str] = {}
    for spec in _lm_eval_specs(task):
        for path in sorted((task_dir / spec.include_path).rglob("*.yaml")) if spec.include_path is not None else ():
            text = path.read_text(encoding="utf8")
            name = re.search(r"^task:\s*[\"']?([\w.-]+)", text, re.MULTILINE)
            if name is not None and name.group(1) in spec.tasks:
                by_task[name.group(1)] = text
        if spec.include_path is not None:
            folder = task_dir / spec.include_path
            kinds = ["*.py"] * any("!function" in text for text in by_task.values())
            if not set(spec.tasks) <= set(by_task):
                kinds = ["*.py", "*.yaml"]
            for path in sorted(path for kind in kinds for path in folder.rglob(kind)):
                by_task[f"file:{path.relative_to(folder).as_posix()}"] = digest(path.read_text(encoding="utf8"))
    return by_task


def leak_notes(task: TaskSpec, splits: Splits) -> list[str]:
    """Notes about leaks that were dropped or allowed, and about groups that were joined."""
    notes = []
    if splits.merged:
        notes.append(f"{len(splits.merged)} sets of groups are joined because near-duplicates link them")
    if splits.leaks and task.leakage is not None:
        if task.leakage.drop:
            gone = {pair.dropped for pair in splits.leaks}
            notes.append(f"{len(splits.leaks)} leaking pairs: {len(gone)} examples dropped from the training side")
        else:
            notes.append(f"{len(splits.leaks)} leaking pairs allowed: {task.leakage.allow}")
        notes += [f"  {leak_line(pair)}" for pair in splits.leaks[:SHOWN_LEAKS]]
        if len(splits.leaks) > SHOWN_LEAKS:
            notes.append(f"  and {len(splits.leaks) - SHOWN_LEAKS} more; `harness check` lists them all")
    return notes
