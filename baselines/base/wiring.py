"""A start for a small Llama in which it can already copy.

Left to themselves, small models need millions of tokens until heads form that look up "what came after this word the
last time". Here two layers begin with them. The residual stream's first half holds the token, one dimension a constant,
the second half the token before. In the first layer heads 0 and 1 look one position back: their queries and keys come
from the constant only, and the rotation of the fast frequencies makes their product largest at a distance of one. They
write what they see to the second half. In the second layer all heads compare the token with the tokens before other
positions, in the slow frequencies, which distance hardly turns, and write what stands at the best match as the
prediction. Everything remains trainable.
"""

from __future__ import annotations

import math
from typing import Any

import torch

SCALE, BACK, MATCH, OUT, NOISE = 0.1, 0.56, 4.0, 0.25, 0.01
FAST, SLOW = 0.05, 0.004


def wire_copying(model: Any, generator: torch.Generator) -> None:
    """Set the weights of a fresh model with tied embeddings and at least two layers and two heads."""
    config = model.config
    half = config.hidden_size // config.num_attention_heads // 2
    theta = config.rope_parameters["rope_theta"]
    frequencies = [theta ** (-i / half) for i in range(half)]
    with torch.no_grad():
        for layer in model.model.layers:
            layer.mlp.down_proj.weight.mul_(0.25)
            layer.self_attn.o_proj.weight.mul_(0.25)
        for layer in model.model.layers[:2]:
            for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
                getattr(layer.self_attn, name).weight.normal_(0, NOISE, generator=generator)
        _embed(model, generator)
        _look_back(model.model.layers[0].self_attn, config, frequencies)
        _match(model.model.layers[1].self_attn, config, frequencies, generator)


def _embed(model: Any, generator: torch.Generator) -> None:
    """Tokens in the first half, then the constant, then next to nothing."""
    weight = model.model.embed_tokens.weight
    width = weight.shape[1] // 2 - 1
    weight.normal_(0, SCALE * 0.08, generator=generator)
    weight[:, :width].normal_(0, SCALE, generator=generator)
    weight[:, width] = SCALE * math.sqrt(width)


def _look_back(attention: Any, config: Any, frequencies: list[float]) -> None:
    """Heads 0 and 1 see the position before and copy its token to the second half."""
    size, width = config.hidden_size // config.num_attention_heads, config.hidden_size // 2 - 1
    q, k, v, o = (getattr(attention, f"{name}_proj").weight for name in "qkvo")
    for head in (0, 1):
        start = head * size
        for i, frequency in enumerate(frequencies):
            if frequency > FAST:
                q[start + i, width] = BACK
                k[start + i, width] = BACK * math.cos(frequency)
                k[start + size // 2 + i, width] = BACK * math.sin(frequency)
        v[start : start + size] = 0
        for j in range(min(size, width - start)):
            v[start + j, start + j] = 1.0
            o[width + 1 + start + j, start + j] = SCALE


def _match(attention: Any, config: Any, frequencies: list[float], generator: torch.Generator) -> None:
    """All heads compare this token with the token before each position; even and odd ones copy one half each."""
    size, width = config.hidden_size // config.num_attention_heads, config.hidden_size // 2 - 1
    slow = [i for i, frequency in enumerate(frequencies) if frequency < SLOW]
    rows = [*slow, *(i + size // 2 for i in slow)]
    q, k, v, o = (getattr(attention, f"{name}_proj").weight for name in "qkvo")
    for head in range(config.num_attention_heads):
        start, part = head * size, head % 2 * size
        basis = torch.linalg.qr(torch.randn(width, len(rows), generator=generator))[0].T * MATCH
        for row, direction in zip(rows, basis, strict=True):
            q[start + row, :width] = direction
            k[start + row, width + 1 : 2 * width + 1] = direction
        for j in range(min(size, width - part)):
            v[start + j, part + j] = 1.0
            o[part + j, start + j] = OUT
