"""Sends the right answers the way that a model's answers go, before anything is trained: each must get the best value.

A reference is encoded as a target, cut and decoded as a prediction, and scored. What cannot come back as it went in
(an end of turn in the wrong place, a special token in the text, too few new tokens) would cost every arm its score
without a word, and so would a metric that does not know the right answer when it sees it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from harness.config import BaseModelSpec, ChatSpec, TaskSpec
from harness.data.prompts import Prompter, context_length
from harness.errors import DataError
from harness.metrics import Answer, Metric, facts_of, metric
from harness.models.transformers.causal import eos_ids_of, finish
from harness.records import Example
from harness.redaction import named

SHOWN = 3
_BEST_OF = 1e-9
"""A value this close to the best is the best."""


@dataclass(slots=True)
class _Findings:
    """Metric → examples whose right answer does not get its best value, each with the reason."""

    missed: dict[str, list[tuple[str, str]]] = field(default_factory=dict)


def prompter(folder: Path, base: BaseModelSpec, chat: ChatSpec, task: TaskSpec) -> Prompter:
    """The prompter of the base model in `folder`."""
    from transformers import AutoConfig

    from harness.models.transformers import loading

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    return Prompter(loading.load_tokenizer(folder), chat, task, context_length(base, config))


def end_ids(tokenizer: Any, folder: Path) -> tuple[int, ...]:
    """The tokens that end an answer of the model in `folder`, as its generation config and its tokenizer have them."""
    from transformers import GenerationConfig

    try:
        config = GenerationConfig.from_pretrained(str(folder), local_files_only=True)
    except OSError:
        return eos_ids_of(tokenizer, None)
    return eos_ids_of(tokenizer, config.eos_token_id)


def check(
    prompter: Prompter | None,
    task: TaskSpec,
    examples: Sequence[Example],
    ends: Sequence[int],
    own: Mapping[str, Metric],
) -> list[str]:
    """Notes on right answers that do not get the best value of a metric; `own` are the user's metrics by name.

    Raises DataError where that is so for the primary metric and the task does not allow it. Without a prompter, of a
    task that no model is named for, the answers are scored as they stand, and all that is found is a note.
    """
    findings = _Findings()
    chosen = [own.get(name) or metric(name) for name in dict.fromkeys([task.metrics.primary, *task.metrics.also])]
    chosen = [each for each in chosen if each.source == "prediction" and each.name != "length_limited"]
    sums: dict[str, list[Any]] = {}
    for example in examples:
        given, why = _through(prompter, task, example, ends) if prompter else (example.references[0], "")
        for each in chosen:
            _measure(each, task, example, given, why, findings, sums)
    for each in chosen:
        if each.kind == "corpus" and each.combine is not None and each.bounds is not None and sums.get(each.name):
            value = float(each.combine(np.sum(sums[each.name], axis=0)))
            if _short(each, value) and each.name not in findings.missed:
                findings.missed[each.name] = [("", f"all right answers together get {value:g}")]
    notes = [_sentence(name, missed, len(examples)) for name, missed in findings.missed.items()]
    if prompter is not None and task.metrics.primary in findings.missed and task.allow_unreachable is None:
        raise DataError(
            _sentence(task.metrics.primary, findings.missed[task.metrics.primary], len(examples)),
            hint=_way_out(task.metrics.primary, findings.missed[task.metrics.primary])
            + " or say in the task why it does not matter: `allow_unreachable: REASON`",
        )
    if notes and task.allow_unreachable is not None:
        notes.append(f"right answers out of reach are allowed: {task.allow_unreachable}")
    return notes


def _through(prompter: Prompter, task: TaskSpec, example: Example, ends: Sequence[int]) -> tuple[str, str]:
    """The first reference as this model would give it, and what is wrong with that; "" where nothing is."""
    row = prompter.encode(example)
    limit = task.generate.max_new_tokens
    stops = tuple(dict.fromkeys((*task.generate.stop, *prompter.stops)))
    answer = finish(prompter.tokenizer, ends, row.target[:limit], stops)
    right = example.references[0]
    if _same(answer.text, right):
        return answer.text, ""
    if len(row.answer) > limit:
        return answer.text, f"it takes {len(row.answer)} tokens, generate.max_new_tokens is {limit}"
    if right.strip().startswith(answer.text.strip()):
        return answer.text, "an end of turn, or a stop string, stands inside it"
    return answer.text, "this tokenizer and chat template write it otherwise"


def _same(text: str, right: str) -> bool:
    return unicodedata.normalize("NFC", text) == unicodedata.normalize("NFC", right)


def _measure(
    each: Metric,
    task: TaskSpec,
    example: Example,
    given: str,
    why: str,
    findings: _Findings,
    sums: dict[str, list[Any]],
) -> None:
    """Score one right answer as it went in and as it came out, and note where it is not the best."""
    references = tuple(unicodedata.normalize("NFC", reference) for reference in example.references)
    true = facts_of(example, task.facts)

    def value(text: str) -> float | None:
        measured = each.score(
            Answer(unicodedata.normalize("NFC", text), references, true, "stop", example.id, example.fields)
        )
        if measured is not None and measured.statistics is not None and text == given:
            sums.setdefault(each.name, []).append(measured.statistics)
        return measured.value if measured is not None else None

    came_out = value(given)
    went_in = value(references[0]) if why else came_out
    if came_out is None or went_in is None:
        return
    if why and abs(came_out - went_in) > _BEST_OF:
        findings.missed.setdefault(each.name, []).append((example.id, why))
    elif each.bounds is not None and _short(each, went_in):
        findings.missed.setdefault(each.name, []).append((example.id, f"it gets {went_in:g} itself"))


def _short(each: Metric, value: float) -> bool:
    """Whether a value is not the metric's best."""
    assert each.bounds is not None
    best = each.bounds[1] if each.direction == "higher" else each.bounds[0]
    return abs(value - best) > _BEST_OF * max(1.0, abs(best))


def _sentence(name: str, missed: Sequence[tuple[str, str]], of: int) -> str:
    if missed[0][0] == "":
        return f"{name} does not give the right answers its best value: {missed[0][1]}"
    reasons = dict.fromkeys(why for _, why in missed)
    shown = "; ".join(
        f"{named(next(name_ for name_, other in missed if other == why))}: {why}" for why in list(reasons)[:SHOWN]
    )
    return f"{name}: {len(missed)} of {of} right answers would not get its best value ({shown})"


def _way_out(name: str, missed: Sequence[tuple[str, str]]) -> str:
    said = " ".join(why for _, why in missed)
    if "max_new_tokens" in said:
        return "Raise generate.max_new_tokens,"
    if "itself" in said or "together" in said:
        if name.startswith("rouge"):
            return f"ROUGE knows Latin letters only: write {name.partition(':')[0]}:words or :characters,"
        if name == "bleu":
            return "Write bleu:zh or bleu:char for text without spaces, chrf or exact_match for short answers,"
        return "Choose a metric that knows them,"
    return "Mend them, or the chat template,"
