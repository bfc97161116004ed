"""Merge an adapter into its base, quantise, save: what is written is loaded again and held against what was saved."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from harness.config import QuantSpec
from harness.data.prompts import NO_OVERRIDE, Prompter
from harness.errors import ModelError
from harness.records import Artefact, RunPlan

if TYPE_CHECKING:
    import torch

Quantised = Literal["nf4", "int8"]
MERGE_TOLERANCE = {"float32": 0.05, "float16": 1.0, "bfloat16": 1.0}
"""How far merging may move a logit, by the base's data type: rounding of the sum of two weights, not another model."""
SAME_LOGITS = 1e-3
"""A model that is loaded again differs by no more from what was saved."""


@dataclass(frozen=True, slots=True)
class Merged:
    """What merging did."""

    into: str
    """The weights that the adapter was merged into, in words; empty where nothing was merged."""
    largest_change: float
    """Largest difference of a logit between the adapter on its base and the merged model, on 16 fixed tokens."""


def write_merged(plan: RunPlan, artefact: Artefact, folder: Path) -> Merged:
    """The run's model as one whole model in the base's data type, with tokenizer, chat template and greedy generation
    config, in `folder`.

    An adapter that was trained over a quantised base is merged into that base as the adapter saw it: the quantised
    weights, dequantised. Merged into the original weights it would be a model that nobody has evaluated.

    Raises ModelError for an adapter that cannot be merged, or that changes nothing.
    """
    from harness.arms import saving
    from harness.models.transformers import loading, same_model
    from harness.models.transformers.causal import CausalModel

    base = plan.experiment.base
    source = plan.run_folder / str(artefact.path)
    if artefact.kind != "adapter":
        kind = loading.quantised_folder(source)
        if kind is not None:
            raise ModelError(f"the model is quantised already ({kind})", hint="Ship the folder that was imported")
        model, tokenizer = loading.load_full(source, base, plan.device, None)
        merged = Merged("", 0.0)
    else:
        quantisation = QuantSpec(**artefact.quantisation) if artefact.quantisation else None
        model, tokenizer = loading.load_base(base, plan.device, quantisation)
        plain = model if quantisation is None else _dequantised(plan, model)
        adapted = loading.load_adapter(model, source)
        before = same_model.probe(adapted)
        model = _merge(adapted if quantisation is None else loading.load_adapter(plain, source), source)
        change = float((same_model.probe(model) - before).abs().max())
        allowed = MERGE_TOLERANCE.get(str(model.dtype).removeprefix("torch."), 1.0)
        if change > allowed:
            raise ModelError(
                f"merged into the weights the adapter is another model: logits move by {change:.3g} (at most"
                f" {allowed:g} is rounding)",
                hint="Export it without --merge. Adapters of an embedding or output head that share their weights"
                " cannot be merged",
            )
        into = "the base" if quantisation is None else f"the base as it was trained over ({quantisation.type})"
        merged = Merged(into, change)
    prompter = _own_template(plan, tokenizer)
    whole = CausalModel(model, tokenizer, context=base.context)
    # It was scored with the chat template's end of turn, so a server must stop there too.
    ends = [tokenizer.convert_tokens_to_ids(stop) for stop in prompter.stops]
    whole.model.generation_config.eos_token_id = [*whole.eos_ids, *ends] or None
    saving.save_full(whole.model, tokenizer, folder)
    _check_saved(plan, folder, same_model.probe(whole.model))
    return merged


def write_quantised(plan: RunPlan, whole: Path, kind: Quantised, folder: Path) -> None:
    """The whole model in folder `whole` quantised by bitsandbytes, saved in `folder`.

    Raises ModelError where bitsandbytes cannot quantise or save here, or where what it saved answers otherwise.
    """
    import torch
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig

    from harness.arms import saving
    from harness.models.transformers import loading, same_model

    loading.quiet()
    base = plan.experiment.base
    dtype = getattr(torch, base.dtype)
    if kind == "int8":
        config = BitsAndBytesConfig(load_in_8bit=True)
    else:
        config = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_compute_dtype=dtype)
    try:
        model = AutoModelForCausalLM.from_pretrained(
            str(whole),
            dtype=dtype,
            quantization_config=config,
            device_map={"": plan.device},
            use_safetensors=True,
            local_files_only=True,
        ).eval()
        # Before the first forward pass: bitsandbytes repacks 4-bit weights in it on some CPUs, and then saves nonsense.
        loading.plain_4bit(model)
        saving.save_full(model, loading.load_tokenizer(whole), folder)
    except Exception as error:
        reason = str(error).splitlines()[0][:160] if str(error) else type(error).__name__
        raise ModelError(
            f"bitsandbytes cannot make an {kind} export here ({reason})",
            hint="Export with --merge alone, or on a machine with another bitsandbytes or a GPU",
        ) from error
    _check_saved(plan, folder, same_model.probe(model))


def _dequantised(plan: RunPlan, quantised: Any) -> Any:
    """The base in full precision whose quantised layers have the weights that the quantised ones stand for."""
    import bitsandbytes as bnb
    import torch

    from harness.models.transformers import loading

    base = plan.experiment.base
    model = loading.load_weights(loading.resolve_base(base), base, plan.device, None)
    with torch.no_grad():
        for name, layer in quantised.named_modules():
            if isinstance(layer, bnb.nn.Linear4bit):
                weight = bnb.functional.dequantize_4bit(layer.weight.data, layer.weight.quant_state)
                model.get_submodule(name).weight.copy_(weight)
    return model


def _merge(adapted: Any, source: Path) -> Any:
    kind = str(getattr(adapted.active_peft_config, "peft_type", "?")).rpartition(".")[2]
    try:
        with warnings.catch_warnings():
            # Of weights that the head and the embeddings share: whether that harms is measured by the caller.
            warnings.filterwarnings("ignore", message=".*tie_word_embeddings")
            merged = adapted.merge_and_unload(safe_merge=True)
    except (AttributeError, NotImplementedError, ValueError, TypeError) as error:
        raise ModelError(
            f"the {kind} adapter in {source.name} cannot be merged into the weights", hint="Export it without --merge"
        ) from error
    if hasattr(merged, "peft_config"):
        del merged.peft_config
    return merged.eval()


def _own_template(plan: RunPlan, tokenizer: Any) -> Prompter:
    """The prompter that the model was scored with; the tokenizer gets the experiment's chat template, if it has one."""
    experiment = plan.experiment
    prompter = Prompter(tokenizer, experiment.spec.chat, experiment.task, experiment.base.context or 1, NO_OVERRIDE)
    if experiment.spec.chat.template is not None:
        tokenizer.chat_template = prompter.template
    return prompter


def _check_saved(plan: RunPlan, folder: Path, before: torch.Tensor) -> None:
    """Raise ModelError unless what lies in `folder` has the logits `before`."""
    from harness.models.transformers import loading, same_model

    after = same_model.probe(loading.load_weights(folder, plan.experiment.base, plan.device, None))
    gap = float((after - before).abs().max())
    if not gap <= SAME_LOGITS:
        raise ModelError(
            f"what was saved does not answer as it did before (logits differ by {gap:.3g})",
            hint="Export without --quantise, or with another version of bitsandbytes",
        )
