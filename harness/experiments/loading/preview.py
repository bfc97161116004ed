"""What a model meets: rendered prompts with their label masks, lengths and truncation, before anything is trained."""

from __future__ import annotations

import random
from pathlib import Path

from harness import metrics, redaction
from harness.config import BaseModelSpec, ChatSpec, TaskSpec
from harness.data.examples import read_examples
from harness.data.prompts import Preview, PreviewPrompt, Prompter, context_length, preview
from harness.data.splits import split_source, training_view
from harness.experiments.loading import load
from harness.models.transformers import loading
from harness.records import Example


def lines(task_path: Path, model: str, context: int | None = None, seed: int = 0) -> list[str]:
    """A task's train and validation examples as `model` (a folder or hub id) would be trained on them.

    Three examples are written out, chosen by `seed`; the lengths are over all. The sealed test split is not shown.
    """
    task, folder = load.load_task(task_path, metrics.METRICS)
    with redaction.texts(task.sensitive):
        source = read_examples(task, folder)
        view = training_view(source, split_source(source, task.splits, task.leakage))
        examples = [*view.train, *view.validation]
        return _lines(task, examples, BaseModelSpec(path=model, context=context), seed)


def _lines(task: TaskSpec, examples: list[Example], base: BaseModelSpec, seed: int) -> list[str]:
    from transformers import AutoConfig

    random.Random(seed).shuffle(examples)
    path = loading.resolve_base(base)
    config = AutoConfig.from_pretrained(str(path), local_files_only=True)
    prompter = Prompter(loading.load_tokenizer(path), ChatSpec(), task, context_length(base, config))
    rendered = render(preview(prompter, examples, 0 if task.sensitive else 3))
    return ["The task is sensitive: no prompt is shown.", "", *rendered] if task.sensitive else rendered


def render(found: Preview) -> list[str]:
    """A preview as lines; tokens that carry loss stand between ⟦ and ⟧."""
    out: list[str] = []
    for number, shown in enumerate(found.prompts, 1):
        out += [
            f"--- {number}. example {shown.example}"
            + (f", {shown.truncated} tokens cut on the left" if shown.truncated else "")
        ]
        out += [_masked(shown), ""]
    out.append(
        f"{found.examples} examples (train and validation), context {found.context} tokens,"
        f" {'chat template' if found.uses_chat else 'plain text'}; loss on what stands between ⟦ and ⟧"
    )
    for name, lengths in (
        ("prompt", found.prompt_lengths),
        ("target", found.target_lengths),
        ("both", found.total_lengths),
    ):
        out.append(f"  {name:<8}" + "  ".join(f"{share} {length}" for share, length in lengths.items()) + "  tokens")
    out.append(f"  prompts cut on the left: {found.truncated_prompts} ({found.truncated_tokens} tokens)")
    out += [f"  too long: {error}" for error in found.too_long[:5]]
    if len(found.too_long) > 5:
        out.append(f"  and {len(found.too_long) - 5} more")
    return out


def _masked(shown: PreviewPrompt) -> str:
    text, inside = "", False
    for token, carries_loss in shown.tokens:
        if carries_loss != inside:
            text += "⟦" if carries_loss else "⟧"
            inside = carries_loss
        text += token
    return text + ("⟧" if inside else "")
