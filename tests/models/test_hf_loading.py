"""Loading: what works, and one clear line for every folder or hub id that does not."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from model_plans import plan_of

from harness.config import BaseModelSpec, QuantSpec
from harness.errors import ModelError
from harness.models import Continuation
from harness.models.transformers import loading
from harness.models.transformers.causal import CausalModel
from harness.models.transformers.loading import (
    base_hash,
    load_adapter,
    load_artefact,
    load_base,
    quantisation_record,
    resolve_base,
)
from harness.records import Artefact

Folder = Callable[[str], Path]
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated:FutureWarning")
IDS = torch.tensor([[5, 6, 7, 8, 9]])


def copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def save_adapter(model_folder: Path, to: Path, **fields: Any) -> Path:
    """A random LoRA adapter for the model in `model_folder`; it changes the logits."""
    from peft import LoraConfig, get_peft_model

    model, _ = load_base(BaseModelSpec(path=str(model_folder)), "cpu")
    options = {"r": 4, "target_modules": "all-linear", "init_lora_weights": False, **fields}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        adapted = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options))
    adapted.save_pretrained(str(to))
    return to


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(input_ids=IDS).logits


# ------------------------------------------------------------------------------------------------------------ base


def test_stored_in_bfloat16_loaded_in_float32_with_pad_token(tiny: Folder, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = copy(tiny("llama"), tmp_path / "half")
    AutoModelForCausalLM.from_pretrained(str(folder)).to(torch.bfloat16).save_pretrained(str(folder))
    assert json.loads((folder / "config.json").read_text())["dtype"] == "bfloat16"
    model, tokenizer = load_base(BaseModelSpec(path=str(folder)), "cpu")
    assert {parameter.dtype for parameter in model.parameters()} == {torch.float32}
    assert not model.training
    assert tokenizer.pad_token_id == tokenizer.eos_token_id == 1
    assert model.get_input_embeddings().num_embeddings == len(tokenizer)
    half, _ = load_base(BaseModelSpec(path=str(folder), dtype="bfloat16", attention="eager"), "cpu")
    assert half.dtype == torch.bfloat16
    assert half.config._attn_implementation == "eager"


def test_loading_is_silent(tiny: Folder, capfd: pytest.CaptureFixture[str]) -> None:
    load_base(BaseModelSpec(path=str(tiny("llama"))), "cpu", QuantSpec())
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""


def refused(spec: BaseModelSpec, *words: str) -> None:
    with pytest.raises(ModelError) as caught:
        load_base(spec, "cpu")
    text = str(caught.value)
    assert "\n" not in text
    for word in words:
        assert word in text


def test_no_model_folder(tmp_path: Path) -> None:
    refused(BaseModelSpec(path=str(tmp_path / "absent")), "is not a folder", "hub id")
    refused(BaseModelSpec(path=str(tmp_path)), "no config.json")
    (tmp_path / "config.json").write_text("{")
    refused(BaseModelSpec(path=str(tmp_path)), "config.json cannot be read")
    (tmp_path / "config.json").write_text("{}")
    refused(BaseModelSpec(path=str(tmp_path)), "names no model_type")
    (tmp_path / "config.json").write_text('{"model_type": "llama"}')
    refused(BaseModelSpec(path=str(tmp_path)), "no *.safetensors weights")


def test_pickles_are_refused(tiny: Folder, tmp_path: Path) -> None:
    folder = copy(tiny("llama"), tmp_path / "pickled")
    (folder / "model.safetensors").unlink()
    torch.save({}, folder / "pytorch_model.bin")
    refused(BaseModelSpec(path=str(folder)), "pytorch_model.bin", "safetensors only", "save_pretrained")


def test_broken_folders(tiny: Folder, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    torn = copy(tiny("llama"), tmp_path / "torn")
    weights = (torn / "model.safetensors").read_bytes()
    (torn / "model.safetensors").write_bytes(weights[: len(weights) // 2])
    refused(BaseModelSpec(path=str(torn)), "cannot be loaded")

    unknown = copy(tiny("llama"), tmp_path / "unknown")
    (unknown / "config.json").write_text('{"model_type": "never-heard-of"}')
    refused(BaseModelSpec(path=str(unknown)), "cannot be loaded", "never-heard-of")

    partial = copy(tiny("llama"), tmp_path / "partial")
    tensors = load_file(partial / "model.safetensors")
    tensors.pop("model.layers.1.mlp.up_proj.weight")
    save_file(tensors, partial / "model.safetensors", metadata={"format": "pt"})
    refused(BaseModelSpec(path=str(partial)), "lacks 1 weights", "up_proj")

    untold = copy(tiny("llama"), tmp_path / "untold")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (untold / name).unlink()
    refused(BaseModelSpec(path=str(untold)), "tokenizer")


def test_adapter_is_no_base(tiny: Folder, tmp_path: Path) -> None:
    refused(BaseModelSpec(path=str(save_adapter(tiny("llama"), tmp_path / "a"))), "is an adapter", "method: imported")


def test_hub_out_of_reach(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import huggingface_hub

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    refused(BaseModelSpec(path="some/model"), "some/model", "hub cannot be reached", "hf auth login", "HF_TOKEN")
    refused(BaseModelSpec(path="not a name"), "neither a folder", "hf auth login")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("GatedRepoError", ("gated", "Accept its terms")),
        ("RepositoryNotFoundError", ("neither a folder here nor a model on the hub",)),
        ("RevisionNotFoundError", ("no revision abc",)),
    ],
)
def test_hub_refusals(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    import huggingface_hub
    from huggingface_hub import errors

    def refuse(*args: Any, **kwargs: Any) -> None:
        # Their constructors want the answer of whichever HTTP library the hub client uses.
        kind = getattr(errors, name)
        error = kind.__new__(kind)
        error.args = ("Cannot access.\nMore lines",)
        raise error

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(huggingface_hub, "snapshot_download", refuse)
    refused(BaseModelSpec(path="some/model", revision="abc"), *words, "hf auth login", "HF_TOKEN")


def test_folder_wins_over_hub_id(tiny: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    copy(tiny("llama"), tmp_path / "some" / "model")
    monkeypatch.chdir(tmp_path)
    assert resolve_base(BaseModelSpec(path="some/model")) == tmp_path / "some" / "model"


def test_hash_is_of_content_and_remembered(tiny: Folder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = copy(tiny("llama"), tmp_path / "first"), copy(tiny("llama"), tmp_path / "second")
    cache = tmp_path / "home" / "hashes.json"
    value = base_hash(first, cache)
    assert len(value) == 16 and base_hash(second) == value
    (second / "README.md").write_text("not part of the model")
    assert base_hash(second) == value
    config = json.loads((second / "config.json").read_text())
    (second / "config.json").write_text(json.dumps({**config, "rms_norm_eps": 0.5}))
    assert base_hash(second) != value

    monkeypatch.setattr(loading, "_hashes", {})
    read: list[Path] = []
    monkeypatch.setattr(loading.hashlib, "file_digest", lambda stream, kind: read.append(stream.name))
    assert base_hash(first, cache) == value
    assert read == []
    cache.write_text("[torn")
    monkeypatch.undo()
    assert base_hash(first, cache) == value


# -------------------------------------------------------------------------------------------------------- adapters


def test_adapter_is_loaded_and_changes_logits(tiny: Folder, tmp_path: Path, base: BaseModelSpec) -> None:
    folder = save_adapter(tiny("llama"), tmp_path / "adapter")
    model, _ = load_base(base, "cpu")
    before = logits(model)
    assert not torch.equal(before, logits(load_adapter(model, folder)))


def adapter_refused(kind: str, tiny: Folder, folder: Path, *words: str) -> None:
    model, _ = load_base(BaseModelSpec(path=str(tiny(kind))), "cpu")
    with pytest.raises(ModelError) as caught:
        load_adapter(model, folder)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_adapter_of_another_base(tiny: Folder, tmp_path: Path) -> None:
    from tiny_models import save_model

    folder = save_adapter(tiny("llama"), tmp_path / "adapter", target_modules=["q_proj", "down_proj"])
    adapter_refused("gpt2", tiny, folder, "another base", "modules differ", "base_model")
    wide = save_model(tmp_path / "wide", "llama", hidden_size=64)
    adapter_refused("wide", lambda kind: wide, folder, "another base", "shapes differ")
    deep = save_model(tmp_path / "deep", "llama", num_hidden_layers=3)
    adapter_refused("deep", lambda kind: deep, folder, "another base")


def test_adapter_that_changes_nothing(tiny: Folder, tmp_path: Path) -> None:
    folder = save_adapter(tiny("llama"), tmp_path / "adapter", init_lora_weights=True)
    adapter_refused("llama", tiny, folder, "changes nothing")


def test_broken_adapter_folders(tiny: Folder, tmp_path: Path) -> None:
    adapter_refused("llama", tiny, tmp_path / "absent", "no adapter folder")
    adapter_refused("llama", tiny, tiny("llama"), "no adapter_config.json")
    folder = save_adapter(tiny("llama"), tmp_path / "adapter")
    weights = (folder / "adapter_model.safetensors").read_bytes()
    (folder / "adapter_model.safetensors").write_bytes(weights[:100])
    adapter_refused("llama", tiny, folder, "cannot be loaded")
    (folder / "adapter_model.safetensors").unlink()
    torch.save({}, folder / "adapter_model.bin")
    adapter_refused("llama", tiny, folder, "safetensors only")
    (folder / "adapter_config.json").write_text("{}")
    adapter_refused("llama", tiny, folder, "adapter_config.json cannot be read")


# -------------------------------------------------------------------------------------------------------- artefacts


def artefact(kind: Any, path: str | None, quantisation: QuantSpec | None = None) -> Artefact:
    return Artefact(kind, "", "", path, "", quantisation_record(quantisation), "", "", "")


def test_artefacts_of_every_kind(tiny: Folder, tmp_path: Path, base: BaseModelSpec) -> None:
    save_adapter(tiny("llama"), tmp_path / "adapter")
    full = copy(tiny("llama"), tmp_path / "full")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (full / name).unlink()
    request = [Continuation((5, 6, 7), (8, 9))]
    here = plan_of(base, tmp_path)
    untouched = load_artefact(here, artefact("base", None)).logprobs(request)
    assert load_artefact(here, artefact("full", "full")).logprobs(request) == untouched
    adapted = load_artefact(here, artefact("adapter", "adapter")).logprobs(request)
    assert adapted != untouched
    assert load_artefact(here, artefact("adapter", str(tmp_path / "adapter"))).logprobs(request) == adapted
    quantised = load_artefact(here, artefact("adapter", "adapter", QuantSpec())).logprobs(request)
    assert quantised not in (adapted, untouched)
    with pytest.raises(ModelError, match="it has no config"):
        load_artefact(here, artefact("full", "absent"))


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
@pytest.mark.parametrize("quantisation", [QuantSpec(), QuantSpec(type="fp4", double=False)])
def test_four_bit_models_score_alike_in_any_batch(tiny: Folder, kind: str, quantisation: QuantSpec) -> None:
    model, tokenizer = load_base(BaseModelSpec(path=str(tiny(kind))), "cpu", quantisation)
    names = {type(module).__name__ for module in model.modules()}
    assert "Linear4bit" in names
    wrapped = CausalModel(model, tokenizer)
    requests = [Continuation(tuple(range(5, 8 + n)), (20, 21 + n)) for n in range(6)]
    alone = [wrapped.logprobs([request])[0].logprob for request in requests]
    together = [row.logprob for row in wrapped.logprobs(requests)]
    assert max(abs(a - b) for a, b in zip(alone, together, strict=True)) < 1e-4


def test_four_bit_layers_keep_their_gradient_after_scoring(base: BaseModelSpec) -> None:
    """bitsandbytes' repacking of weights in eval mode would cut it (see `plain_4bit`)."""
    model, _ = load_base(base, "cpu", QuantSpec())
    scored = logits(model)
    model.train()
    hidden = model.get_input_embeddings()(IDS).detach().requires_grad_()
    out = model(inputs_embeds=hidden).logits
    assert torch.allclose(out, scored, atol=1e-5)
    out.sum().backward()
    assert hidden.grad is not None and float(hidden.grad.abs().min()) > 0
