"""The artefact of a run and its identity, and the result file that says a training is finished.

    runs/TRAIN_ID/artefact/     the files of the adapter or model, or the worked examples of a few-shot arm
    runs/TRAIN_ID/result.json   TrainResult, written last

Hashes cover contents and names only, never a path: a home folder may be moved, and two runs of one seed agree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from harness.arms import TrainResult
from harness.arms.training.checkpoints import write_whole
from harness.records import Artefact, ArtefactKind, RunPlan, digest, from_json
from harness.records.files import read_json, write_json

FOLDER = "artefact"
RESULT = "result.json"


def files_hash(folder: Path) -> str:
    """16 hexadecimal digits over the names and contents of every file under `folder`."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        with path.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}:{content}\n".encode())
    return whole.hexdigest()[:16]


def folder_bytes(folder: Path) -> int:
    """Bytes of all files under `folder`."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def write_folder(plan: RunPlan, write: Callable[[Path], None]) -> Path:
    """Let `write` fill the artefact folder of a run; it appears whole or not at all. Returns it."""
    return write_whole(plan.run_folder / FOLDER, plan.run_folder / f"{FOLDER}.part", write)


def describe(
    plan: RunPlan,
    kind: ArtefactKind,
    folder: Path | None,
    chat_template_hash: str,
    quantisation: Mapping[str, Any] | None = None,
    prefix_hash: str = "",
) -> Artefact:
    """The record of an artefact in `folder` (None for the base itself); `hash` covers every field but the paths."""
    artefact = Artefact(
        kind=kind,
        base_path=str(plan.experiment.base.path),
        base_hash=plan.base_hash,
        path=folder.relative_to(plan.run_folder).as_posix() if folder is not None else None,
        files_hash=files_hash(folder) if folder is not None else "",
        quantisation=quantisation,
        chat_template_hash=chat_template_hash,
        prefix_hash=prefix_hash,
        hash="",
    )
    covered = ("kind", "base_hash", "files_hash", "quantisation", "chat_template_hash", "prefix_hash")
    return replace(artefact, hash=digest({name: getattr(artefact, name) for name in covered}))


def write_result(folder: Path, result: TrainResult) -> TrainResult:
    """Note that the training in run folder `folder` is finished."""
    write_json(folder / RESULT, result)
    return result


def read_result(folder: Path) -> TrainResult | None:
    """The result of a finished training whose artefact is still there, or None."""
    path = folder / RESULT
    if not path.is_file():
        return None
    result = from_json(TrainResult, read_json(path))
    artefact = result.artefact
    return result if artefact.path is None or (folder / artefact.path).is_dir() else None
