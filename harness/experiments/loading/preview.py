"""Shows what a model meets before anything is trained: rendered prompts with their label masks, lengths, truncation."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from harness import metrics, redaction
from harness.arms.untrained import choose_shots
from harness.config import BaseModelSpec, ChatSpec, FewShotSpec
from harness.config.documents import nearest
from harness.data.examples import read_examples
from harness.data.prompts import IGNORED, NO_OVERRIDE, Encoded, Prompter, PromptOverride
from harness.data.splits import split_source
from harness.errors import DataError, UsageError
from harness.experiments.evaluation import door
from harness.experiments.loading import load
from harness.experiments.loading.check import is_experiment
from harness.models.transformers import loading
from harness.records import Example, ResolvedExperiment, TrainingData


@dataclass(frozen=True, slots=True)
class PreviewPrompt:
    """One example as the model meets it: the text of every token with whether it carries loss."""

    example: str
    tokens: tuple[tuple[str, bool], ...]
    truncated: int


@dataclass(frozen=True, slots=True)
class Preview:
    """What `harness preview` shows."""

    prompts: tuple[PreviewPrompt, ...]
    examples: int
    context: int
    uses_chat: bool
    lengths: Mapping[str, Mapping[str, int]]
    """Of `prompt`, `target` and `both`: tokens by percentile (nearest rank): p5, p50, p95, p99, max."""
    truncated_prompts: int
    truncated_tokens: int
    too_long: tuple[str, ...]
    """Errors of examples whose target does not fit."""


def lines(
    path: Path, model: str | None, arm: str | None = None, context: int | None = None, seed: int = 0
) -> list[str]:
    """A task's train and validation examples as `model` (a folder or hub id) would be trained on them.

    Of an experiment: by its own base model, chat settings and task, and with the prompt and the few-shot examples of
    its `arm`. Three examples are written out, chosen by `seed`; the lengths are over all. The sealed test split is not
    shown. Raises UsageError where it takes a model and none is named, or where the experiment has no such arm.
    """
    file = load.find_experiment(path)
    experiment = load.load_experiment(path, metrics.METRICS) if is_experiment(file) else None
    if experiment is None:
        if model is None or arm is not None:
            raise UsageError("a task alone has no model and no arms", hint="Give --model, or an experiment file")
        task, folder = load.load_task(path, metrics.METRICS)
        base, chat = BaseModelSpec(path=model, context=context), ChatSpec()
    else:
        task, folder, base, chat = experiment.task, experiment.task_dir, experiment.base, experiment.spec.chat
        changed = {"path": model, "context": context}
        base = base.model_copy(update={name: value for name, value in changed.items() if value is not None})
    with redaction.texts(task.sensitive):
        source = read_examples(task, folder)
        training = split_source(source, task.splits, task.leakage).training
        examples = [*training.train, *training.validation]
        random.Random(seed).shuffle(examples)
        override = _override(experiment, arm, training) if experiment is not None and arm is not None else NO_OVERRIDE
        prompter = door.prompter(loading.resolve_base(base), base, chat, task, override)
        rendered = render(preview(prompter, examples, 0 if task.sensitive else 3))
    return ["The task is sensitive: no prompt is shown.", "", *rendered] if task.sensitive else rendered


def _override(experiment: ResolvedExperiment, name: str, training: TrainingData) -> PromptOverride:
    """How an arm changes the prompt."""
    chosen = {str(arm.name): arm for arm in experiment.arms}
    if name not in chosen:
        raise UsageError(f"{experiment.name} has no arm {name}", hint=nearest(name, list(chosen)))
    arm = chosen[name]
    shots = choose_shots(training.train, arm.k) if isinstance(arm, FewShotSpec) else ()
    return PromptOverride(prompt=getattr(arm, "prompt", None), shots=shots)


def preview(prompter: Prompter, examples: Sequence[Example], shown: int) -> Preview:
    """Encode `examples` as for training and describe them; the first `shown` are written out."""
    encoded: list[tuple[Example, Encoded]] = []
    too_long: list[str] = []
    for example in examples:
        try:
            encoded.append((example, prompter.encode(example)))
        except DataError as error:
            too_long.append(error.message)
    prompts = [len(row.prompt) + row.truncated for _, row in encoded]
    targets = [len(row.target) for _, row in encoded]
    both = map(sum, zip(prompts, targets, strict=True))
    return Preview(
        prompts=tuple(_prompt(prompter, example, row) for example, row in encoded[:shown]),
        examples=len(examples),
        context=prompter.context,
        uses_chat=prompter.uses_chat,
        lengths={"prompt": percentiles(prompts), "target": percentiles(targets), "both": percentiles(both)},
        truncated_prompts=sum(row.truncated > 0 for _, row in encoded),
        truncated_tokens=sum(row.truncated for _, row in encoded),
        too_long=tuple(too_long),
    )


def percentiles(lengths: Iterable[int]) -> Mapping[str, int]:
    """Nearest-rank percentiles of whole numbers; empty for none."""
    ranked = sorted(lengths)
    if not ranked:
        return {}
    picks = {f"p{share}": ranked[max(0, -(-share * len(ranked) // 100) - 1)] for share in (5, 50, 95, 99)}
    return {**picks, "max": ranked[-1]}


def _prompt(prompter: Prompter, example: Example, row: Encoded) -> PreviewPrompt:
    labelled = zip(row.input_ids, row.labels, strict=True)
    tokens = [(str(prompter.tokenizer.decode([token])), label != IGNORED) for token, label in labelled]
    return PreviewPrompt(example.id, tuple(tokens), row.truncated)


def render(preview: Preview) -> list[str]:
    """A preview as lines; tokens that carry loss stand between ⟦ and ⟧."""
    out: list[str] = []
    for number, shown in enumerate(preview.prompts, 1):
        cut = f", {shown.truncated} tokens cut on the left" if shown.truncated else ""
        out += [f"--- {number}. example {redaction.named(shown.example)}{cut}", _masked(shown), ""]
    out.append(
        f"{preview.examples} examples (train and validation), context {preview.context} tokens,"
        f" {'chat template' if preview.uses_chat else 'plain text'}; loss on what stands between ⟦ and ⟧"
    )
    for name, lengths in preview.lengths.items():
        out.append(f"  {name:<8}" + "  ".join(f"{share} {length}" for share, length in lengths.items()) + "  tokens")
    out.append(f"  prompts cut on the left: {preview.truncated_prompts} ({preview.truncated_tokens} tokens)")
    out += [f"  too long: {error}" for error in preview.too_long[:5]]
    return [*out, f"  and {len(preview.too_long) - 5} more"] if len(preview.too_long) > 5 else out


def _masked(prompt: PreviewPrompt) -> str:
    text, inside = "", False
    for token, carries_loss in prompt.tokens:
        if carries_loss != inside:
            text += "⟦" if carries_loss else "⟧"
            inside = carries_loss
        text += token
    return text + ("⟧" if inside else "")
