"""Tiny random models of several architectures, a task small enough to read, and plans over them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import TypeAdapter

from harness.config import ArmSpec, BaseModelSpec, DataSpec, ExperimentSpec, GenerateSpec, MetricsSpec, TaskSpec
from harness.records import Example, PreferencePair, ResolvedExperiment, RunPlan, TaskFiles, TrainingData

NAMES = ("Ada", "Ben", "Cleo", "Dan", "Eve", "Finn", "Gus", "Hana")
THINGS = ("a pear", "two nuts", "some rice", "one egg", "much tea")


def _config(kind: str, vocabulary: int) -> Any:
    from transformers import Gemma3TextConfig, GPT2Config, LlamaConfig, MistralConfig, Qwen3Config

    shape = {
        "vocab_size": vocabulary,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 16,
        "max_position_embeddings": 128,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "pad_token_id": 0,
    }
    if kind == "gpt2":
        return GPT2Config(
            vocab_size=vocabulary,
            n_embd=32,
            n_layer=2,
            n_head=2,
            n_positions=128,
            bos_token_id=1,
            eos_token_id=2,
            pad_token_id=0,
        )
    return {"llama": LlamaConfig, "qwen3": Qwen3Config, "gemma3": Gemma3TextConfig, "mistral": MistralConfig}[kind](
        **shape
    )


def save_tokenizer(folder: Path) -> Any:
    """A byte-level BPE of 320 entries that puts BOS before a text, as Llama's do."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    special = ["<pad>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=special,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    inner.train_from_iterator([f"{name} bought {thing}." for name in NAMES for thing in THINGS], trainer)
    inner.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="<s>", eos_token="</s>", pad_token="<pad>", model_max_length=128
    )
    tokenizer.save_pretrained(folder)
    return tokenizer


@pytest.fixture(scope="session")
def base_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Folder of a tiny random model of an architecture, made once."""
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    made: dict[str, Path] = {}

    def folder(kind: str = "llama") -> Path:
        if kind not in made:
            path = tmp_path_factory.mktemp(kind)
            tokenizer = save_tokenizer(path)
            torch.manual_seed(5)
            AutoModelForCausalLM.from_config(_config(kind, len(tokenizer))).save_pretrained(path)
            made[kind] = path
        return made[kind]

    return folder


@pytest.fixture(scope="session")
def task() -> TaskSpec:
    """Who bought what."""
    return TaskSpec(
        name="shop",
        data=DataSpec(path="shop.jsonl", licence="CC0-1.0"),
        prompt="{{ text }}\nWho?",
        target=" {{ name }}",
        generate=GenerateSpec(max_new_tokens=12),
        metrics=MetricsSpec(primary="exact_match"),
    )


@pytest.fixture(scope="session")
def data() -> TrainingData:
    """40 examples to train on, 8 to validate, 40 pairs."""
    rows = [(name, thing) for name in NAMES for thing in THINGS]

    def example(index: int, name: str, thing: str) -> Example:
        text = f"{name} bought {thing}" + " and went home" * (index % 3) + "."
        return Example(
            id=f"e{index}", group=f"g{index}", references=(f" {name}",), prompt=f"{text}\nWho?", fields={"text": text}
        )

    examples = [example(index, *row) for index, row in enumerate(rows * 2)]
    pairs = [PreferencePair(e.id, e.references[0], f" not{e.references[0]} but another") for e in examples[:40]]
    return TrainingData(tuple(examples[:40]), tuple(examples[40:48]), tuple(pairs))


@pytest.fixture
def make_plan(base_folder: Callable[[str], Path], task: TaskSpec, tmp_path: Path) -> Callable[..., RunPlan]:
    """A plan for an arm written as a dict; `experiment` changes fields of the experiment."""

    def plan(
        arm: dict[str, Any],
        *,
        kind: str = "llama",
        home: Path = tmp_path,
        seed: int = 0,
        parent: str | None = None,
        **experiment: Any,
    ) -> RunPlan:
        spec_arm = TypeAdapter(ArmSpec).validate_python(arm)
        base = experiment.pop("base", None) or BaseModelSpec(path=str(base_folder(kind)))
        own_task = experiment.pop("own_task", task)
        train_id = experiment.pop("train_id", arm["method"])
        options = {"budget": {"examples": 20}, **experiment}
        spec = ExperimentSpec(task="shop", base_model=base, arms=[spec_arm], **options)
        resolved = ResolvedExperiment("e", home / "e.yaml", spec, own_task, home, (spec_arm,), base)
        files = TaskFiles(home / "tasks", home / "sealed", "f", "s")
        return RunPlan(resolved, spec_arm, arm["method"], seed, train_id, parent, home, files, "basehash", "cpu", 1)

    return plan
