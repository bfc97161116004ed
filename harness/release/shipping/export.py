"""`harness export`: a folder with the weights that ship, a model card, and export.json, whole or not at all.

README.md         the model card
export.json       schema, run, evaluation, artefact, how it was made, SHA-256 of every file
*.safetensors …   the adapter as it was evaluated, or a whole model with tokenizer and generation config
Dockerfile, requirements.txt   with --dockerfile
"""

from __future__ import annotations

import importlib.resources
import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness.data.prompts import NO_OVERRIDE, Prompter
from harness.errors import UsageError
from harness.experiments.running import worker
from harness.records.files import write_json, write_text
from harness.release.shipping import card
from harness.release.shipping.card import ExportManifest
from harness.release.shipping.runs import Shippable, find
from harness.release.shipping.shipped import PAPERS, SCHEMA, sha256

SERVING = ("torch", "transformers", "accelerate")
"""Packages that a container needs, in the versions that the run was scored with; bitsandbytes too where it is used."""


@dataclass(frozen=True, slots=True)
class ExportRequest:
    """What an export is to be."""

    to: Path
    merge: bool = False
    quantise: Literal["nf4", "int8"] | None = None
    """Implies `merge`."""
    dockerfile: bool = False
    base: str | None = None
    """Where the base model lies now."""


def export(home: Path, name: str, request: ExportRequest) -> list[str]:
    """Write the run called `name` as something that ships; what was written, a line each.

    Raises UsageError for a target that holds something, a failed run or weights that were pruned, and ModelError for
    an adapter that cannot be merged or a model that cannot be quantised here. Then nothing is written.
    """
    target = request.to.expanduser().absolute()
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(
            f"{request.to} exists and is not an empty folder", hint="Give the name of a new folder with --to"
        )
    run = find(home, name, request.base)
    whole = request.merge or request.quantise is not None or run.artefact.kind != "adapter"
    if request.dockerfile and not whole:
        raise UsageError("an adapter cannot be served without its base", hint="Give --merge with --dockerfile")
    worker.set_threads(run.plan)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{target.name}.", dir=target.parent) as scratch:
        folder = Path(scratch) / "export"
        folder.mkdir()
        manifest = _write(run, request, folder, Path(scratch) / "whole") if whole else _copy(run, folder)
        write_text(folder / "README.md", card.render(run, manifest))
        if request.dockerfile:
            _container(run, manifest, folder)
        write_json(folder / PAPERS, papers(run, manifest, folder))
        if target.exists():
            target.rmdir()
        folder.rename(target)
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
    return [f"exported {run.name} as {manifest.kind} to {request.to}: {size:,} bytes"]


def _copy(run: Shippable, folder: Path) -> ExportManifest:
    """The adapter, byte for byte as it was evaluated."""
    for path in sorted(run.folder.iterdir()):
        shutil.copyfile(path, folder / path.name)
    config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    rank = config.get("r")
    return ExportManifest("adapter", _uses_chat(run), rank=rank if isinstance(rank, int) else None)


def _write(run: Shippable, request: ExportRequest, folder: Path, scratch: Path) -> ExportManifest:
    """A whole model, quantised where the request says so."""
    from harness.release.shipping import weights

    if request.quantise is None:
        merged = weights.write_merged(run.plan, run.artefact, folder)
    else:
        merged = weights.write_merged(run.plan, run.artefact, scratch)
        weights.write_quantised(run.plan, scratch, request.quantise, folder)
    change = merged.largest_change if merged.into else None
    return ExportManifest(request.quantise or "merged", _uses_chat(run), merged.into, change)


def _uses_chat(run: Shippable) -> bool:
    from harness.models.transformers import loading

    experiment = run.plan.experiment
    tokenizer = loading.load_tokenizer(loading.resolve_base(experiment.base))
    return Prompter(
        tokenizer, experiment.spec.chat, experiment.task, experiment.base.context or 1, NO_OVERRIDE
    ).uses_chat


def papers(run: Shippable, manifest: ExportManifest, folder: Path) -> dict[str, Any]:
    """What export.json says. Holds no path of this machine and no time: the same run gives the same papers."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {
        "schema": SCHEMA,
        "run": run.name,
        "seed": run.entry.seed,
        "experiment_id": run.experiment.experiment_id,
        "train_id": run.entry.train_id,
        "eval_id": run.entry.eval_id,
        "artefact": run.artefact.hash,
        "base": {"name": card.base_name(run), "hash": run.artefact.base_hash},
        "kind": manifest.kind,
        "merged_into": manifest.into or None,
        "largest_change_of_a_logit": manifest.largest_change,
        "suite": run.experiment.suite,
        "files": {path.relative_to(folder).as_posix(): sha256(path) for path in files},
    }


def _container(run: Shippable, manifest: ExportManifest, folder: Path) -> None:
    """A Dockerfile, and the packages that it installs in the versions that the run was made with."""
    source = importlib.resources.files("harness.release.shipping") / "Dockerfile"
    write_text(folder / "Dockerfile", source.read_text(encoding="utf-8"))
    versions = run.run.provenance.packages
    names = [*SERVING, *(["bitsandbytes"] if manifest.kind in ("nf4", "int8") else [])]
    extras = {"transformers": "transformers[serving]"}
    # A local version such as 2.13.0+cpu is in no registry.
    lines = [f"{extras.get(name, name)}=={versions[name].partition('+')[0]}" for name in names if name in versions]
    write_text(folder / "requirements.txt", "\n".join(lines) + "\n")
