"""At most one base model a process, lent to one adapter arm after the other instead of being loaded for each.

What a borrower does to a base is undone by record, not by technique: right after loading, the attributes of every
module and configuration are written down, and when the base comes back they are put in place again. That takes off
adapters of any kind, hooks, flags, patched methods and changed settings. Weights are not copied. They are shown to be
untouched before the base is lent again: the same tensors at the same place, never written to, with the same sum of
their bits, and the logits of a probe equal to the last bit. A base that fails in any of it is dropped and loaded anew,
and so is one that did not come back. Whoever loads weights of its own drops the kept base first: memory never holds
both.
"""

from __future__ import annotations

import copy
import gc
import sys
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from typing import Any

Probe = Callable[[Any], Any]
"""Model → logits of fixed token ids."""


class BaseHolder:
    """The base of this process, kept between its borrowers."""

    def __init__(self) -> None:
        self._held: _Held | None = None

    def lend(self, key: Hashable, load: Callable[[], Any], probe: Probe) -> Any:
        """The model that `load` gives, or the kept one of the same `key` in the state in which it was loaded."""
        held = self._held
        if held is not None and held.key == key and not held.lent:
            held.lent = True
            if held.is_untouched(probe):
                return held.model
        held = None
        self.drop()
        model = load()
        self._held = _record(key, model, probe)
        return model

    def logits_of(self, model: Any) -> Any | None:
        """Logits of the probe on `model`, where it is the base that is lent and nobody has changed it yet."""
        held = self._held
        return held.logits if held is not None and held.lent and held.model is model else None

    def take_back(self, model: Any) -> None:
        """End the loan of `model` (the base, or peft's wrapper of it): nobody may use it any more.

        Nothing happens for a model that is not lent.
        """
        held = self._held
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        if held is None or not held.lent or held.model is not bare:
            return
        try:
            held.state.restore()
        except (AttributeError, TypeError, ValueError, RuntimeError):
            self.drop()
        else:
            held.lent = False

    def drop(self) -> None:
        """Let go of the kept base, lent or not, and give its memory back."""
        if self._held is None:
            return
        self._held = None
        gc.collect()
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_available():
            torch.cuda.empty_cache()


BASE = BaseHolder()
"""The one of this process."""


@dataclass(slots=True)
class _Held:
    """A base, what it was when it was loaded, and whether somebody has it."""

    key: Hashable
    model: Any
    state: _State
    sums: list[int]
    """Of the bits of each tensor of `state`."""
    logits: Any
    """Of the probe."""
    lent: bool = True

    def is_untouched(self, probe: Probe) -> bool:
        """Whether the base is to the last bit what was loaded; leaves it in the state of that moment."""
        try:
            if not self.state.is_whole() or _sums(self.state.tensors) != self.sums:
                return False
            same = bool(self.logits.equal(probe(self.model)))
            # A first pass may leave its mark, such as the data type that a 4-bit layer computes in.
            self.state.restore()
        except (AttributeError, TypeError, ValueError, RuntimeError):
            return False
        return same


def _record(key: Hashable, model: Any, probe: Probe) -> _Held | None:
    """What must be known of a fresh `model` to keep it; None where it cannot be found out."""
    try:
        state = _State.of(model)
        sums, logits = _sums(state.tensors), probe(model)
        state.restore()
    except (AttributeError, TypeError, ValueError, RuntimeError, NotImplementedError):
        return None
    return _Held(key, model, state, sums, logits)


# ----------------------------------------------------------------------------------------------------------- state


@dataclass(frozen=True, slots=True)
class _Module:
    """The attributes of a module, and what those of them hold that can be changed in place."""

    module: Any
    kind: type
    fields: dict[str, Any]
    containers: tuple[tuple[Any, Any], ...]
    """(dict, set or list, shallow copy of it)."""

    def restore(self) -> None:
        own = vars(self.module)
        own.clear()
        own.update(self.fields)
        for container, before in self.containers:
            if isinstance(container, list):
                container[:] = before
            else:
                container.clear()
                container.update(before)


@dataclass(frozen=True, slots=True)
class _Config:
    """The fields of a configuration; others that it holds have a record of their own."""

    config: Any
    fields: dict[str, Any]

    @classmethod
    def of(cls, config: Any) -> _Config:
        return cls(config, {name: _copied(value) for name, value in vars(config).items()})

    def restore(self) -> None:
        own = vars(self.config)
        own.clear()
        own.update({name: _copied(value) for name, value in self.fields.items()})


@dataclass(frozen=True, slots=True)
class _Tensor:
    """A weight or buffer and where it lies. `version` counts writes to it."""

    tensor: Any
    pointer: int
    version: int
    shape: tuple[int, ...]
    dtype: Any
    needs_gradient: bool
    fields: dict[str, Any]
    """What 4-bit weights carry with them."""

    @classmethod
    def of(cls, tensor: Any) -> _Tensor:
        shape, fields = tuple(tensor.shape), dict(vars(tensor))
        return cls(tensor, tensor.data_ptr(), tensor._version, shape, tensor.dtype, bool(tensor.requires_grad), fields)

    def restore(self) -> None:
        self.tensor.grad = None
        if self.tensor.requires_grad != self.needs_gradient:
            self.tensor.requires_grad_(self.needs_gradient)

    def is_whole(self) -> bool:
        now, fields = _Tensor.of(self.tensor), vars(self.tensor)
        place = (self.pointer, self.version, self.shape, self.dtype, self.needs_gradient)
        hooks = self.tensor._backward_hooks, getattr(self.tensor, "_post_accumulate_grad_hooks", None)
        return (
            (now.pointer, now.version, now.shape, now.dtype, now.needs_gradient) == place
            and fields.keys() == self.fields.keys()
            and all(fields[name] is value for name, value in self.fields.items())
            and not any(hooks)
        )


@dataclass(frozen=True, slots=True)
class _State:
    """All that a borrower may change in a model: modules and configurations are put back, tensors must be as before."""

    model: Any
    modules: tuple[_Module, ...]
    configs: tuple[_Config, ...]
    tensors: tuple[_Tensor, ...]

    @classmethod
    def of(cls, model: Any) -> _State:
        modules = [_Module(one, type(one), dict(vars(one)), _containers(one)) for one in model.modules()]
        held = [value for one in modules for value in one.fields.values()]
        configs = [_Config.of(config) for config in _configs(held)]
        return cls(model, tuple(modules), tuple(configs), tuple(map(_Tensor.of, _tensors(modules))))

    def restore(self) -> None:
        """Modules, configurations and flags as they were; raises what a part that cannot be put back raises."""
        for module in self.modules:
            module.restore()
        for config in self.configs:
            config.restore()
        for tensor in self.tensors:
            tensor.restore()

    def is_whole(self) -> bool:
        """Whether modules are of their kinds and in their places, and tensors as they were."""
        order = zip(self.model.modules(), self.modules, strict=True)
        return all(found is one.module and type(found) is one.kind for found, one in order) and all(
            one.is_whole() for one in self.tensors
        )


def _containers(module: Any) -> tuple[tuple[Any, Any], ...]:
    """Parameters, buffers, parts, hooks and the like of a module, with shallow copies."""
    return tuple((value, copy.copy(value)) for value in vars(module).values() if isinstance(value, (dict, set, list)))


def _is_config(value: Any) -> bool:
    return hasattr(type(value), "to_dict") and hasattr(value, "__dict__")


def _copied(value: Any) -> Any:
    return value if _is_config(value) else copy.deepcopy(value)


def _configs(values: list[Any]) -> Iterator[Any]:
    """Configurations among `values` and in them, each once."""
    seen, waiting = set[int](), [value for value in values if _is_config(value)]
    while waiting:
        config = waiting.pop()
        if id(config) not in seen:
            seen.add(id(config))
            waiting += [value for value in vars(config).values() if _is_config(value)]
            yield config


def _tensors(modules: list[_Module]) -> list[Any]:
    """Parameters, buffers and other tensors of modules, and the scales of 4-bit weights, each once."""
    import torch

    found: dict[int, Any] = {}

    def add(value: Any) -> None:
        if isinstance(value, torch.Tensor):
            found.setdefault(id(value), value)

    for one in modules:
        for value in (*one.fields.values(), *one.fields["_parameters"].values(), *one.fields["_buffers"].values()):
            add(value)
    for tensor in list(found.values()):
        state = getattr(tensor, "quant_state", None)
        while state is not None:
            for value in vars(state).values():
                add(value)
            state = getattr(state, "state2", None)
    return list(found.values())


def _sums(tensors: tuple[_Tensor, ...]) -> list[int]:
    """Sum of the bits of each tensor, read as integers that wrap around."""
    import torch

    def total(tensor: Any) -> Any:
        flat = tensor.detach().contiguous().reshape(-1)
        size = flat.numel() * flat.element_size()
        aligned = flat.storage_offset() * flat.element_size() % 8 == 0
        whole = torch.int64 if size % 8 == 0 and aligned else torch.uint8
        return flat.view(whole).sum(dtype=torch.int64)

    with torch.no_grad():
        totals = [total(one.tensor) for one in tensors if one.tensor.numel()]
        by_device: dict[Any, list[Any]] = {}
        for one in totals:
            by_device.setdefault(one.device, []).append(one)
        return [int(value) for several in by_device.values() for value in torch.stack(several).tolist()]
