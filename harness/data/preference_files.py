"""Reads preference pairs from a file in TRL's form: jsonl with `prompt`, `chosen` and `rejected`, as text or as turns.

`harness review export --as preferences` writes such a file; any other may be used.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.config import TaskSpec
from harness.config.documents import shown
from harness.data import rows
from harness.data.examples import read_turns
from harness.errors import DataError
from harness.records import Example, PreferencePair


@dataclass(frozen=True, slots=True)
class PairRows:
    """Pairs, each with the example whose prompt it answers."""

    examples: tuple[Example, ...]
    pairs: tuple[PreferencePair, ...]
    splits: Mapping[str, int]
    """Split that the lines name for their prompt → number of pairs."""


def pairs_hash(path: Path) -> str:
    """SHA-256 of the file's bytes: the identity of what is trained on."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def read_pairs(path: Path, task: TaskSpec) -> PairRows:
    """Every pair of the file, in order; lines whose answers are equal are left out.

    The system text of a task with `prompt` is added, as every prompt of that task has it. Raises DataError naming file
    and line, for a prompt of the test split too.
    """
    examples, pairs = [], []
    splits: dict[str, int] = {}
    for number, row in enumerate(rows.read_file(path)):
        missing = [name for name in ("prompt", "chosen", "rejected") if not row.values.get(name)]
        if missing:
            raise DataError(
                f"{row.where}: {missing[0]} is missing or empty", hint="A pair has prompt, chosen and rejected"
            )
        provenance = row.values.get("provenance")
        split = str(provenance.get("split", "unknown")) if isinstance(provenance, Mapping) else "unknown"
        if split == "test":
            raise DataError(
                f"{row.where}: this prompt is of the test split", hint="Take pairs over validation or fresh prompts"
            )
        chosen, rejected = (_answer(row, name) for name in ("chosen", "rejected"))
        if chosen == rejected:
            continue
        splits[split] = splits.get(split, 0) + 1
        name = f"pairs/{number}"
        examples.append(_example(row, name, chosen, task))
        pairs.append(PreferencePair(name, chosen, rejected))
    if not pairs:
        raise DataError(f"{shown(path)}: holds no preference pair", hint="A line has prompt, chosen and rejected")
    return PairRows(tuple(examples), tuple(pairs), splits)


def _example(row: rows.Row, name: str, chosen: str, task: TaskSpec) -> Example:
    prompt = row.values["prompt"]
    if task.messages is None:
        if not isinstance(prompt, str):
            raise DataError(f"{row.where}: prompt: must be a text, as the task's prompts are", hint="Not a list")
        return Example(name, name, (chosen,), prompt=prompt, system=task.system)
    return Example(name, name, (chosen,), messages=read_turns(prompt, f"{row.where}: prompt"))


def _answer(row: rows.Row, column: str) -> str:
    """The text of an answer, which TRL also takes as one assistant turn."""
    value = row.values[column]
    if isinstance(value, str):
        return value
    turns = read_turns(value, f"{row.where}: {column}")
    if len(turns) != 1 or turns[0].role != "assistant" or not turns[0].content:
        raise DataError(f"{row.where}: {column}: must be a text, or one turn of the assistant")
    return turns[0].content
