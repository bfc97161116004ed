"""Adapters of every type with drawn settings: what is loaded is what was trained, or it is refused in words.

HARNESS_MEMBERS sets how many are drawn (12 unless it does).
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import pytest
import torch

from harness import arms
from harness.errors import HarnessError
from harness.models.transformers import same_model
from harness.records import RunPlan, TrainingData

MEMBERS = int(os.environ.get("HARNESS_MEMBERS", "12"))
LINEAR = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
INITS = [True, True, True, "gaussian", "pissa", "olora", "pissa_niter_2", "orthogonal", "loftq", "nonsense", False]
KINDS = ["llama", "qwen3", "gemma3", "gpt2"]
IDS = torch.tensor([[7, 3, 11, 200, 5, 90, 41, 8, 2, 150]])


def drawn(rng: random.Random) -> dict[str, Any]:
    """An arm with settings at random; some of them are none that peft takes."""
    kind = rng.choice(["LORA"] * 8 + ["IA3", "VERA", "LOHA", "LOKR", "ADALORA", "OFT", "BOFT", "HRA", "FOURIERFT",
                       "LN_TUNING", "PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING", "VBLORA", "RANDLORA", "MISS", "BONE",
                       "C3A", "SHIRA", "WAVEFT", "ROAD", "DELORA", "GRALORA", "TRAINABLE_TOKENS"])  # fmt: skip
    targets = rng.choice([rng.sample(LINEAR, rng.randint(1, 4)), "all-linear", ["c_attn"], ["lm_head", "q_proj"]])
    config: dict[str, Any] = {"target_modules": targets}
    if kind == "LORA":
        config |= {"r": rng.choice([1, 4, 8]), "lora_alpha": rng.choice([1, 8, 32])}
        config["init_lora_weights"] = rng.choice(INITS)
        for name in ("use_rslora", "use_dora"):
            if rng.random() < 0.3:
                config[name] = True
        if rng.random() < 0.2:
            config["bias"] = rng.choice(["none", "all", "lora_only"])
        if rng.random() < 0.2:
            config["rank_pattern"] = {"q_proj": 2}
        if rng.random() < 0.2:
            config["layers_to_transform"] = rng.choice([[0], [1], [7]])
        if rng.random() < 0.2:
            config["modules_to_save"] = rng.choice([["lm_head"], ["norm"], ["embed_tokens"], ["no_such"]])
        if rng.random() < 0.1:
            config["lora_dropout"] = 0.1
    elif kind in ("PREFIX_TUNING", "PROMPT_TUNING", "P_TUNING"):
        config = {"num_virtual_tokens": rng.choice([1, 4, 8])}
    elif kind in ("LOHA", "LOKR", "HRA", "RANDLORA", "VERA", "MISS", "BONE", "SHIRA"):
        config["r"] = rng.choice([2, 4])
    elif kind == "IA3":
        config["feedforward_modules"] = [name for name in targets if name == "down_proj"]
    elif kind == "FOURIERFT":
        config["n_frequency"] = 20
    elif kind in ("LN_TUNING", "TRAINABLE_TOKENS"):
        config = {} if kind == "LN_TUNING" else {"token_indices": [3, 7], "target_modules": ["embed_tokens"]}
    rate = rng.choice([1e-4, 5e-3, 5e-2])
    return {"method": "peft", "type": kind, "config": config, "optimiser": {"learning_rate": rate}}


def outcome(plan: RunPlan, data: TrainingData) -> tuple[str, float]:
    """`same` or `refused`, and how far the loaded model's logits lie from the trained one's."""
    kept: list[torch.Tensor] = []
    own = same_model.note_trained

    def logits(model: Any) -> torch.Tensor:
        with torch.no_grad():
            return torch.as_tensor(model(input_ids=IDS, use_cache=False).logits[0, -IDS.shape[1] :]).clone()

    def note(folder: Any, model: Any) -> None:
        kept.append(logits(model))
        own(folder, model)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(same_model, "note_trained", note)
        try:
            result = arms.family("peft").train(plan, data, lambda phase, done, total: None)
            model: Any = arms.family("peft").load(plan, result.artefact)
        except HarnessError as error:
            assert str(error).strip()
            return "refused", 0.0
    gap = float((logits(model.model) - kept[0]).abs().max())
    model.close()
    return "same", gap


@pytest.mark.filterwarnings("ignore")  # peft has one for many of these settings
@pytest.mark.usefixtures("nothing_kept")
def test_what_is_loaded_is_what_was_trained_or_it_is_refused(
    make_plan: Callable[..., RunPlan], data: TrainingData
) -> None:
    rng = random.Random(13)
    seen = {"same": 0, "refused": 0}
    for number in range(MEMBERS):
        arm, kind = drawn(rng), rng.choice(KINDS)
        plan = make_plan(arm, kind=kind, train_id=f"member-{number}", budget={"examples": 8})
        how, gap = outcome(plan, data)
        seen[how] += 1
        assert gap < 0.02, (kind, arm, gap)
    print(seen)
    assert seen["same"] >= MEMBERS // 4
