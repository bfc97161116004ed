"""Loading with transformers, peft and bitsandbytes: base models, adapters and full models.

Only safetensors are read: a pickle can execute code when it is opened. No code from a model folder is executed
(`trust_remote_code` stays off). Everything that can be wrong with a folder becomes one `ModelError` line.
"""

from __future__ import annotations

import functools
import hashlib
import json
import logging
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from harness.config import BaseModelSpec, QuantSpec
from harness.errors import ModelError, OutOfMemory
from harness.models.transformers import base_cache, same_model
from harness.records import Artefact, RunPlan

if TYPE_CHECKING:
    from harness.models.transformers.causal import CausalModel

PICKLES = (".bin", ".pt", ".pth", ".ckpt", ".pkl")
HASHED = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "chat_template.jinja",
    "chat_template.json",
)
"""Files beside the weights (and sentencepiece's `*.model`) that change what a model answers."""

BITSANDBYTES = ("nf4", "fp4", "int8")
"""Kinds of quantised weights that a folder may hold."""

_hashes: dict[tuple[str, int, int], str] = {}


def quiet() -> None:
    """Silence progress bars and advice of the model libraries; errors still come through as exceptions.

    bitsandbytes warns on import that a CPU kernel from the hub is missing; it then uses its own, so nothing is lost.
    """
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    for name in ("bitsandbytes", "bitsandbytes.backends.cpu.ops", "accelerate", "huggingface_hub"):
        logging.getLogger(name).setLevel(logging.ERROR)
    from transformers.utils import logging as transformers_logging

    transformers_logging.set_verbosity_error()
    transformers_logging.disable_progress_bar()


def resolve_base(base: BaseModelSpec) -> Path:
    """The local folder of a base model: the folder itself, or the snapshot of a hub id.

    A folder wins over a hub id of the same name. Raises ModelError when the folder is no model folder, or the hub id
    is unknown, gated or out of reach.
    """
    folder = Path(base.path).expanduser()
    if folder.is_dir():
        _check_model_folder(folder)
        return folder.resolve()
    if folder.is_absolute() or base.path.startswith((".", "~")) or base.path.count("/") > 1 or folder.exists():
        raise ModelError(
            f"{base.path} is not a folder", hint="Give a folder with config.json and *.safetensors, or a hub id"
        )
    return _download(base)


def _download(base: BaseModelSpec) -> Path:
    """Fetch the files of hub model `base` into the hub's own cache (or find them there when offline)."""
    quiet()
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        GatedRepoError,
        HFValidationError,
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    login = "Log in with `hf auth login` or set HF_TOKEN, or give a local folder"
    try:
        path = snapshot_download(
            base.path, revision=base.revision, allow_patterns=["*.json", "*.txt", "*.model", "*.jinja", "*.safetensors"]
        )
    except GatedRepoError as error:
        raise ModelError(f"{base.path} is gated on the hub", hint=f"Accept its terms there. {login}") from error
    except RevisionNotFoundError as error:
        raise ModelError(f"{base.path} has no revision {base.revision} on the hub", hint=login) from error
    except (RepositoryNotFoundError, HFValidationError) as error:
        raise ModelError(
            f"{base.path} is neither a folder here nor a model on the hub that this account may read", hint=login
        ) from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise ModelError(
            f"{base.path} is no folder here, and the hub cannot be reached ({_line(error)})", hint=login
        ) from error
    folder = Path(path)
    _check_model_folder(folder, shown=base.path)
    return folder


def _check_model_folder(folder: Path, shown: str = "") -> None:
    """Raise ModelError unless `folder` holds a readable config.json and safetensors weights."""
    name = shown or str(folder)
    if not (folder / "config.json").is_file():
        if (folder / "adapter_config.json").is_file():
            raise ModelError(
                f"{name} is an adapter, not a base model", hint="Use it as an arm: `method: imported`, `path: FOLDER`"
            )
        raise ModelError(f"{name} is no model folder: it has no config.json", hint="Give a Hugging Face model folder")
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelError(f"{name}/config.json cannot be read ({_line(error)})", hint="Fetch the model again") from error
    if not isinstance(config, dict) or "model_type" not in config:
        raise ModelError(f"{name}/config.json names no model_type", hint="Give a Hugging Face model folder")
    require_safetensors(folder, name, "model")


def require_safetensors(folder: Path, name: str, what: str) -> None:
    """Raise ModelError unless `folder`, called `name`, holds the safetensors weights of a whole `what`."""
    if any(folder.glob("*.safetensors")):
        return
    pickles = sorted(path.name for path in folder.iterdir() if path.suffix in PICKLES)
    if pickles:
        raise ModelError(
            f"{name} has its weights in {pickles[0]}, a pickle, which can execute code; safetensors only",
            hint="Convert it where you trust it: load it there and call `save_pretrained(FOLDER)`",
        )
    raise ModelError(f"{name} has no *.safetensors weights", hint=f"Give a complete {what} folder")


def base_hash(path: Path, cache: Path | None = None) -> str:
    """Content hash (16 hexadecimal digits) of a model folder's config, tokenizer and safetensors files.

    File digests are remembered by path, size and modification time, in memory and, with `cache`, in that JSON file:
    hashing gigabytes once is enough.
    """
    names = [*HASHED, *(p.name for p in path.glob("*.model")), *(p.name for p in path.glob("*.safetensors*"))]
    files = sorted({path / name for name in names if (path / name).is_file()})
    if cache is not None and cache.is_file():
        _read_cache(cache)
    hashed_before = len(_hashes)
    parts = [f"{file.name}:{_file_hash(file)}" for file in files]
    if cache is not None and (len(_hashes) > hashed_before or not cache.is_file()):
        _write_cache(cache)
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:16]


def _file_hash(file: Path) -> str:
    stat = file.stat()
    key = (str(file.resolve()), stat.st_size, stat.st_mtime_ns)
    if key not in _hashes:
        with file.open("rb") as stream:
            _hashes[key] = hashlib.file_digest(stream, "sha256").hexdigest()
    return _hashes[key]


def _read_cache(cache: Path) -> None:
    try:
        rows = json.loads(cache.read_text(encoding="utf-8"))
        _hashes.update({(row[0], row[1], row[2]): row[3] for row in rows})
    except (OSError, ValueError, TypeError, IndexError, KeyError):
        # A torn cache costs one more reading of the files, nothing else.
        return


def _write_cache(cache: Path) -> None:
    cache.parent.mkdir(parents=True, exist_ok=True)
    part = cache.with_name(f"{cache.name}.{os.getpid()}.part")
    part.write_text(json.dumps([[*key, value] for key, value in sorted(_hashes.items())]), encoding="utf-8")
    part.replace(cache)


def load_base(base: BaseModelSpec, device: str, quantisation: QuantSpec | None = None) -> tuple[Any, Any]:
    """Model (a transformers causal LM in eval mode on `device`) and tokenizer of `base`.

    With `quantisation` linear layers are 4-bit through bitsandbytes (Dettmers et al. 2023). A missing pad token is set
    to the end-of-sequence token without resizing: padding is always masked. Raises ModelError, OutOfMemory.
    """
    folder = resolve_base(base)
    return load_weights(folder, base, device, quantisation), load_tokenizer(folder)


def borrow_base(base: BaseModelSpec, device: str, quantisation: QuantSpec | None = None) -> tuple[Any, Any]:
    """`load_base` for an adapter arm, or one without training: the weights may be those that this process keeps.

    To be given back with `base_cache.BASE.take_back`; its weights must never be written to.
    """
    folder = resolve_base(base)
    stats = {path.name: path.stat() for path in folder.iterdir() if path.is_file()}
    files = sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats.items())
    key = (str(folder), tuple(files), base.dtype, base.attention, device, quantisation)
    model = base_cache.BASE.lend(key, lambda: load_weights(folder, base, device, quantisation), same_model.probe)
    return model, load_tokenizer(folder)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer in `folder`, with a pad token."""
    quiet()
    from transformers import AutoTokenizer

    with _one_line(f"the tokenizer in {folder}"):
        tokenizer = AutoTokenizer.from_pretrained(str(folder), trust_remote_code=False, local_files_only=True)
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.unk_token or tokenizer.convert_ids_to_tokens(0)
    return tokenizer


def load_weights(folder: Path, base: BaseModelSpec, device: str, quantisation: QuantSpec | None) -> Any:
    """The causal LM in `folder` with the dtype and attention of `base`, in eval mode on `device`.

    A folder whose weights bitsandbytes has quantised is loaded as it was saved. What this process keeps of an earlier
    loading is dropped first: memory never holds both.
    """
    base_cache.BASE.drop()
    quiet()
    import torch
    from transformers import AutoModelForCausalLM

    options: dict[str, Any] = {"dtype": getattr(torch, base.dtype)}
    if base.attention != "auto":
        options["attn_implementation"] = base.attention
    if quantisation is not None:
        options |= {"quantization_config": _quantisation_config(quantisation, base), "device_map": {"": device}}
    saved = quantised_folder(folder) in BITSANDBYTES
    if saved:
        options["device_map"] = {"": device}
    with _one_line(f"the model in {folder}"):
        model, info = AutoModelForCausalLM.from_pretrained(
            str(folder),
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            output_loading_info=True,
            **options,
        )
        if quantisation is None and not saved:
            model = model.to(device)
    absent = sorted(info["missing_keys"]) + sorted(str(key) for key in info.get("mismatched_keys", ()))
    if absent:
        raise ModelError(
            f"{folder} lacks {len(absent)} weights that its config asks for ({absent[0]}, …)",
            hint="They would be random numbers; give a complete causal language model",
        )
    if quantisation is not None or saved:
        plain_4bit(model)
    model.eval()
    return model


def quantised_folder(folder: Path) -> str | None:
    """How the weights in a model folder are quantised: `nf4`, `fp4` or `int8` (bitsandbytes), another library's name,
    or None for plain weights."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("quantization_config")
    except (OSError, ValueError, AttributeError):
        return None  # whoever loads it says what is wrong
    if not config:
        return None
    if config.get("quant_method") != "bitsandbytes":
        return str(config.get("quant_method", "something unknown"))
    return "int8" if config.get("load_in_8bit") else str(config.get("bnb_4bit_quant_type", "fp4"))


def _quantisation_config(quantisation: QuantSpec, base: BaseModelSpec) -> Any:
    import torch
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type=quantisation.type,
        bnb_4bit_use_double_quant=quantisation.double,
        bnb_4bit_compute_dtype=getattr(torch, base.dtype),
    )


def plain_4bit(model: Any) -> None:
    """Keep 4-bit layers on one code path in training and scoring.

    On CPUs with AVX512-BF16 bitsandbytes repacks a layer's weights at its first forward in eval mode, for a bfloat16
    kernel without gradient: a validation pass in the middle of training would cut the gradient of everything below,
    and scores would differ from machine to machine.
    """
    for module in model.modules():
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False


def load_artefact(plan: RunPlan, artefact: Artefact) -> CausalModel:
    """The trained (or untouched) model of a run, ready to score; adapters are shown to change the logits.

    Raises ModelError when the folder is missing, broken, or an adapter of another base.
    """
    from harness.models.transformers.causal import CausalModel

    base: BaseModelSpec = plan.experiment.base
    quantisation = QuantSpec(**artefact.quantisation) if artefact.quantisation else None
    folder = plan.run_folder / artefact.path if artefact.path is not None else None
    if artefact.kind not in ("base", "adapter") and folder is not None:
        model, tokenizer = load_full(folder, base, plan.device, quantisation)
        same_model.check_trained(plan.run_folder, folder, model, quantisation is not None)
        return CausalModel(model, tokenizer, context=base.context)
    model, tokenizer = borrow_base(base, plan.device, quantisation)
    if artefact.kind == "adapter" and folder is not None:
        model = load_adapter(model, folder)
        same_model.check_trained(plan.run_folder, folder, model, quantisation is not None)
    closed = functools.partial(base_cache.BASE.take_back, model)
    return CausalModel(model, tokenizer, context=base.context, closed=closed)


def load_full(folder: Path, base: BaseModelSpec, device: str, quantisation: QuantSpec | None) -> tuple[Any, Any]:
    """A full model folder; its tokenizer, or the base model's where the folder has none."""
    _check_model_folder(folder)
    own = any((folder / name).is_file() for name in ("tokenizer.json", "tokenizer_config.json"))
    tokenizer = load_tokenizer(folder if own else resolve_base(base))
    return load_weights(folder, base, device, quantisation), tokenizer


def load_adapter(model: Any, folder: Path) -> Any:
    """`model` with the adapter in `folder` on top (peft), in eval mode.

    Raises ModelError when the adapter was made for another base (module names or shapes differ), when a weight of it
    is missing, or when it changes no logit: an adapter that silently failed to load scores exactly like its base.
    """
    quiet()
    check_adapter_folder(folder)
    _refuse_resized(model, folder)
    before = same_model.probe(model)
    with _one_line(f"the adapter in {folder}"), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        from peft import PeftModel

        adapted = PeftModel.from_pretrained(model, str(folder), is_trainable=False, use_safetensors=True)
    missing = [str(w.message) for w in caught if "missing adapter keys" in str(w.message)]
    if missing:
        raise ModelError(f"{folder} is an adapter of another base model ({_line(missing[0])})", hint=_OTHER_BASE)
    adapted.eval()
    if before.equal(same_model.probe(adapted)):
        raise ModelError(
            f"the adapter in {folder} changes nothing: the logits are the base model's to the last bit",
            hint="It was not trained, or its weights did not load; train it again",
        )
    return adapted


def _refuse_resized(model: Any, folder: Path) -> None:
    """Raise ModelError where token embeddings saved with an adapter are more or fewer than the base model's."""
    from safetensors import safe_open

    rows = int(model.get_input_embeddings().weight.shape[0])
    for file in sorted(folder.glob("*.safetensors")):
        with _one_line(str(file)), safe_open(str(file), "pt") as tensors:
            saved = {
                tensors.get_slice(name).get_shape()[0]
                for name in tensors.keys()  # noqa: SIM118  it is no mapping
                if name.endswith(("embed_tokens.weight", "lm_head.weight", "wte.weight")) and ".lora_" not in name
            }
        if saved - {rows}:
            raise ModelError(
                f"the adapter in {folder} was saved with {max(saved - {rows})} token embeddings, the base model has"
                f" {rows}: tokens were added before it was trained",
                hint="Merge it into the base with as many embeddings and give the merged folder, tokenizer and all, as"
                " `imported`; or give the base that it was trained on",
            )


_OTHER_BASE = "Give the base model it was trained on as `base_model`"


def check_adapter_folder(folder: Path) -> None:
    """Raise ModelError unless `folder` holds a readable adapter_config.json and safetensors weights."""
    if not folder.is_dir():
        raise ModelError(f"there is no adapter folder {folder}", hint="Train it again, or mend the path")
    config = folder / "adapter_config.json"
    if not config.is_file():
        raise ModelError(f"{folder} is no adapter folder: it has no adapter_config.json", hint="Give a PEFT folder")
    try:
        json.loads(config.read_text(encoding="utf-8"))["peft_type"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelError(f"{config} cannot be read ({_line(error)})", hint="Save the adapter again") from error
    require_safetensors(folder, str(folder), "adapter")


@contextmanager
def _one_line(what: str) -> Iterator[None]:
    """Turn what the libraries raise for a bad folder into one ModelError line, and memory errors into OutOfMemory."""
    import torch

    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise OutOfMemory(f"{what} does not fit into memory", hint="Use a smaller model or a 4-bit arm") from error
    except Exception as error:
        if isinstance(error, RuntimeError) and "size mismatch" in str(error):
            raise ModelError(f"{what} is of another base model (shapes differ)", hint=_OTHER_BASE) from error
        if isinstance(error, ValueError) and "Target modules" in str(error):
            raise ModelError(f"{what} is of another base model (modules differ)", hint=_OTHER_BASE) from error
        raise ModelError(f"{what} cannot be loaded ({_line(error)})", hint="Check that the folder is whole") from error


def _line(error: object) -> str:
    """The first line of an error's text, shortened."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]


def quantisation_record(quantisation: QuantSpec | None) -> Mapping[str, Any] | None:
    """How `Artefact.quantisation` writes a QuantSpec; `load_artefact` reads it back."""
    return None if quantisation is None else quantisation.model_dump(mode="json")
