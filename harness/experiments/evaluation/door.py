"""Sends the right answers the way that a model's answers go, before anything is trained: each must get the best value.

A reference is encoded as a target, cut and decoded as a prediction, and scored. What cannot come back as it went in
(an end of turn in the wrong place, a special token in the text, too few new tokens) would cost every arm its score
without a word, and so would a metric that does not know the right answer when it sees it.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from harness.config import BaseModelSpec, ChatSpec, TaskSpec
from harness.data.prompts import NO_OVERRIDE, Prompter, PromptOverride, context_length
from harness.errors import DataError
from harness.metrics import Answer, Metric, facts_of, is_own, metric
from harness.models.transformers.causal import eos_ids_of, finish
from harness.records import Example
from harness.redaction import named

SHOWN = 3
"""Reasons that a message names, each with an example."""
NEAR = 1e-9
"""A value this close to the best is the best."""
Missed = dict[str, list[tuple[str, str]]]
"""Metric → examples whose right answer does not get its best value, each with the reason; "" stands for all."""


def prompter(
    folder: Path, base: BaseModelSpec, chat: ChatSpec, task: TaskSpec, override: PromptOverride = NO_OVERRIDE
) -> Prompter:
    """The prompter of the base model in `folder`."""
    from transformers import AutoConfig

    from harness.models.transformers import loading

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    theirs = Prompter(loading.load_tokenizer(folder), chat, task, context_length(base, config), override)
    theirs.vocabulary = getattr(config.get_text_config(), "vocab_size", None)
    return theirs


def end_ids(tokenizer: Any, folder: Path) -> tuple[int, ...]:
    """The tokens that end an answer of the model in `folder`, as its generation config and its tokenizer have them."""
    from transformers import GenerationConfig

    try:
        config = GenerationConfig.from_pretrained(str(folder), local_files_only=True)
    except OSError:
        return eos_ids_of(tokenizer, None)
    return eos_ids_of(tokenizer, config.eos_token_id)


def check(prompter: Prompter | None, task: TaskSpec, examples: Sequence[Example], ends: Sequence[int]) -> list[str]:
    """Notes on right answers that do not get the best value of a metric.

    Raises DataError where that is so for the primary metric and the task does not allow it. Without a prompter, of a
    task that no model is named for, the answers are scored as they stand, and all that is found is a note. A user's own
    metric is not called (it may cost money): an answer that comes back otherwise counts against it.
    """
    names = list(dict.fromkeys([task.metrics.primary, *task.metrics.also]))
    chosen = [metric(name) for name in names]
    chosen = [each for each in chosen if each.source == "prediction" and each.name != "length_limited"]
    missed: Missed = {}
    sums: dict[str, list[Any]] = {}
    for example in examples:
        given, why = _through(prompter, task, example, ends) if prompter else (example.references[0], "")
        for each in chosen:
            reason = _short_of_best(each, task, example, (given, why), sums)
            if reason:
                missed.setdefault(each.name, []).append((example.id, reason))
    for each in chosen:
        if each.combine is not None and sums.get(each.name) and each.name not in missed:
            value = float(each.combine(np.sum(sums[each.name], axis=0)))
            if not _is_best(each, value):
                missed[each.name] = [("", f"all right answers together get {value:g}")]
    notes = [_sentence(name, rows, len(examples)) for name, rows in missed.items()]
    formatted = sum(map(prompter.is_formatted, examples)) if prompter is not None else 0
    if formatted:
        notes.append(
            f"{formatted} of {len(examples)} prompts hold what the chat template writes around a turn, and are put into"
            " it once more: give the bare text, or chat: {use: never} where the data is formatted already"
        )
    primary = missed.get(task.metrics.primary)
    if prompter is not None and primary and task.allow_unreachable is None:
        raise DataError(
            _sentence(task.metrics.primary, primary, len(examples)),
            hint=f"{_way_out(task.metrics.primary, primary)}, or say in the task why it does not matter:"
            " `allow_unreachable: REASON`",
        )
    if notes and task.allow_unreachable is not None:
        notes.append(f"right answers out of reach are allowed: {task.allow_unreachable}")
    return notes


def _through(prompter: Prompter, task: TaskSpec, example: Example, ends: Sequence[int]) -> tuple[str, str]:
    """The first reference as this model would give it, and what is wrong with that; "" where nothing is."""
    row = prompter.encode(example)
    limit = task.generate.max_new_tokens
    answer = finish(prompter.tokenizer, ends, row.target[:limit], prompter.stop_strings)
    right = example.references[0]
    if _form(answer.text) == _form(right):
        return answer.text, ""
    if len(row.answer) > limit:
        return answer.text, f"it takes {len(row.answer)} tokens, generate.max_new_tokens is {limit}"
    if right.strip().startswith(answer.text.strip()) and answer.text.strip() != right.strip():
        return answer.text, "an end of turn, or a stop string, stands inside it"
    return answer.text, "this tokenizer and chat template write it otherwise"


def _short_of_best(
    each: Metric, task: TaskSpec, example: Example, through: tuple[str, str], sums: dict[str, list[Any]]
) -> str:
    """Why one right answer does not get the metric's best value; "" where it does, or where nobody can say.

    Statistics of corpus metrics are added to `sums`.
    """
    given, why = through
    right = example.references[0]
    if is_own(each.name):
        return why if _form(given).strip() != _form(right).strip() else ""
    references = tuple(map(_form, example.references))
    true = facts_of(example, task.facts)

    def measured(text: str) -> Any:
        return each.score(Answer(_form(text), references, true, "stop", example.id, example.fields))

    came_out = measured(given)
    if came_out is None or came_out.value is None:
        return ""
    if came_out.statistics is not None:
        sums.setdefault(each.name, []).append(came_out.statistics)
    went_in = came_out if not why else measured(right)
    if abs(came_out.value - went_in.value) > NEAR:
        return why
    return "" if _is_best(each, went_in.value) else f"it gets {went_in.value:g} itself"


def _form(text: str) -> str:
    return unicodedata.normalize("NFC", text)


def _is_best(each: Metric, value: float) -> bool:
    """Whether a value is the metric's best, or the metric has none."""
    if each.bounds is None:
        return True
    best = each.bounds[1] if each.direction == "higher" else each.bounds[0]
    return abs(value - best) <= NEAR * max(1.0, abs(best))


def _sentence(name: str, missed: Sequence[tuple[str, str]], of: int) -> str:
    if missed[0][0] == "":
        return f"{name} does not give the right answers its best value: {missed[0][1]}"
    first = {why: example for example, why in reversed(missed)}
    shown = "; ".join(f"{named(first[why])}: {why}" for why in list(dict.fromkeys(why for _, why in missed))[:SHOWN])
    return f"{name}: {len(missed)} of {of} right answers would not get its best value ({shown})"


def _way_out(name: str, missed: Sequence[tuple[str, str]]) -> str:
    said = " ".join(why for _, why in missed)
    if "max_new_tokens" in said:
        return "Raise generate.max_new_tokens"
    if "itself" in said or "together" in said:
        if name.startswith("rouge"):
            return f"ROUGE knows Latin letters only: write {name.partition(':')[0]}:words or :characters"
        if name == "bleu":
            return "Write bleu:zh or bleu:char for text without spaces, chrf or exact_match for short answers"
        return "Choose a metric that knows them"
    return "Mend them, or the chat template"
