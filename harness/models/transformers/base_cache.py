"""At most one base model a process, lent to one adapter arm after the other instead of being loaded for each.

When a base comes back, peft unloads a LoRA adapter from it; after an adapter of another kind the base is loaded again.
Before a base is lent again it must be the model that was loaded: the same modules and configuration, the same bits in
every weight, and the same logits on a probe. Whoever loads weights of its own drops the kept base first, so memory
never holds both.
"""

from __future__ import annotations

import copy
import gc
import sys
from collections.abc import Callable, Hashable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

Probe = Callable[[Any], Any]
"""Model → logits of fixed token ids."""
REFUSALS = (AttributeError, TypeError, ValueError, RuntimeError)
"""How a model may say that it cannot be examined, or unloaded."""


@dataclass(slots=True)
class _Kept:
    """A base, what is known of it from right after loading, and whether an arm has it."""

    key: Hashable
    model: Any
    logits: Any
    """Of the probe."""
    state: tuple[Any, ...]
    flags: list[bool]
    """Whether each parameter requires a gradient."""
    generation: Any
    lent: bool = True

    @classmethod
    def of(cls, key: Hashable, model: Any, probe: Probe) -> _Kept | None:
        """The record of a model that was just loaded; None for one that cannot be examined."""
        try:
            flags = [weight.requires_grad for weight in model.parameters()]
            generation = copy.deepcopy(getattr(model, "generation_config", None))
            return cls(key, model, probe(model), _state(model), flags, generation)
        except REFUSALS:
            return None

    def restore(self, adapted: Any) -> bool:
        """Take the adapter of `adapted` off the base again; whether that is possible."""
        if adapted is not self.model:
            if adapted.active_peft_config.peft_type != "LORA":
                return False
            adapted.unload()
        for weight, flag in zip(self.model.parameters(), self.flags, strict=True):
            weight.requires_grad_(flag).grad = None
        if self.generation is not None:
            self.model.generation_config = copy.deepcopy(self.generation)
        return True

    def is_unchanged(self, probe: Probe) -> bool:
        """Whether the base is still the model that was loaded."""
        try:
            return _state(self.model.eval()) == self.state and bool(self.logits.equal(probe(self.model)))
        except REFUSALS:
            return False


class BaseCache:
    """The base of this process, kept between arms."""

    def __init__(self) -> None:
        self._kept: _Kept | None = None

    def lend(self, key: Hashable, load: Callable[[], Any], probe: Probe) -> Any:
        """The kept model of the same `key`, else the one that `load` gives."""
        kept = self._kept
        if kept is not None and kept.key == key and not kept.lent and kept.is_unchanged(probe):
            kept.lent = True
            return kept.model
        del kept
        self.drop()
        model = load()
        self._kept = _Kept.of(key, model, probe)
        return model

    def take_back(self, model: Any) -> None:
        """End the loan of `model` (the base, or peft's wrapper of it), which nobody may use any more.

        Nothing happens for a model that is not lent.
        """
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        if self._kept is None or not self._kept.lent or self._kept.model is not bare:
            return
        with suppress(*REFUSALS):
            self._kept.lent = not self._kept.restore(model)
        if self._kept.lent:
            self.drop()

    def drop(self) -> None:
        """Let go of the kept base, lent or not, and give its memory back."""
        if self._kept is None:
            return
        self._kept = None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


BASE = BaseCache()
"""The one of this process."""


def _state(model: Any) -> tuple[Any, ...]:
    """All of a model that decides its numbers, in a form that can be compared: modules with their settings, patches and
    hooks; configuration; the bits of every tensor."""
    patched = [
        bool("forward" in vars(module) or module._forward_hooks or module._forward_pre_hooks)
        for module in model.modules()
    ]
    config = model.config.to_dict() if hasattr(model, "config") else {}
    tensors = list(_tensors(model))
    hooked = any(tensor._backward_hooks for tensor in tensors)
    return repr(model), sorted(vars(model)), patched, copy.deepcopy(config), hooked, [_bits(each) for each in tensors]


def _tensors(model: Any) -> Iterator[Any]:
    """Parameters, buffers, and the scales of 4-bit weights."""
    import torch

    for tensor in (*model.parameters(), *model.buffers()):
        yield tensor
        state = getattr(tensor, "quant_state", None)
        while state is not None:
            yield from (value for value in vars(state).values() if isinstance(value, torch.Tensor))
            state = getattr(state, "state2", None)


def _bits(tensor: Any) -> tuple[Any, ...]:
    """Type, shape, and the sum of the bits, read as integers that wrap around."""
    import torch

    flat = tensor.detach().contiguous().reshape(-1)
    size = flat.numel() * flat.element_size()
    aligned = flat.storage_offset() * flat.element_size() % 8 == 0
    whole = torch.int64 if size and size % 8 == 0 and aligned else torch.uint8
    return str(tensor.dtype), tuple(tensor.shape), int(flat.view(whole).sum(dtype=torch.int64))
