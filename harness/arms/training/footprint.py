"""How much memory an arm is expected to need, before it begins: what the same recipe took before, else a rough formula.

Measured: the largest `peak_memory_bytes` in this home of a training with the same base, data, precision, device and
recipe (learning rate, schedule, seed and budget aside); on a CPU that is the process with its libraries. Estimated, in
bytes, without loading anything:

    weights      elements of the safetensors files × bytes of the data type; matrices of a 4-bit base at 4.5 bits
    training     full: gradient and two moments for each weight. Adapter: weight, gradient and moments in float32
    activations  tokens × layers × (10 · width + 4 · inner width) × bytes, tokens = micro-batch × longest row (twice for
                 the two answers of a pair); with eager attention also rows² × heads × layers × micro-batch × bytes
    head         tokens × vocabulary × 4 bytes × 3 (logits, their softmax, its gradient), as if all were targets

and what the libraries take themselves. Rows are taken at two characters a token, at most the context. The formula knows
no architecture; it is off by a factor of two easily, so that nothing but the moment of beginning may depend on it.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from harness.config import BaseModelSpec, ContinuedBase, DpoSpec, FullSpec, PeftSpec, TrainedBase
from harness.errors import HarnessError
from harness.models.transformers import loading
from harness.records import Example, RunPlan, digest, to_json
from harness.records.files import read_json, read_records

LIBRARIES = 800_000_000
"""Bytes of main memory that a process with torch, transformers and peft takes without a model."""
CONTEXT = 700_000_000
"""Bytes of an accelerator that its driver and libraries take in a process."""
SLACK = 1.1
"""An accelerator's allocator keeps more than is in use."""
SIZES = {"float32": 4, "bfloat16": 2, "float16": 2}
FOUR_BIT = 4.5 / 8
RANK = 16
"""Taken for adapters that name no rank."""
NOT_RECIPE = {"learning_rate", "schedule", "warmup", "weight_decay", "max_grad_norm", "name", "search", "evaluations"}
CHARACTERS_A_TOKEN = 2
LOGIT_BYTES = 1 << 30
"""Of logits held at a time while scoring."""


@dataclass(frozen=True, slots=True)
class BaseSizes:
    """What a base model's files say of its size, without loading it."""

    tensors: Mapping[str, tuple[int, ...]]
    """Name → shape."""
    width: int
    inner: int
    layers: int
    heads: int
    vocabulary: int
    context: int

    @property
    def elements(self) -> int:
        """All weights."""
        return sum(map(math.prod, self.tensors.values()))

    def matrices(self, targets: str | Sequence[str] = "all-linear") -> list[tuple[int, ...]]:
        """Shapes of the linear layers named in peft's way; embeddings and output head are none of them."""
        shapes = {
            name.removesuffix(".weight"): shape
            for name, shape in self.tensors.items()
            if len(shape) == 2 and self.vocabulary not in shape
        }
        if isinstance(targets, str):
            return list(shapes.values())
        return [shape for name, shape in shapes.items() if name.endswith(tuple(targets))]


def needs(plans: Sequence[RunPlan]) -> dict[str, int]:
    """`train_id` → bytes that executing the plan is expected to take at its peak; plans of which nothing is known are
    left out, as are those without a local model."""
    peaks: dict[Path, dict[str, int]] = {}
    needed: dict[str, int] = {}
    for plan in plans:
        if plan.arm.method in ("toy", "endpoint"):
            continue
        if plan.home not in peaks:
            peaks[plan.home] = measured(plan.home)
        try:
            peak = peaks[plan.home].get(recipe_of(to_json(plan)))
            if peak is not None:
                needed[plan.train_id] = in_process(peak, plan.device) if plan.device.startswith("cuda") else peak
            else:
                sizes, longest = base_sizes(plan.experiment.base), longest_row(plan.files.folder)
                needed[plan.train_id] = estimate(plan, sizes, longest)
        except (HarnessError, OSError, ValueError, KeyError, TypeError, struct.error):
            continue  # whoever loads it says what is wrong
    return needed


def estimate(plan: RunPlan, sizes: BaseSizes, characters: int) -> int:
    """Bytes at the peak of executing `plan` by the formula above; `characters` is the length of the longest row."""
    base, arm = plan.experiment.base, plan.arm
    size = SIZES[base.dtype]
    context = base.context or sizes.context
    longest = min(context, -(-characters // CHARACTERS_A_TOKEN))
    # For an arm that goes on from another one, that other decides what is trained.
    others = {other.name: other for other in plan.experiment.arms}
    root: Any = others.get(arm.parent, arm) if isinstance(arm, ContinuedBase) else arm
    quantised = getattr(root, "quantisation", None) is not None
    matrices = sum(map(math.prod, sizes.matrices()))
    weights = sizes.elements * size - (matrices * (size - FOUR_BIT) if quantised else 0)
    rows = plan.experiment.spec.resources.batch_tokens
    scoring = rows * (2 * sizes.width + 2 * sizes.inner) * size + min(LOGIT_BYTES, rows * sizes.vocabulary * 4)
    working = float(scoring)
    if isinstance(arm, TrainedBase):
        micro = arm.optimiser.micro_batch_size or arm.optimiser.batch_size
        tokens = micro * longest * (2 if isinstance(arm, DpoSpec) else 1)
        activations = tokens * sizes.layers * (10 * sizes.width + 4 * sizes.inner) * size
        if base.attention == "eager":
            activations += tokens * longest * sizes.heads * sizes.layers * size
        head = 3 * 4 * tokens * sizes.vocabulary
        working = max(working, activations + head + _trained(root, sizes, size))
    return in_process(weights + working, plan.device)


def in_process(size: float, device: str) -> int:
    """Bytes that a process takes in the memory of `device` when its tensors take `size`."""
    return int(SLACK * size + CONTEXT) if device.startswith("cuda") else int(size + LIBRARIES)


def _trained(arm: Any, sizes: BaseSizes, size: int) -> int:
    """Bytes of gradients and AdamW's moments, and of an adapter's own weights."""
    if isinstance(arm, FullSpec):
        return 3 * size * sizes.elements
    rank, targets = RANK, "all-linear"
    if isinstance(arm, PeftSpec):
        rank, targets = int(arm.config.get("r") or RANK), arm.config.get("target_modules") or targets
    elif hasattr(arm, "lora"):
        rank, targets = arm.lora.r, arm.lora.target_modules
    return 16 * sum(rank * sum(shape) for shape in sizes.matrices(targets))


# ----------------------------------------------------------------------------------------------- what is read


@lru_cache
def base_sizes(base: BaseModelSpec) -> BaseSizes:
    """Sizes of a base model, from its config.json and the headers of its weights."""
    folder = loading.resolve_base(base)
    config = read_json(folder / "config.json")
    config = config.get("text_config", config)
    width = int(config.get("hidden_size") or config["n_embd"])
    return BaseSizes(
        tensors={name: shape for file in sorted(folder.glob("*.safetensors")) for name, shape in headers(file)},
        width=width,
        inner=int(config.get("intermediate_size") or config.get("n_inner") or 4 * width),
        layers=int(config.get("num_hidden_layers") or config["n_layer"]),
        heads=int(config.get("num_attention_heads") or config["n_head"]),
        vocabulary=int(config["vocab_size"]),
        context=int(config.get("max_position_embeddings") or config.get("n_positions") or 2048),
    )


def headers(file: Path) -> list[tuple[str, tuple[int, ...]]]:
    """Names and shapes of the tensors in a safetensors file, from its header alone."""
    with file.open("rb") as stream:
        (length,) = struct.unpack("<Q", stream.read(8))
        header = json.loads(stream.read(length))
    return [(name, tuple(entry["shape"])) for name, entry in header.items() if name != "__metadata__"]


@lru_cache
def longest_row(folder: Path) -> int:
    """Characters of the longest train example in a prepared task, prompt and target."""
    return max(map(_characters, read_records(folder / "train.jsonl", Example)), default=0)


def _characters(example: Example) -> int:
    turns = sum(len(message.content) for message in example.messages or ())
    return len(example.system or "") + len(example.prompt or "") + turns + max(map(len, example.references))


def measured(home: Path) -> dict[str, int]:
    """Recipe → the largest peak that a training of it had in `home`, finished or at a rung of a race."""
    largest: dict[str, int] = {}
    for file in sorted((home / "runs").glob("*/plan.json")):
        records = [file.parent / "run.json", *file.parent.glob("rungs/*/run.json")]
        try:
            ledgers = [read_json(record)["ledger"] for record in records if record.exists()]
            peak = max((int(ledger.get("peak_memory_bytes") or 0) for ledger in ledgers), default=0)
            recipe = recipe_of(read_json(file)) if peak else ""
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if peak:
            largest[recipe] = max(largest.get(recipe, 0), peak)
    return largest


def recipe_of(plan: Mapping[str, Any]) -> str:
    """Hash of what decides the memory of a training, from a plan as plain data (its file, or `to_json` of it)."""
    experiment = plan["experiment"]
    base = experiment["base"]

    def recipe(arm: Mapping[str, Any]) -> Any:
        kept = {name: value for name, value in arm.items() if name not in NOT_RECIPE}
        optimiser = {name: value for name, value in arm.get("optimiser", {}).items() if name not in NOT_RECIPE}
        parent = next((one for one in experiment["arms"] if one.get("name") == arm.get("parent")), None)
        return [kept | {"optimiser": optimiser}, None if parent is None else recipe(parent)]

    precision = [base.get(name) for name in ("dtype", "autocast", "attention", "context")]
    return digest([plan["base_hash"], precision, plan["device"], plan["files"]["fingerprint"], recipe(plan["arm"])])
