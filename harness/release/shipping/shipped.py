"""What ships, read from a folder or behind a URL, so that it can be scored in place of a run's own artefact.

A folder is read as an arm that was trained elsewhere (`imported`), a URL as an `endpoint`: the plan of the run stands,
with that arm in its place, so that prompts, settings and the sealed examples are the run's to the last token.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, cast

from pydantic import ValidationError

from harness.arms import artefacts, imported
from harness.config import EndpointSpec, ImportedSpec
from harness.errors import UsageError
from harness.records import Artefact, RunPlan, ShippedKind, digest
from harness.records.files import read_json
from harness.release.shipping.runs import Shippable

SCHEMA = "harness.export/1"
PAPERS = "export.json"


@dataclass(frozen=True, slots=True)
class Server:
    """How a URL is asked."""

    model: str | None = None
    """Name by which the server knows the model."""
    api: str = "completions"
    """`completions` or `chat`."""
    key_env: str | None = None
    """Environment variable that holds the key."""


@dataclass(frozen=True, slots=True)
class Shipped:
    """Something that can be scored: the plan to do so, and its artefact."""

    kind: ShippedKind
    name: str
    """Its folder's name, or URL and model: no path of this machine."""
    plan: RunPlan
    artefact: Artefact
    problem: str = ""
    """Why it is not what its own papers say; empty where it is, or has none."""


def artefact_at(location: str, run: Shippable, server: Server) -> Shipped:
    """What lies at `location`. Raises UsageError, ModelError or ArmFailed, in one line, when it cannot be scored."""
    if location.startswith(("http://", "https://")):
        return _endpoint(location, run, server)
    return _folder(Path(location), run)


def sha256(path: Path) -> str:
    """Of a file's bytes, in hexadecimal."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _folder(folder: Path, run: Shippable) -> Shipped:
    from harness.models.transformers import loading

    folder = folder.expanduser().absolute()
    loaded_as = imported.kind_of(folder)
    quantised = None if loaded_as == "adapter" else loading.quantised_folder(folder)
    if quantised is not None and quantised not in loading.BITSANDBYTES:
        raise UsageError(
            f"{folder.name} is quantised with {quantised}, which is not read here", hint="Serve it and give the URL"
        )
    kind = cast(ShippedKind, "adapter" if loaded_as == "adapter" else quantised or "merged")
    own = run.artefact
    # An adapter goes onto the base as it was scored: over the quantised one where the run had that.
    over = own.quantisation if kind == "adapter" and own.kind == "adapter" else None
    files = artefacts.files_hash(folder)
    artefact = replace(
        own,
        kind="adapter" if kind == "adapter" else "merged",
        path=str(folder),
        files_hash=files,
        quantisation=over,
        prefix_hash="",
        hash=digest(["shipped", kind, own.base_hash if kind == "adapter" else "", files, over]),
    )
    plan = replace(run.plan, arm=ImportedSpec(method="imported", name=run.plan.arm_name, path=str(folder)))
    return Shipped(kind, folder.name, plan, artefact, _against_papers(folder, run))


def _against_papers(folder: Path, run: Shippable) -> str:
    """What contradicts the folder's own export.json, where it has one."""
    file = folder / PAPERS
    if not file.is_file():
        return ""
    try:
        papers = read_json(file)
        files, source = dict(papers["files"]), str(papers["artefact"])
    except (ValueError, KeyError, TypeError):
        return f"its {PAPERS} cannot be read"
    if source != run.artefact.hash:
        return f"its {PAPERS} says that it was exported from {papers.get('run', 'another run')}, of another artefact"
    for name, expected in files.items():
        if Path(name).suffix not in imported.KEPT[:-1]:
            continue  # the card may be edited
        if not (folder / name).is_file():
            return f"{name} is gone since it was exported"
        if sha256(folder / name) != expected:
            return f"{name} is not the file that was exported: its hash is another"
    return ""


def _endpoint(url: str, run: Shippable, server: Server) -> Shipped:
    from harness.arms import endpoint
    from harness.environment import moment

    if not server.model:
        raise UsageError(f"{url} may serve several models", hint="Say which with --model NAME")
    try:
        spec = EndpointSpec(
            method="endpoint",
            name=run.plan.arm_name,
            url=url,
            model=server.model,
            api=cast(Literal["completions", "chat"], server.api),
            key_env=server.key_env,
        )
    except ValidationError as error:
        first = error.errors()[0]
        reason = str(first["msg"]).removeprefix("Value error, ")
        raise UsageError(f"--{'artefact' if first['loc'] == ('url',) else first['loc'][0]}: {reason}") from None
    plan = replace(run.plan, arm=spec)
    answers = endpoint.probe(endpoint.client(plan))
    # The moment is part of the identity: what answered behind a URL an hour ago says nothing about now.
    identity = ["shipped", "endpoint", spec.url, spec.model, spec.api, answers, moment()]
    nothing: dict[str, Any] = {"path": None, "files_hash": "", "quantisation": None, "prefix_hash": ""}
    artefact = replace(run.artefact, kind="endpoint", hash=digest(identity), **nothing)
    # A server may know a model by the folder it was started with: its name is enough.
    return Shipped("endpoint", f"{spec.url} {Path(spec.model).name or spec.model}", plan, artefact)
