"""An adapter or a full model that was trained elsewhere: checked, copied into the run folder, and scored as it is."""

from __future__ import annotations

import json
import shutil
import time
from pathlib import Path
from typing import Literal

from harness.arms import Progress, TrainResult, artefacts
from harness.arms.untrained import load as load, template_hash
from harness.config import ImportedSpec
from harness.data.prompts import NO_OVERRIDE
from harness.errors import ModelError
from harness.models.transformers import loading
from harness.records import Ledger, RunPlan, TrainingData

VERSION = 1
KEPT = (".safetensors", ".json", ".jinja", ".model", ".txt")
"""Kinds of files that are copied; pickles and code never are."""


def train(plan: RunPlan, data: TrainingData, progress: Progress) -> TrainResult:
    """Copy the folder and load it once onto the base model, so that a misfit is one clear error before any scoring."""
    done = artefacts.read_result(plan.run_folder)
    if done is not None:
        return done
    assert isinstance(plan.arm, ImportedSpec)
    started = time.perf_counter()
    progress("prepare", 0, 1)
    source = Path(plan.arm.path)
    kind = kind_of(source)
    folder = artefacts.write_folder(plan, lambda path: _copy(source, path))
    artefact = artefacts.describe(plan, kind, folder, template_hash(plan, NO_OVERRIDE))
    load(plan, artefact).close()
    progress("prepare", 1, 1)
    ledger = Ledger(prepare_seconds=time.perf_counter() - started, artefact_bytes=artefacts.folder_bytes(folder))
    notes = ("trained elsewhere: its data and cost are not known here", *_misfits(plan, source, kind))
    return artefacts.write_result(plan.run_folder, TrainResult(artefact, ledger, notes))


def _misfits(plan: RunPlan, source: Path, kind: str) -> list[str]:
    """What an adapter brings or says of its base that is not what it is scored with."""
    from harness.models.transformers import loading

    if kind != "adapter":
        return []
    notes = []
    trained_on = str(json.loads((source / "adapter_config.json").read_text()).get("base_model_name_or_path") or "")
    base = loading.resolve_base(plan.experiment.base)
    called = {Path(name).name.lower() for name in (str(plan.experiment.base.path), str(base), _own_name(base)) if name}
    if trained_on and Path(trained_on).name.lower() not in called:
        notes.append(
            f"its adapter_config.json says that it was trained on {trained_on}, and it is scored on"
            f" {plan.experiment.base.path}: if these are not the same weights, its numbers mean nothing"
        )
    own = _template_of(source)
    if own and own != _template_of(base):
        notes.append("it brings a chat template of its own, which is not used: give it as chat.template")
    return notes


def _own_name(folder: Path) -> str:
    config = folder / "config.json"
    return str(json.loads(config.read_text()).get("_name_or_path") or "") if config.is_file() else ""


def _template_of(folder: Path) -> str:
    """The chat template that lies in a folder; empty without one."""
    alone, config = folder / "chat_template.jinja", folder / "tokenizer_config.json"
    if alone.is_file():
        return alone.read_text(encoding="utf-8")
    return str(json.loads(config.read_text()).get("chat_template") or "") if config.is_file() else ""


def kind_of(folder: Path) -> Literal["adapter", "full"]:
    """Whether `folder` holds a PEFT adapter or a full model. Raises ModelError when neither, or pickle-only."""
    hint = "Give a PEFT adapter folder or a full model folder"
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder", hint=hint)
    adapter = folder / "adapter_config.json"
    if not adapter.is_file() and not (folder / "config.json").is_file():
        raise ModelError(f"{folder} has neither adapter_config.json nor config.json", hint=hint)
    kind: Literal["adapter", "full"] = "adapter" if adapter.is_file() else "full"
    loading.require_safetensors(folder, str(folder), kind)
    if kind == "adapter":
        loading.check_adapter_folder(folder)
    return kind


def _copy(source: Path, target: Path) -> None:
    """Copies, not links: the artefact must not change when the folder it came from does."""
    for path in sorted(source.iterdir()):
        if path.is_file() and path.suffix in KEPT:
            shutil.copyfile(path, target / path.name)
