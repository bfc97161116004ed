"""Fused layers for training: RMS norm, rotary positions and LoRA on a frozen linear layer in few passes over memory.

As transformers and peft write them, each is a chain of elementwise operations, and on a CPU a tenth to a fifth of a
training step goes into reading and writing the results between them. Here each is one autograd function with its
gradient written out. A layer is replaced only where it gave the same numbers on a probe, only in float32, and only
during a forward pass; everything else is left to the library.
"""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from harness.models.cpu.layers import apply_rotary

ROTARY = "apply_rotary_pos_emb"
"""The function by which transformers' models rotate queries and keys."""

Replacement = tuple[dict[str, Any], str, Any]
"""A namespace (of a torch or a Python module), a name in it, and the function that it holds during a forward pass."""

_replacements: weakref.WeakKeyDictionary[Any, list[Replacement]] = weakref.WeakKeyDictionary()


@contextmanager
def applied(model: Any) -> Iterator[None]:
    """Replace what can be replaced in `model`, decided once a model, without random numbers."""
    if model not in _replacements:
        _replacements[model] = [*_norms(model), *_adapters(model), *_rotary(model)]
    before = [(space, name, space.get(name)) for space, name, _ in _replacements[model]]
    for space, name, new in _replacements[model]:
        space[name] = new
    try:
        yield
    finally:
        for space, name, old in before:
            if old is None:
                del space[name]
            else:
                space[name] = old


# ----------------------------------------------------------------------------------------------------------- norms


class RmsNorm(torch.autograd.Function):
    """x · w / √(mean x² + ε) over the last dimension (Zhang and Sennrich 2019)."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        norm: torch.Tensor = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norm.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        ctx.save_for_backward(x, weight, scale)
        return (x * scale).mul_(weight)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor | None, None]:
        """∂x = s·(w∘g) − x·s³·⟨x, w∘g⟩/d, and ∂w = Σ s·(x∘g) over all other dimensions."""
        (gradient,), (x, weight, scale) = gradients, ctx.saved_tensors
        width = x.shape[-1]
        product = (gradient * x).reshape(-1, width)
        flat = scale.reshape(-1, 1)
        of_weight = (flat.t() @ product).reshape(-1) if ctx.needs_input_grad[1] else None
        share = (product @ weight[:, None]).mul_(flat.pow(3)).div_(-width).reshape(scale.shape)
        return (gradient * weight).mul_(scale).addcmul_(x, share), of_weight, None


def _norms(model: Any) -> Iterator[Replacement]:
    """RMS norms, recognised by the name of their ε and by giving the same numbers."""
    agrees: dict[tuple[type, int], bool] = {}
    for module in model.modules():
        weight, epsilon = getattr(module, "weight", None), getattr(module, "variance_epsilon", None)
        if epsilon is None or weight is None or weight.ndim != 1 or weight.dtype != torch.float32:
            continue
        if "forward" in vars(module):
            continue
        new = _norm(module)
        kind = (type(module), len(weight))
        if kind not in agrees:
            agrees[kind] = _same(module.forward, new, _probe(1, 3, len(weight), like=weight))
        if agrees[kind]:
            yield vars(module), "forward", new


def _norm(module: Any) -> Callable[[torch.Tensor], torch.Tensor]:
    own = module.forward

    def forward(x: torch.Tensor) -> torch.Tensor:
        if x.dtype != torch.float32:
            return own(x)  # type: ignore[no-any-return]
        return RmsNorm.apply(x, module.weight, module.variance_epsilon)  # type: ignore[no-any-return, no-untyped-call]

    return forward


# ---------------------------------------------------------------------------------------------------------- rotary


class Rotary(torch.autograd.Function):
    """Queries and keys rotated by their positions (Su et al. 2021), halves of a head as pairs; gradients rotate back.

    Both halves of the angles are the same, as rotary embeddings are made.
    """

    @staticmethod
    def forward(
        ctx: Any, query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        ctx.save_for_backward(cos, sin)
        ctx.kind = query.dtype
        return apply_rotary(query.to(cos.dtype), cos, sin), apply_rotary(key.to(cos.dtype), cos, sin)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        query, key = (apply_rotary(gradient, cos, sin, -1.0).to(ctx.kind) for gradient in gradients)
        return query, key, None, None


def _rotary(model: Any) -> Iterator[Replacement]:
    """The rotary function of each module of Python that the model's attention layers come from."""
    names = {type(module).__module__ for module in model.modules() if type(module).__name__.endswith("Attention")}
    angles = _probe(3, 4).repeat(1, 2)[None]
    probe = (_probe(1, 2, 3, 8), _probe(1, 1, 3, 8) + 1.0, angles.cos(), angles.sin())
    for name in sorted(names):
        space = vars(sys.modules[name])
        own = space.get(ROTARY)
        if own is None:
            continue
        new = _rotated(own)
        if _same(own, new, *probe):
            yield space, ROTARY, new


def _rotated(own: Any) -> Any:
    def apply(
        query: torch.Tensor, key: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, *rest: Any, **more: Any
    ) -> Any:
        plain = not rest and not more and query.ndim == 4 and cos.ndim == 3 and query.dtype == key.dtype
        if not plain or cos.dtype != torch.float32 or cos.shape[-1] != query.shape[-1]:
            return own(query, key, cos, sin, *rest, **more)
        return Rotary.apply(query, key, cos[:, None], sin[:, None])  # type: ignore[no-untyped-call]

    return apply


# -------------------------------------------------------------------------------------------------------- adapters


class LoraLinear(torch.autograd.Function):
    """x·Wᵀ + s·(x·Aᵀ)·Bᵀ (Hu et al. 2021) with W frozen."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, down: torch.Tensor, up: torch.Tensor, scale: float
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        inner = flat @ down.t()
        ctx.save_for_backward(flat, inner, weight, down, up)
        ctx.scale, ctx.shape = scale, x.shape
        return (flat @ weight.t()).addmm_(inner, up.t(), alpha=scale).reshape(*x.shape[:-1], -1)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, inner, weight, down, up = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        of_inner = (gradient @ up).mul_(ctx.scale)
        of_up = (gradient.t() @ inner).mul_(ctx.scale)
        of_x = (gradient @ weight).addmm_(of_inner, down).reshape(ctx.shape) if ctx.needs_input_grad[0] else None
        return of_x, None, of_inner.t() @ flat, of_up, None


class LowRank(torch.autograd.Function):
    """y + s·(x·Aᵀ)·Bᵀ, where y is what a frozen layer of another kind (4-bit) made of x."""

    @staticmethod
    def forward(
        ctx: Any, y: torch.Tensor, x: torch.Tensor, down: torch.Tensor, up: torch.Tensor, scale: float
    ) -> torch.Tensor:
        flat = x.reshape(-1, x.shape[-1])
        inner = flat @ down.t()
        ctx.save_for_backward(flat, inner, down, up)
        ctx.scale, ctx.shape = scale, x.shape
        return torch.addmm(y.reshape(-1, y.shape[-1]), inner, up.t(), alpha=scale).reshape(y.shape)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        flat, inner, down, up = ctx.saved_tensors
        gradient = gradients[0].reshape(-1, gradients[0].shape[-1])
        of_inner = (gradient @ up).mul_(ctx.scale)
        of_up = (gradient.t() @ inner).mul_(ctx.scale)
        of_x = (of_inner @ down).reshape(ctx.shape) if ctx.needs_input_grad[1] else None
        return gradients[0], of_x, of_inner.t() @ flat, of_up, None


def _adapters(model: Any) -> Iterator[Replacement]:
    """LoRA layers of peft over linear layers, plain or 4-bit."""
    if not hasattr(model, "active_peft_config"):
        return
    from peft.tuners.lora import LoraLayer

    for module in model.modules():
        linear = isinstance(module, LoraLayer) and type(module).__name__ in ("Linear", "Linear4bit")
        if linear and "forward" not in vars(module):
            yield vars(module), "forward", _adapted(module)


def _adapted(module: Any) -> Callable[..., torch.Tensor]:
    own = module.forward

    def forward(x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        name = _plain_adapter(module, x)
        if name is None or args or kwargs:
            return own(x, *args, **kwargs)  # type: ignore[no-any-return]
        base, scale = module.base_layer, module.scaling[name]
        down, up = module.lora_A[name].weight, module.lora_B[name].weight
        if type(base) is torch.nn.Linear and base.bias is None and not base.weight.requires_grad:
            out = LoraLinear.apply(x, base.weight, down, up, scale)
        else:
            out = LowRank.apply(base(x), x, down, up, scale)  # type: ignore[no-untyped-call]
        return out  # type: ignore[no-any-return]

    return forward


def _plain_adapter(module: Any, x: torch.Tensor) -> str | None:
    """Name of the one adapter at work, when it is LoRA and nothing else: float32, no dropout, no variant, no bias."""
    if module.disable_adapters or module.merged or len(module.active_adapters) != 1:
        return None
    name: str = module.active_adapters[0]
    if name not in module.lora_A or name in module.lora_variant or module.lora_bias.get(name):
        return None
    dropout = module.lora_dropout[name]
    weight = getattr(module.base_layer, "weight", None)
    packed = weight is not None and getattr(weight, "quant_state", None) is not None
    kinds = {x.dtype, module.lora_A[name].weight.dtype, module.lora_B[name].weight.dtype}
    kinds |= set() if packed or weight is None else {weight.dtype}
    if kinds != {torch.float32} or torch.is_autocast_enabled(x.device.type) or type(dropout) is not torch.nn.Identity:
        return None
    return name


# ----------------------------------------------------------------------------------------------------------- probes


def _probe(*shape: int, like: torch.Tensor | None = None) -> torch.Tensor:
    """Numbers of either sign, the same every time."""
    device = None if like is None else like.device
    count = int(torch.Size(shape).numel())
    return torch.arange(1, count + 1, dtype=torch.float32, device=device).mul(1.7).sin().reshape(shape)


def _same(function: Any, other: Any, *probe: torch.Tensor) -> bool:
    """Whether two functions give the same numbers."""
    with torch.no_grad():
        try:
            first, second = function(*probe), other(*probe)
        except (TypeError, ValueError, RuntimeError, AttributeError):
            return False
    first, second = (out if isinstance(out, tuple) else (out,) for out in (first, second))
    return len(first) == len(second) and all(
        a.shape == b.shape and torch.allclose(a, b, rtol=1e-5, atol=1e-6) for a, b in zip(first, second, strict=True)
    )
