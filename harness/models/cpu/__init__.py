"""Kernels that make small float32 models quick on a CPU, all behind `resources.cpu_kernels`.

`layers` computes a Llama in few passes over memory; `scoring` and `decoding` put tokens of many rows through it end to
end. `training` does the same for forward and backward passes, and `imports` spares a process what it would import in
vain. Nothing here is needed for a result: with `off` the libraries' own layers do all of it, as on an accelerator.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from harness.models.cpu.scoring import CpuScorer as CpuScorer

IMPORTS = "harness.models.cpu.imports"
"""A module to import before peft."""


def serve(device: str, cpu_kernels: str) -> bool:
    """Whether models on `device` may use these kernels under that setting of `resources.cpu_kernels`."""
    return device == "cpu" and cpu_kernels == "on"


def scorer(model: Any, cpu_kernels: str) -> CpuScorer | None:
    """Scoring and greedy decoding of `model`, where it is laid out like a Llama in float32 on a CPU.

    Whether it computes what its layout suggests is for the caller to find out by comparing numbers.
    """
    if not serve(model.device.type, cpu_kernels):
        return None
    from harness.models.cpu.layers import Decoder
    from harness.models.cpu.scoring import CpuScorer

    decoder = Decoder.of(model)
    return None if decoder is None else CpuScorer(decoder)


def greedy(
    scorer: CpuScorer, prompts: Sequence[Sequence[int]], limit: int, ended: Callable[[list[int]], bool]
) -> list[list[int]]:
    """Greedy answers; see `decoding.greedy`."""
    from harness.models.cpu import decoding

    return decoding.greedy(scorer, prompts, limit, ended)


def fused_layers(device: str, cpu_kernels: str) -> Callable[[Any], AbstractContextManager[None]]:
    """Model → context within which its forward passes use these kernels; one that changes nothing where they do not
    serve."""
    if not serve(device, cpu_kernels):
        return nullcontext
    from harness.models.cpu.training import applied

    return applied


def shorten_imports(device: str, cpu_kernels: str) -> None:
    """Import bitsandbytes the short way, where these kernels serve."""
    if serve(device, cpu_kernels):
        importlib.import_module(IMPORTS)
