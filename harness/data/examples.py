"""Turns a task's rows into examples, preference pairs and retention texts; every error names file and line.

Columns and templates that the task names wrongly are errors of the task file (SpecError with its line); what is wrong
in a row is an error of the data (DataError with the row's place).
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from harness.config import TaskSpec, templates
from harness.config.cells import as_text
from harness.config.documents import find_field, list_names, shown
from harness.data import hub, rows
from harness.data.conversations import TURNS, read_turns, split_answer, with_system
from harness.data.rows import Row
from harness.errors import DataError, SpecError
from harness.records import Example, Message, PreferencePair, RetentionText, SourceData, Split, digest
from harness.redaction import quoted


@dataclass(slots=True)
class _Reader:
    """The task that is read, the columns of its rows, and notes for people collected on the way."""

    task: TaskSpec
    folder: Path
    columns: tuple[str, ...]
    """Every column of any row."""
    notes: list[str] = field(default_factory=list)

    def spec_error(self, name: str, message: str, hint: str, offset: int = 0) -> SpecError:
        """An error of field `name` (dotted) of the task file; `offset` counts lines within a template from 1."""
        file, line = find_field(self.folder, self.task.name, tuple(name.split(".")), offset)
        return SpecError(message, file=file, line=line, field=name, hint=hint)

    def column(self, row: Row, name: str, column: str) -> Any:
        """The value of `column`, which field `name` of the task names."""
        if column in row.values:
            return row.values[column]
        if column not in self.columns:
            raise self.spec_error(
                name, f"the data has no column {column!r}", templates.columns_hint(column, self.columns)
            )
        raise DataError(f"{row.where}: this row has no {column!r}", hint=f"It has {list_names(list(row.values))}")

    def render(self, row: Row, name: str, template: str) -> str:
        """`template`, which is field `name` of the task, filled with the row's columns."""
        try:
            return templates.render(template, row.values, f"{row.where}: {name}")
        except DataError:
            broken = templates.problem(template)
            if broken is not None:
                raise self.spec_error(name, broken.message, "", broken.line) from None
            names = templates.names(template)
            missing = sorted(names - set(self.columns))
            if missing:
                message = f"the template names {missing[0]!r}, which is no column"
                raise self.spec_error(name, message, templates.columns_hint(missing[0], self.columns)) from None
            absent = sorted(names - set(row.values))
            if absent:
                raise DataError(
                    f"{row.where}: {name}: this row has no {absent[0]!r}, which other rows have",
                    hint=f"Add it to the row (null is no text), or write {{{{ {absent[0]} | default('') }}}}",
                ) from None
            raise


def read_examples(task: TaskSpec, task_dir: Path) -> SourceData:
    """Every example, pair and compared text of `task`, whose file lies in `task_dir`. Raises SpecError or DataError.

    Ids are the id column, or the hash of the row's content (rows that repeat another entirely are then merged, with a
    note). Of data that comes split, ids and groups are namespaced by the split: `train/0`.
    """
    by_split, provenance = _read_rows(task, task_dir)
    every = [row for part in by_split.values() for row in part]
    if not every:
        raise DataError(
            f"{shown(task_dir)}: the data of task {task.name!r} has no rows", hint="Check the files it names"
        )
    reader = _Reader(task, task_dir, tuple(dict.fromkeys(name for row in every for name in row.values)))
    rewritten = [row for row in every if row.rewritten]
    if rewritten:
        reader.notes.append(
            f"{len(rewritten)} rows hold numbers that read otherwise than they are written"
            f" ({quoted(rewritten[0].rewritten)} in {rewritten[0].where}): write them as text to keep them"
        )
    examples: dict[Split | None, tuple[Example, ...]] = {}
    parsed: list[tuple[Row, Example]] = []
    for split, part in by_split.items():
        split_examples = _examples(reader, part, split)
        examples[split] = tuple(example for _, example in split_examples)
        parsed += split_examples
    return SourceData(
        examples=tuple(example for _, example in parsed),
        by_split=None if None in examples else cast("Mapping[Split, tuple[Example, ...]]", examples),
        pairs=_pairs(reader, parsed),
        texts=_texts(reader, parsed),
        provenance=provenance,
        notes=tuple(reader.notes),
    )


def read_retention(task: TaskSpec, task_dir: Path) -> list[RetentionText]:
    """The task's retention texts (columns `text`, and `id` and `domain` where there are); empty without any."""
    if task.retention is None or (task.retention.path is None and task.retention.builder is None):
        return []
    if task.retention.builder is not None:
        text_rows = rows.read_builder(task.retention.builder, task.retention.options, task_dir)
    else:
        text_rows = [
            row for file in rows.find_files(task.retention.path or "", task_dir) for row in rows.read_file(file)
        ]
    texts = []
    seen: dict[str, str] = {}
    for number, row in enumerate(text_rows):
        text = row.values.get("text")
        if not isinstance(text, str) or not text.strip():
            raise DataError(f"{row.where}: a retention text needs a `text` column that is not empty")
        id_ = row.values.get("id")
        name = as_text(number if id_ is None else id_)
        if name in seen:
            raise DataError(
                f"{row.where}: the id {quoted(name)} stands in {seen[name]} too", hint="Retention ids must differ"
            )
        seen[name] = row.where
        texts.append(RetentionText(name, text, as_text(row.values.get("domain"))))
    if not texts:
        raise DataError(f"{shown(task_dir)}: the retention text of task {task.name!r} has no rows")
    return texts


# ---------------------------------------------------------------------------------------------------------- rows


def _read_rows(task: TaskSpec, task_dir: Path) -> tuple[dict[Split | None, list[Row]], dict[str, Any]]:
    """Rows by the split they came in, or under None, and where they came from."""
    data = task.data
    if data.builder is not None:
        builder_rows = rows.read_builder(data.builder, data.options, task_dir)
        return {None: builder_rows}, rows.builder_provenance(data.builder, data.options, task_dir)
    if data.hub is not None:
        by_name = hub.read_hub(data, task_dir)
        provenance = {"hub": data.hub, "revision": data.revision, "subset": data.subset, "hub_split": data.hub_split}
        if data.hub_split is not None:
            return {None: by_name[data.hub_split]}, provenance
        if task.splits is not None:
            if len(by_name) > 1:
                hint = f"Say `hub_split: {next(iter(by_name))}`, or remove `splits` to keep the data set's own"
                raise DataError(f"data.hub: {data.hub!r} has several splits ({', '.join(by_name)})", hint=hint)
            return {None: next(iter(by_name.values()))}, provenance
        return cast("dict[Split | None, list[Row]]", hub.own_splits(by_name, data.hub)), provenance
    if data.files is not None:
        names: tuple[Split, ...] = ("train", "validation", "test")
        files = {split: rows.find_files(getattr(data.files, split), task_dir) for split in names}
        every = [file for part in files.values() for file in part]
        twice = next((file for file in every if every.count(file) > 1), None)
        if twice is not None:
            raise DataError(
                f"{shown(twice)}: stands in two splits of task {task.name!r}", hint="Give each its own file"
            )
        return {split: _read_files(part) for split, part in files.items()}, _file_provenance(every, task_dir)
    paths = rows.find_files(data.path or "", task_dir)
    return {None: _read_files(paths)}, _file_provenance(paths, task_dir)


def _read_files(files: Sequence[Path]) -> list[Row]:
    return [row for file in files for row in rows.read_file(file)]


def _file_provenance(files: Sequence[Path], folder: Path) -> dict[str, Any]:
    base = folder.resolve()
    names = {file: str(file.relative_to(base)) if file.is_relative_to(base) else file.name for file in files}
    return {"files": {names[file]: rows.file_hash(file) for file in files}}


# ------------------------------------------------------------------------------------------------------ examples


def _examples(reader: _Reader, part: Sequence[Row], split: Split | None) -> list[tuple[Row, Example]]:
    """Rows with their examples, ids checked."""
    parsed: list[tuple[Row, Example]] = []
    locations: dict[str, list[str]] = {}
    repeated = 0
    for row in part:
        id_column = reader.task.id
        name = digest(row.values) if id_column is None else _name(reader, row, "id", id_column)
        locations.setdefault(name, []).append(row.where)
        if len(locations[name]) > 1:
            repeated += 1
            continue
        parsed.append((row, _example(reader, row, name, f"{split}/" if split else "")))
    if repeated and reader.task.id is not None:
        offenders = [
            f"{quoted(name)} in {' and '.join(where[:2])}" for name, where in locations.items() if len(where) > 1
        ]
        more = f" (and {len(offenders) - 3} more)" if len(offenders) > 3 else ""
        message = f"the id column {reader.task.id!r} is not unique: {'; '.join(offenders[:3])}{more}"
        raise DataError(message, hint="Name a column without duplicates, or leave `id` out to use the hash of the row")
    if repeated:
        reader.notes.append(f"{repeated} rows that repeat another row were merged with it")
    return parsed


def _name(reader: _Reader, row: Row, field: str, column: str) -> str:
    """The value of a column that names something."""
    value = reader.column(row, field, column)
    if isinstance(value, (list, dict)) or not as_text(value).strip():
        raise DataError(f"{row.where}: the {field} column {column!r} is empty or no plain value")
    return as_text(value)


def _example(reader: _Reader, row: Row, name: str, prefix: str) -> Example:
    task = reader.task
    group = name if task.group is None else _name(reader, row, "group", task.group)
    fields = dict(row.values)
    if task.facts is not None:
        fields[task.facts] = _facts(reader, row, task.facts)
    identity: dict[str, Any] = {"id": prefix + name, "group": prefix + group, "fields": fields}
    if task.messages is not None:
        turns, target = _conversation(reader, row, task.messages)
        return Example(references=(target,), messages=turns, **identity)
    prompt = reader.render(row, "prompt", task.prompt or "")
    if not prompt.strip():
        raise DataError(f"{row.where}: the prompt is empty", hint="Check the columns that the template names")
    return Example(references=_references(reader, row), prompt=prompt, system=task.system, **identity)


def _references(reader: _Reader, row: Row) -> tuple[str, ...]:
    if reader.task.references is None:
        target = reader.render(row, "target", reader.task.target or "")
        if not target.strip():
            raise DataError(f"{row.where}: the target is empty", hint="Remove the row, or check the target template")
        return (target,)
    value = _from_json(reader.column(row, "references", reader.task.references))
    valid = isinstance(value, list) and value and all(isinstance(item, str) and item.strip() for item in value)
    if not valid:
        message = f"the column {reader.task.references!r} must hold a list of one or more texts that are not empty"
        raise DataError(f"{row.where}: {message}")
    return tuple(value)


def _conversation(reader: _Reader, row: Row, column: str) -> tuple[tuple[Message, ...], str]:
    """Turns before the target, and the target."""
    value = _from_json(reader.column(row, "messages", column))
    where = f"{row.where}: {column}"
    turns = with_system(read_turns(value, where), value, row.values, row.where)
    if len(turns) < 2:
        raise DataError(f"{where}: must be a list of two or more turns", hint=f"{TURNS}, the last the target")
    if turns[-1].role != "assistant":
        raise DataError(
            f"{where}: the last turn is {quoted(turns[-1].role)}", hint="The last turn must be the assistant's target"
        )
    if not turns[-1].content.strip():
        raise DataError(f"{where}: the target (the last turn) is empty")
    if not any(turn.content.strip() for turn in turns[:-1] if turn.role != "system"):
        raise DataError(f"{where}: the prompt is empty: no text before the last turn")
    return turns[:-1], turns[-1].content


def _facts(reader: _Reader, row: Row, column: str) -> list[dict[str, Any]]:
    value = _from_json(reader.column(row, "facts", column))
    if not isinstance(value, list) or not all(isinstance(f, dict) and {"slot", "value"} <= f.keys() for f in value):
        raise DataError(f"{row.where}: the column {column!r} must hold a list of facts", hint="[{slot, value}, …]")
    return value


def _from_json(value: Any) -> Any:
    """A list that came as JSON text, as it does in csv files; anything else as it is."""
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return json.loads(value)
        except (ValueError, RecursionError):
            return value
    return value


def _pairs(reader: _Reader, parsed: Sequence[tuple[Row, Example]]) -> tuple[PreferencePair, ...]:
    preferences = reader.task.preferences
    if preferences is None:
        return ()
    pairs = []
    equal = 0
    for row, example in parsed:
        rejected = _side(reader, row, example, "rejected")
        if not rejected.strip():
            continue
        chosen = _side(reader, row, example, "chosen")
        if not chosen.strip():
            raise DataError(f"{row.where}: the chosen answer is empty and the rejected one is not")
        if chosen == rejected:
            equal += 1
            continue
        pairs.append(PreferencePair(example.id, chosen, rejected))
    if equal:
        reader.notes.append(f"{equal} preference pairs with equal answers were left out")
    if not pairs:
        raise reader.spec_error("preferences.rejected", "no row has a rejected answer", "Check the template's column")
    return tuple(pairs)


_ONE_COLUMN = re.compile(r"\s*\{\{-?\s*(\w+)\s*-?\}\}\s*")


def _side(reader: _Reader, row: Row, example: Example, side: str) -> str:
    """The chosen or rejected answer: what the template writes, or the last turn of a column that holds turns."""
    template = str(getattr(reader.task.preferences, side))
    column = _ONE_COLUMN.fullmatch(template)
    value = _from_json(row.values.get(column[1])) if column else None
    if not isinstance(value, list) or not value:
        return reader.render(row, f"preferences.{side}", template)
    where = f"{row.where}: {side}"
    before, answer = split_answer(value, where)
    system = [Message("system", example.system)] if example.system else []
    turns = example.messages or (*system, Message("user", example.prompt or ""))
    if before and tuple(turn for turn in before if turn.role != "system") != tuple(
        turn for turn in turns if turn.role != "system"
    ):
        hint = "What stands before the answer must be the example's own prompt, or be left out"
        raise DataError(f"{where}: the turns before the answer are not the prompt of this row", hint=hint)
    return answer


def _texts(reader: _Reader, parsed: Sequence[tuple[Row, Example]]) -> dict[str, str]:
    """Example id → the part of its prompt that comes from its row, which leak checks compare."""
    task = reader.task
    if task.prompt is not None:
        rendered = (
            (templates.render_variables(task.prompt, row.values, f"{row.where}: prompt"), e) for row, e in parsed
        )
        return {example.id: text if text.strip() else example.prompt or "" for text, example in rendered}
    systems = {tuple(turn.content for turn in e.messages or () if turn.role == "system") for _, e in parsed}
    # A system text that all conversations share says nothing about any of them.
    left_out = "system" if len(systems) == 1 else None
    return {e.id: "\n".join(turn.content for turn in e.messages or () if turn.role != left_out) for _, e in parsed}
