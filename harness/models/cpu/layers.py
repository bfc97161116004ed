"""The layers of Llama-like models in few passes over memory, for scoring and decoding in float32 on a CPU.

As transformers writes a layer, a small model on a CPU spends as much time between its matrix products as in them. Here
tokens of all rows lie end to end without padding; queries, keys and values come from one product, gate and up from
another; a product writes straight into the residual stream; angles and masks are made once a pass; and the last layer
computes the scored positions only. Which tokens attend to which is decided by the caller (`Attend`).

A model is taken only when its modules have the names and places of a Llama's and there are no others (`Decoder.of`).
Whether it also computes what a Llama does is for the caller to find out by comparing numbers. Weights of one input are
concatenated as copies, so larger models keep their separate products. Layers of adapters and 4-bit layers are called as
they are, except plain LoRA over a plain layer, whose sums are computed here. All of it is checked before every use:
weights may have been trained, an adapter switched, or a hook set in the meantime.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

Tensor = Any

COPIED_BYTES = 256 << 20
"""Most bytes of weights that are copied to concatenate them; a model with more keeps its separate products."""
REPEATS_FROM = 128
"""Tokens of a pass from which on it pays to compute those that occur several times only once."""
LENGTH_DEPENDENT = ("dynamic", "longrope")
"""Kinds of rotary positions whose angles follow the longest row of a pass: rows of one pass would change each other."""


class Attend(Protocol):
    """Attention of one layer over tokens that lie end to end."""

    def __call__(self, layer: int, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """`query` (queries, heads, size), `key` and `value` (tokens, key heads, size) → (queries, heads · size)."""
        ...


# -------------------------------------------------------------------------------------------------------- products


class JoinedLinears:
    """Linear layers that share their input, as one product with their outputs side by side."""

    def __init__(self, modules: Sequence[Any], copy: bool) -> None:
        self._modules = tuple(modules)
        self._copy = copy
        self._sources = tuple(source for module in modules for source in _sources(module))
        self.state: tuple[Any, ...] | None = None
        """What the copies were made of."""
        self._weight: Tensor = None
        self._bias: Tensor = None
        self._adapters: tuple[tuple[slice, slice, Tensor, float], ...] = ()
        self._downs: Tensor = None
        self._ends: list[int] = []

    @property
    def bytes(self) -> int:
        """Bytes of a concatenated copy of the weights; 0 for a single layer, which needs none."""
        if len(self._modules) == 1:
            return 0
        return sum(source.numel() * source.element_size() for source in self._sources)

    def refresh(self) -> None:
        """Build the copies again if a weight or a switch has changed since the last call."""
        state = (*map(_version, self._sources), *map(_switches, self._modules))
        if state != self.state:
            self.state = state
            self._build()

    def _build(self) -> None:
        import torch

        self._weight = self._bias = self._downs = None
        self._adapters = ()
        parts = [_parts(module) for module in self._modules]
        if any(part is None for part in parts) or not (self._copy or len(parts) == 1):
            return
        plain = [part for part in parts if part is not None]
        weights = [linear.weight for linear, _ in plain]
        self._ends = list(itertools.accumulate([len(weight) for weight in weights]))
        self._weight = weights[0] if len(weights) == 1 else torch.cat(weights)
        if any(linear.bias is not None for linear, _ in plain):
            self._bias = torch.cat(
                [
                    linear.weight.new_zeros(len(linear.weight)) if linear.bias is None else linear.bias
                    for linear, _ in plain
                ]
            )
        low = [(number, terms) for number, (_, terms) in enumerate(plain) if terms is not None]
        if low:
            ranks = list(itertools.accumulate([len(terms[0]) for _, terms in low]))
            self._downs = torch.cat([terms[0] for _, terms in low])
            self._adapters = tuple(
                (slice(*self._span(number)), slice(end - len(terms[0]), end), terms[1].t(), terms[2])
                for (number, terms), end in zip(low, ranks, strict=True)
            )

    def _span(self, number: int) -> tuple[int, int]:
        return (self._ends[number - 1] if number else 0), self._ends[number]

    def __call__(self, x: Tensor, first: int = 0, last: int | None = None) -> Tensor:
        """(rows, in) → (rows, out of the layers from `first` to before `last`)."""
        import torch

        last = len(self._modules) if last is None else last
        if self._weight is None:
            outputs = [module(x) for module in self._modules[first:last]]
            return outputs[0] if len(outputs) == 1 else torch.cat(outputs, -1)
        begin, end = self._span(first)[0], self._ends[last - 1]
        bias = None if self._bias is None else self._bias[begin:end]
        out = torch.nn.functional.linear(x, self._weight[begin:end], bias)
        if self._adapters:
            inner = x @ self._downs.t()
            for columns, ranks, up, scale in self._adapters:
                if begin <= columns.start and columns.stop <= end:
                    out[:, columns.start - begin : columns.stop - begin].addmm_(inner[:, ranks], up, alpha=scale)
        return out

    def add_to_residual(self, x: Tensor, residual: Tensor) -> None:
        """Add the layers' output for `x` to `residual`, in place."""
        if self._weight is None or self._bias is not None:
            residual.add_(self(x))
            return
        residual.addmm_(x, self._weight.t())
        if self._adapters:
            inner = x @ self._downs.t()
            for columns, ranks, up, scale in self._adapters:
                residual[:, columns].addmm_(inner[:, ranks], up, alpha=scale)


def _sources(module: Any) -> list[Any]:
    return [] if _linear(module) is None else list(module.parameters())


def _version(weight: Any) -> tuple[int, int]:
    # What was made under inference mode counts no versions.
    return weight.data_ptr(), 0 if weight.is_inference() else weight._version


def _linear(module: Any) -> Any:
    """The plain linear layer that `module` is, or that peft's LoRA stands over; None for anything else."""
    import torch

    base = getattr(module, "base_layer", None) if _is_lora(module) else module
    return base if type(base) is torch.nn.Linear and base.weight.dtype == torch.float32 else None


def _is_lora(module: Any) -> bool:
    return type(module).__module__ == "peft.tuners.lora.layer" and type(module).__name__ == "Linear"


def _switches(module: Any) -> tuple[Any, ...]:
    """State of a layer that can change while its weights stay the same: hooks, and what adapters are active."""
    if not _is_lora(module):
        return (_is_hooked(module),)
    active = tuple(module.active_adapters)
    scales = (module.scaling.get(name) for name in active)
    return (module.disable_adapters, module.merged, active, *scales, any(_is_hooked(part) for part in module.modules()))


def _is_hooked(module: Any) -> bool:
    """Whether hooks or a patched `forward` make a call of `module` do something else than its class says."""
    return bool(module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module))


def _parts(module: Any) -> tuple[Any, tuple[Tensor, Tensor, float] | None] | None:
    """A plain linear layer, and of plain LoRA over it (Hu et al. 2021) both matrices and the scale; None for others."""
    import torch

    linear = _linear(module)
    if linear is None or _is_hooked(linear) or _is_hooked(module):
        return None
    if linear is module or module.disable_adapters:
        # A merged layer that is disabled would have to be unmerged first.
        return None if linear is not module and module.merged else (linear, None)
    if module.merged:
        return linear, None
    if len(module.active_adapters) != 1:
        return None
    name = module.active_adapters[0]
    if name not in module.lora_A:
        return None if name in getattr(module, "lora_embedding_A", ()) else (linear, None)
    down, up = module.lora_A[name], module.lora_B[name]
    extended = name in module.lora_variant or module.lora_bias.get(name) or _is_hooked(down) or _is_hooked(up)
    if extended or down.weight.dtype != torch.float32 or up.weight.dtype != torch.float32 or module.training:
        return None
    return linear, (down.weight, up.weight, float(module.scaling[name]))


# ---------------------------------------------------------------------------------------------------------- layers


@dataclass(frozen=True, slots=True)
class Layer:
    """One layer: x += o(attention(norm x)), then x += down(act(gate) · up) of norm x."""

    before: Callable[[Tensor], Tensor]
    qkv: JoinedLinears
    of_heads: tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]] | None
    """Norms of the queries and of the keys of each head, where there are any."""
    out: JoinedLinears
    between: Callable[[Tensor], Tensor]
    gate_up: JoinedLinears
    act: Callable[[Tensor], Tensor]
    down: JoinedLinears

    def linears(self) -> tuple[JoinedLinears, ...]:
        return self.qkv, self.out, self.gate_up, self.down


@dataclass(frozen=True, slots=True)
class Heads:
    """Numbers of query heads and of key heads, and a head's size."""

    queries: int
    keys: int
    size: int


class Decoder:
    """Embedding to last norm of one model."""

    def __init__(self, wrappers: Sequence[Any], head: Any, heads: Heads, layers: Sequence[Layer]) -> None:
        stack = wrappers[-1].model
        self._stack, self.head, self.heads, self.layers = stack, head, heads, tuple(layers)
        self._norm = _norm(stack.norm)
        self._bypassed = [*wrappers, *_bypassed(stack)]

    @classmethod
    def of(cls, model: Any) -> Decoder | None:
        """The decoder of `model`, a transformers model with or without a peft adapter; None when it is another kind."""
        import torch

        config = model.config.get_text_config()
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        stack: Any = getattr(bare, "model", None)
        head = model.get_output_embeddings()
        suited = model.device.type == "cpu" and config._attn_implementation == "sdpa" and head is not None
        if (
            not suited
            or model.dtype != torch.float32
            or not _is_stack(stack)
            or _children(bare) != {"model", "lm_head"}
        ):
            return None
        attention = stack.layers[0].self_attn
        size = int(getattr(attention, "head_dim", 0))
        if not size or abs(getattr(attention, "scaling", 0.0) * size**0.5 - 1) > 1e-6:
            return None
        heads = Heads(int(config.num_attention_heads), int(config.num_key_value_heads), size)
        joined = [linears for layer in stack.layers for linears in _joined_linears(layer, True)]
        copy = sum(linears.bytes for linears in joined) <= COPIED_BYTES
        return cls([model, bare], head, heads, [_layer(layer, copy) for layer in stack.layers])

    def ready(self) -> bool:
        """Whether no hook was set on a module whose own forward is not called here; reads changed weights again."""
        if any(_is_hooked(module) or module.training for module in self._bypassed):
            return False
        import torch

        with torch.inference_mode():
            for layer in self.layers:
                for linears in layer.linears():
                    linears.refresh()
        return True

    @property
    def state(self) -> tuple[Any, ...]:
        """What changes when a weight or a switch of the layers does, as of the last `ready`."""
        return tuple(linears.state for layer in self.layers for linears in layer.linears())

    def __call__(self, ids: Tensor, positions: Tensor, attend: Attend, scored: Tensor | None = None) -> Tensor:
        """Hidden states after the last norm (scored, width) of `ids` (tokens,) end to end.

        `scored` are indices into `ids`; None means all. Called under inference mode, after `ready`.
        """
        import torch

        x = self._stack.embed_tokens(ids[None])[0]
        cos, sin = (part[0, :, None] for part in self._stack.rotary_emb(x, positions[None]))
        queries, keys, size = self.heads.queries, self.heads.keys, self.heads.size
        for number, layer in enumerate(self.layers):
            if scored is not None and number + 1 == len(self.layers):
                normed = layer.before(x)
                query = layer.qkv(normed[scored], 0, 1).view(-1, queries, size)
                key, value = layer.qkv(normed, 1, 3).view(-1, 2 * keys, size).split(keys, 1)
                if layer.of_heads is not None:
                    query, key = layer.of_heads[0](query), layer.of_heads[1](key)
                query, key = apply_rotary(query, cos[scored], sin[scored]), apply_rotary(key, cos, sin)
                x = x[scored]
            else:
                qkv = layer.qkv(layer.before(x)) if number else self._first_qkv(layer, ids, x)
                qkv = qkv.view(-1, queries + 2 * keys, size)
                both, value = qkv[:, : queries + keys], qkv[:, queries + keys :]
                if layer.of_heads is not None:
                    query, key = both.split((queries, keys), 1)
                    both = torch.cat([layer.of_heads[0](query), layer.of_heads[1](key)], 1)
                query, key = apply_rotary(both, cos, sin).split((queries, keys), 1)
            layer.out.add_to_residual(attend(number, query, key, value), x)
            inner = layer.gate_up(layer.between(x))
            half = inner.shape[1] // 2
            layer.down.add_to_residual(layer.act(inner[:, :half]).mul_(inner[:, half:]), x)
        return self._norm(x)

    def _first_qkv(self, layer: Layer, ids: Tensor, x: Tensor) -> Tensor:
        """Queries, keys and values of the first layer. Before rotary positions they depend on the token alone, so each
        distinct token is computed once."""
        import torch

        if len(ids) < REPEATS_FROM:
            return layer.qkv(layer.before(x))
        distinct, index = torch.unique(ids, return_inverse=True)
        return layer.qkv(layer.before(self._stack.embed_tokens(distinct[None])[0]))[index]


def apply_rotary(x: Tensor, cos: Tensor, sin: Tensor, sign: float = 1.0) -> Tensor:
    """`x` (…, size) rotated by the angles of its positions (Su et al. 2021), halves of a head as pairs. A `sign` of −1
    rotates back."""
    half = x.shape[-1] // 2
    out = x * cos
    out[..., :half].addcmul_(x[..., half:], sin[..., :half], value=-sign)
    out[..., half:].addcmul_(x[..., :half], sin[..., half:], value=sign)
    return out


def _norm(module: Any) -> Callable[[Tensor], Tensor]:
    """x · w / √(mean x² + ε) (Zhang and Sennrich 2019) where `module` was seen to compute that, else `module`."""
    import torch

    weight, epsilon = getattr(module, "weight", None), getattr(module, "variance_epsilon", None)
    if weight is None or epsilon is None or weight.ndim != 1 or weight.dtype != torch.float32 or _is_hooked(module):
        return module  # type: ignore[no-any-return]

    def norm(x: Tensor) -> Tensor:
        norms = torch.linalg.vector_norm(x, dim=-1, keepdim=True)
        scale = norms.square_().div_(x.shape[-1]).add_(epsilon).rsqrt_()
        return (x * scale).mul_(module.weight)

    probe = torch.arange(1, 3 * len(weight) + 1, dtype=torch.float32).mul(1.7).sin().reshape(3, -1)
    with torch.inference_mode():
        same = torch.allclose(norm(probe), module(probe), rtol=1e-5, atol=1e-6)
    return norm if same else module


# ------------------------------------------------------------------------------------------------- what is a decoder


def _children(module: Any) -> set[str]:
    return {name for name, _ in module.named_children()}


def _is_stack(stack: Any) -> bool:
    """Whether a module has the children of a Llama, under their names, and no others."""
    if stack is None or _children(stack) != {"embed_tokens", "layers", "norm", "rotary_emb"}:
        return False
    if getattr(stack.rotary_emb, "rope_type", None) in (None, *LENGTH_DEPENDENT) or not len(stack.layers):
        return False
    return all(_is_layer(layer) for layer in stack.layers)


def _is_layer(layer: Any) -> bool:
    if _children(layer) != {"self_attn", "mlp", "input_layernorm", "post_attention_layernorm"}:
        return False
    attention, mlp = layer.self_attn, layer.mlp
    projections, norms = {"q_proj", "k_proj", "v_proj", "o_proj"}, {"q_norm", "k_norm"}
    own = [*layer.named_parameters(recurse=False), *attention.named_parameters(recurse=False)]
    own += list(mlp.named_parameters(recurse=False))
    fits = _children(attention) in (projections, projections | norms) and not own
    return fits and _children(mlp) == {"gate_proj", "up_proj", "down_proj", "act_fn"}


def _bypassed(stack: Any) -> Iterator[Any]:
    """Modules of `stack` whose own forward is not called here."""
    yield stack
    for layer in stack.layers:
        yield from (layer, layer.self_attn, layer.mlp, layer.input_layernorm, layer.post_attention_layernorm)
    yield stack.norm


def _joined_linears(layer: Any, copy: bool) -> tuple[JoinedLinears, JoinedLinears, JoinedLinears, JoinedLinears]:
    attention, mlp = layer.self_attn, layer.mlp
    return (
        JoinedLinears([attention.q_proj, attention.k_proj, attention.v_proj], copy),
        JoinedLinears([attention.o_proj], copy),
        JoinedLinears([mlp.gate_proj, mlp.up_proj], copy),
        JoinedLinears([mlp.down_proj], copy),
    )


def _layer(layer: Any, copy: bool) -> Layer:
    attention = layer.self_attn
    qkv, out, gate_up, down = _joined_linears(layer, copy)
    normed = "q_norm" in _children(attention)
    return Layer(
        before=_norm(layer.input_layernorm),
        qkv=qkv,
        of_heads=(_norm(attention.q_norm), _norm(attention.k_norm)) if normed else None,
        out=out,
        between=_norm(layer.post_attention_layernorm),
        gate_up=gate_up,
        act=layer.mlp.act_fn,
        down=down,
    )
