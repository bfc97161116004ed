"""Supervised fine-tuning: full, LoRA, QLoRA and any other adapter that peft knows. One loop; the model differs.

The loss is the cross-entropy of completion tokens, a mean over all of them in an effective batch. TRL's SFTTrainer
computes the same loss (a test compares them), but scores masked positions too where its fused head has no Triton.
"""

from __future__ import annotations

import dataclasses
import difflib
import time
import warnings
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from harness.arms import Progress, TrainResult, artefacts
from harness.arms.training.order import budgeted_order, derived_seed, training_order
from harness.arms.untrained import load as load
from harness.config import BudgetSpec, FullSpec, LoraArmSpec, PeftSpec, QloraSpec, TrainedBase
from harness.data.prompts import Encoded, Prompter, context_length
from harness.errors import SpecError, refuse_unknown
from harness.records import Example, Ledger, RunPlan, TrainingData, digest

if TYPE_CHECKING:
    from harness.arms.saving import Trainable

VERSION = 4
VALIDATION_EXAMPLES = 64
"""At most so many validation examples are scored each time: enough for a curve, cheap beside the training."""


def train(plan: RunPlan, data: TrainingData, progress: Progress) -> TrainResult:
    """Train one arm with one seed; see `arms.Arm.train`."""
    done = artefacts.read_result(plan.run_folder)
    if done is not None:
        return done
    from harness.arms import saving
    from harness.arms.training import loop, losses
    from harness.arms.training.job import Job, memory_errors

    assert isinstance(plan.arm, TrainedBase) and plan.seed is not None
    started = time.perf_counter()
    progress("prepare", 0, 1)
    plan.run_folder.mkdir(parents=True, exist_ok=True)
    with memory_errors("loading the base model"):
        trainable = prepare(plan)
    budget: BudgetSpec = plan.experiment.spec.budget
    rows, order = encode_budget(trainable.prompter, data.train, budget, plan.seed)
    refuse_unknown_tokens(trainable, rows.values())
    refuse_virtual_overflow(trainable, rows.values())
    objective = losses.CompletionLoss(trainable.pad_id)
    job = Job.of(plan, (rows, order), objective, validator(trainable, data.validation))
    job = dataclasses.replace(job, device_seconds=budget.device_seconds)
    progress("prepare", 1, 1)
    prepared = time.perf_counter() - started
    spent = loop.run(trainable.model, job, progress)
    seen = set(order[: spent.examples])
    costs = Ledger(prepare_seconds=prepared, truncated_prompts=sum(rows[index].truncated > 0 for index in seen))
    notes = _notes(budget, spent.examples, spent.train_seconds, order) + _adapter_notes(trainable.model)
    return saving.finish(plan, trainable, spent, costs, notes)


def prepare(plan: RunPlan) -> Trainable:
    """The base model with what is to be trained of it: the only thing in which the SFT arms differ."""
    from harness.arms import saving
    from harness.arms.training import loop
    from harness.models.transformers import loading

    arm = plan.arm
    assert plan.seed is not None
    quantisation = arm.quantisation if isinstance(arm, QloraSpec) else None
    base = plan.experiment.base
    # Full fine-tuning writes to the weights, so it has them for itself.
    load = loading.load_base if isinstance(arm, FullSpec) else loading.borrow_base
    model, tokenizer = load(base, plan.device, quantisation)
    prompter = make_prompter(plan, tokenizer, model)
    # Seeded after loading: an adapter's first weights must not depend on what loading drew.
    loop.seed_training(derived_seed(plan.seed, "initialisation"))
    if isinstance(arm, FullSpec):
        model.requires_grad_(True)
        return saving.Trainable(model, tokenizer, prompter, "full", None)
    adapted = add_adapter(model, adapter_config(arm))
    return saving.Trainable(adapted, tokenizer, prompter, "adapter", loading.quantisation_record(quantisation))


def make_prompter(plan: RunPlan, tokenizer: Any, model: Any) -> Prompter:
    """The prompter of a trained arm: the task's own prompt, nothing overridden."""
    experiment = plan.experiment
    context = context_length(experiment.base, model.config)
    return Prompter(tokenizer, experiment.spec.chat, experiment.task, context)


# ------------------------------------------------------------------------------------------------------- adapters


def adapter_config(arm: Any) -> Any:
    """The peft configuration of an arm. Raises SpecError for a type or field that peft does not know."""
    from peft import LoraConfig

    if isinstance(arm, (LoraArmSpec, QloraSpec)):
        return LoraConfig(
            task_type="CAUSAL_LM",
            r=arm.lora.r,
            lora_alpha=arm.lora.alpha,
            lora_dropout=arm.lora.dropout,
            target_modules=arm.lora.target_modules,
        )
    assert isinstance(arm, PeftSpec)
    return _any_config(arm)


def _any_config(arm: PeftSpec) -> Any:
    from peft import PEFT_TYPE_TO_CONFIG_MAPPING

    kinds = {str(kind.value): config for kind, config in PEFT_TYPE_TO_CONFIG_MAPPING.items()}
    kind = kinds.get(arm.type.upper())
    if kind is None:
        raise SpecError(
            f"peft knows no adapter type {arm.type}", field="type", hint=_nearest(arm.type.upper(), list(kinds))
        )
    fields = [field.name for field in dataclasses.fields(kind) if field.init]
    for name in arm.config:
        if name not in fields:
            raise SpecError(f"{kind.__name__} has no such field", field=f"config.{name}", hint=_nearest(name, fields))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return kind(**{"task_type": "CAUSAL_LM", **arm.config})
    except (TypeError, ValueError) as error:
        raise _refused(error) from error


def add_adapter(model: Any, config: Any) -> Any:
    """`model` with a fresh adapter; everything else is frozen. Raises SpecError when it does not fit the model."""
    from peft import get_peft_model

    try:
        with warnings.catch_warnings():
            # Advice only, such as fan_in_fan_out being set for layers that store their weight transposed.
            warnings.simplefilter("ignore")
            return get_peft_model(model, config)
    except (TypeError, ValueError, KeyError, AttributeError) as error:
        raise _refused(error) from error


def _adapter_notes(model: Any) -> tuple[str, ...]:
    """What a reader must know about how an adapter was trained."""
    if hasattr(getattr(model, "base_model", None), "update_and_allocate"):
        return ("AdaLoRA kept its first ranks: the shared loop neither reallocates them nor adds its penalty",)
    return ()


def _refused(error: Exception) -> SpecError:
    reason = " ".join(str(error).split())[:240] or type(error).__name__
    return SpecError(
        f"peft refuses this adapter: {reason}",
        field="config",
        hint="Set its target_modules and sizes to fit the base model (see the PEFT reference of that type)",
    )


def _nearest(name: str, names: Sequence[str]) -> str:
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f"Did you mean {close[0]}?" if close else f"It knows {', '.join(sorted(names))}"


def refuse_unknown_tokens(trainable: Trainable, rows: Iterable[Encoded]) -> None:
    """Raise ModelError when a row holds a token that the model has no embedding for; embeddings never grow."""
    size = int(trainable.model.get_input_embeddings().weight.shape[0])
    refuse_unknown(max((max(row.input_ids, default=0) for row in rows), default=0), size)


def refuse_virtual_overflow(trainable: Trainable, rows: Iterable[Encoded]) -> None:
    """Raise SpecError when virtual tokens and the longest row together leave the model's positions.

    Prompts are not cut shorter for such an arm: every arm of an experiment sees the same tokens.
    """
    config = getattr(trainable.model, "active_peft_config", None)
    virtual = int(getattr(config, "num_virtual_tokens", 0) or 0)
    longest = max((len(row.input_ids) for row in rows), default=0)
    limit = getattr(trainable.model.config.get_text_config(), "max_position_embeddings", None)
    if virtual and limit and virtual + longest > limit:
        raise SpecError(
            f"{virtual} virtual tokens and {longest} tokens of text exceed the model's {limit} positions",
            field="config.num_virtual_tokens",
            hint=f"Set base_model.context to {limit - virtual} (for every arm), or use fewer virtual tokens",
        )


# ----------------------------------------------------------------------------------------------------------- data


def encode_budget(
    prompter: Prompter, train: Sequence[Example], budget: BudgetSpec, seed: int
) -> tuple[dict[int, Encoded], list[int]]:
    """Rows by index into `train`, and the order in which they are seen, drawn with the training `seed`'s data order.

    Only rows that are seen are encoded.
    """
    drawn = derived_seed(seed, "data_order")
    if budget.examples is not None:
        order = training_order(len(train), budget.examples, drawn)
        seen = {index: prompter.encode(train[index]) for index in sorted(set(order))}
    else:
        seen = dict(enumerate(prompter.encode(example) for example in train))
        order = budgeted_order([len(row.input_ids) for row in seen.values()], budget, drawn)
    return seen, order


def validator(trainable: Trainable, validation: Sequence[Example]) -> Callable[[Any], float] | None:
    """A function model → mean loss (nats a target token) over at most VALIDATION_EXAMPLES; None without examples."""
    from harness.arms.training import losses

    chosen = sorted(validation, key=lambda example: digest(["validation", example.id]))[:VALIDATION_EXAMPLES]
    if not chosen:
        return None
    rows = sorted((trainable.prompter.encode(example) for example in chosen), key=lambda row: len(row.input_ids))
    batches = [losses.pad(rows[start : start + 16], trainable.pad_id) for start in range(0, len(rows), 16)]
    return lambda model: losses.completion_loss(model, batches)


def _notes(budget: BudgetSpec, examples: int, seconds: float, order: Sequence[int]) -> tuple[str, ...]:
    if budget.device_seconds is None:
        return ()
    if examples >= len(order):
        return (f"stopped after {examples} examples and {seconds:.1f} of {budget.device_seconds:g} s",)
    return (f"saw {examples} examples in {budget.device_seconds:g} s",)
