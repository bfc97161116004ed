"""Reads preference pairs from a file in one of TRL's forms; `harness review export --as preferences` writes the first.

Explicit: `prompt`, `chosen` and `rejected`, as text or as turns. Implicit: `chosen` and `rejected` are conversations
that begin with the same prompt (with a `prompt` beside them, as UltraFeedback has it, it must be that one).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from harness.config import TaskSpec
from harness.config.documents import shown
from harness.data import rows
from harness.data.conversations import read_turns, split_answer
from harness.errors import DataError
from harness.records import Example, Message, PreferencePair


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
        prompt, chosen, rejected = _pair(row)
        provenance = row.values.get("provenance")
        split = str(provenance.get("split", "unknown")) if isinstance(provenance, Mapping) else "unknown"
        if split == "test":
            raise DataError(
                f"{row.where}: this prompt is of the test split", hint="Take pairs over validation or fresh prompts"
            )
        if chosen == rejected:
            continue
        splits[split] = splits.get(split, 0) + 1
        name = f"pairs/{number}"
        examples.append(_example(row, name, prompt, chosen, task))
        pairs.append(PreferencePair(name, chosen, rejected))
    if not pairs:
        raise DataError(f"{shown(path)}: holds no preference pair", hint="A line has prompt, chosen and rejected")
    return PairRows(tuple(examples), tuple(pairs), splits)


def _pair(row: rows.Row) -> tuple[tuple[Message, ...], str, str]:
    """Turns of the prompt, chosen and rejected answer of one line. Raises DataError that names a form without pairs."""
    values = row.values
    if not (values.get("chosen") and values.get("rejected")):
        if "completion" in values and "label" in values:
            hint = "DPO needs two answers to one prompt: a line with prompt, chosen and rejected"
            raise DataError(f"{row.where}: KTO's form (completion and label) holds no pair", hint=hint)
        name = "rejected" if values.get("chosen") else "chosen"
        raise DataError(f"{row.where}: {name} is missing or empty", hint="A pair has prompt, chosen and rejected")
    sides = [split_answer(values[name], f"{row.where}: {name}") for name in ("chosen", "rejected")]
    implied = {before for before, _ in sides if before}
    if len(implied) > 1:
        raise DataError(f"{row.where}: chosen and rejected answer different prompts", hint="All but the last turn")
    given = values.get("prompt")
    if given:
        text = isinstance(given, str)
        turns = (Message("user", given),) if text else read_turns(given, f"{row.where}: prompt")
        begun = tuple(turn for turn in next(iter(implied), turns) if not text or turn.role != "system")
        if begun != turns:
            hint = "Remove one of the two, or make them alike"
            raise DataError(f"{row.where}: chosen and rejected begin with another prompt than `prompt`", hint=hint)
        turns = next(iter(implied), turns)
    elif implied:
        turns = next(iter(implied))
    else:
        hint = "Text with the prompt inside cannot be told apart: give prompt, chosen and rejected"
        raise DataError(f"{row.where}: prompt is missing or empty", hint=hint)
    return turns, sides[0][1], sides[1][1]


def _example(row: rows.Row, name: str, prompt: tuple[Message, ...], chosen: str, task: TaskSpec) -> Example:
    if task.messages is not None:
        return Example(name, name, (chosen,), messages=prompt)
    system, turns = [turn for turn in prompt if turn.role == "system"], [t for t in prompt if t.role != "system"]
    if len(turns) != 1 or turns[0].role != "user" or (system and [turn.content for turn in system] != [task.system]):
        what = "has a system text that is not the task's" if len(turns) == 1 else f"is a conversation of {len(turns)}"
        hint = "Prompts of this task are one text: use a task with `messages`, or pairs with such prompts"
        raise DataError(f"{row.where}: prompt: must be a text, as the task's prompts are; it {what}", hint=hint)
    return Example(name, name, (chosen,), prompt=turns[0].content, system=task.system)
