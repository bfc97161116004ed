"""From a trained model to the artefact on disk and the ledger: adapters through peft, full models as safetensors.

Files are made so that two runs of one seed write the same bytes wherever they live: no local path, no set in the order
of its hashes, no model card.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from harness.arms import TrainResult, artefacts
from harness.arms.training import flops
from harness.data.prompts import Prompter
from harness.errors import ArmFailed
from harness.models.transformers import base_cache, same_model
from harness.records import Ledger, RunPlan


@dataclass(frozen=True, slots=True)
class Trainable:
    """A model made ready to train, and what its artefact will say of it."""

    model: Any
    tokenizer: Any
    prompter: Prompter
    kind: Literal["adapter", "full"]
    quantisation: Mapping[str, Any] | None

    @property
    def pad_id(self) -> int:
        """The token that shorter rows are filled up with."""
        return int(self.tokenizer.pad_token_id or 0)


def finish(plan: RunPlan, trained: Trainable, spent: Ledger, costs: Ledger, notes: tuple[str, ...] = ()) -> TrainResult:
    """Write the artefact and the result of a training. `costs` holds what the loop's own `spent` does not know.

    Its `flops` (of preparation) are added to those of the loop. At a rung of a race the training is not finished: its
    artefact is written, to be scored, and no result. A base that was lent for it goes back: `trained` is used up.
    """
    same_model.note_trained(plan.run_folder, trained.model.eval())
    if trained.kind == "adapter":
        _refuse_idle_adapter(trained)
        folder = artefacts.write_folder(plan, lambda path: save_adapter(trained.model, path, plan.experiment.base.path))
    else:
        folder = artefacts.write_folder(plan, lambda path: save_full(trained.model, trained.tokenizer, path))
    artefact = artefacts.describe(
        plan, trained.kind, folder, trained.prompter.template_hash, quantisation=trained.quantisation
    )
    trainable, total = count_parameters(trained.model)
    ledger = replace(
        spent,
        prepare_seconds=costs.prepare_seconds,
        flops=(spent.flops or 0.0) + (costs.flops or 0.0),
        trainable_parameters=trainable,
        total_parameters=total,
        artefact_bytes=artefacts.folder_bytes(folder),
        truncated_prompts=costs.truncated_prompts,
        parent=costs.parent,
    )
    base_cache.BASE.take_back(trained.model)
    notes += tuple(event.detail for event in spent.events if event.kind == "out_of_memory")
    result = TrainResult(artefact, ledger, notes)
    return result if plan.rung is not None else artefacts.write_result(plan.run_folder, result)


def count_parameters(model: Any) -> tuple[int, int]:
    """Trainable and total parameters; a 4-bit weight, stored two to a byte, counts as what it stands for."""
    trainable = total = 0
    for weight in model.parameters():
        count = flops.size(weight)
        total += count
        trainable += count if weight.requires_grad else 0
    return trainable, total


def save_adapter(model: Any, folder: Path, base: str) -> None:
    """The adapter in `folder`: adapter_model.safetensors and adapter_config.json with its sets sorted.

    A hub id of the base is kept in the config, of a local folder only the name.
    """
    # Left to itself peft asks the hub whether the vocabulary grew; it never does here.
    model.save_pretrained(folder, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)
    path = folder / "adapter_config.json"
    config = json.loads(path.read_text(encoding="utf-8"))
    for name, value in model.active_peft_config.to_dict().items():
        if isinstance(value, (set, frozenset)):
            config[name] = sorted(value)
    config["base_model_name_or_path"] = Path(base).name if Path(base).is_dir() else base
    path.write_text(json.dumps(config, indent=2, sort_keys=True), encoding="utf-8")


def save_full(model: Any, tokenizer: Any, folder: Path) -> None:
    """Model (safetensors, in the dtype it was trained in) and tokenizer, ready for `from_pretrained`."""
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "tokenizer_config.json"):
        path = folder / name
        if path.is_file():
            config = json.loads(path.read_text(encoding="utf-8"))
            for key in ("_name_or_path", "name_or_path"):
                config.pop(key, None)
            path.write_text(json.dumps(config, indent=2, sort_keys=True, ensure_ascii=False), encoding="utf-8")


def _refuse_idle_adapter(trained: Trainable) -> None:
    """Raise ArmFailed when the adapter leaves the logits as they are: it would be scored as if it were the base."""
    adapted = same_model.probe(trained.model.eval())
    with trained.model.disable_adapter():
        plain = same_model.probe(trained.model)
    if adapted.equal(plain):
        raise ArmFailed(
            "the trained adapter changes no logit", hint="Give it a larger budget or optimiser.learning_rate"
        )
