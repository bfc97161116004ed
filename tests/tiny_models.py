"""Tiny random-weight models of several architectures with a byte-level BPE tokenizer, saved as real model folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

TEXTS = [
    "Patient: I have had a cough for three days, no, five days.\nDoctor: Any fever? Patient: No fever at all.",
    "Note:\nComplaint: cough. Duration: 5 days. Fever: denied. Medicine: ibuprofen 400 mg twice a day.",
    "def mean(values):\n    return sum(values) / len(values)\n",
    "Ärztin: Wie geht es Ihnen heute? Patient: Ganz gut, danke. 0123456789",
]
EXTRA = {
    "gpt2": {"n_positions": 256, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "llama": {},
    "qwen3": {"head_dim": 8},
    "mistral": {"sliding_window": 12},
    "gemma2": {"head_dim": 8, "sliding_window": 12, "final_logit_softcapping": 3.0, "query_pre_attn_scalar": 8},
    "gemma3_text": {"head_dim": 8, "sliding_window": 12},
    "cohere": {"logit_scale": 0.25},
}
"""Model types and what their configs need beside the common sizes; short windows so that short texts exceed them."""


def save_tokenizer(folder: Path) -> Any:
    """Train and save a tokenizer of about 400 entries with BOS `<s>` and EOS `</s>`; nothing is added when encoding."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(TEXTS, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    tokenizer.save_pretrained(str(folder))
    return tokenizer


def save_model(folder: Path, kind: str = "llama", **changes: int) -> Path:
    """Save a random model of architecture `kind` with its tokenizer; `changes` go into its config."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    from harness.models.transformers.loading import quiet

    quiet()

    tokenizer = save_tokenizer(folder)
    common = {
        "vocab_size": len(tokenizer),
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 256,
        "initializer_range": 0.2,
    }
    if kind == "gpt2":
        common = {"vocab_size": len(tokenizer), "initializer_range": 0.2}
    ends = {"bos_token_id": 0, "eos_token_id": 1, "pad_token_id": None}
    config = AutoConfig.for_model(kind, **{**common, **EXTRA[kind], **ends, **changes})
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = AutoModelForCausalLM.from_config(config)
    model.save_pretrained(str(folder))
    return folder
