"""What this machine has, what is missing, and how to get it. Imports none of the heavy libraries to say so."""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from harness import __version__, environment
from harness.records import to_json as record_to_json

SCHEMA = "harness.doctor/1"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing looked at: `missing` stops the main job, `note` does not."""

    name: str
    state: Literal["ok", "missing", "note"]
    detail: str
    remedy: str = ""


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """Everything that was looked at."""

    version: str
    hardware: dict[str, Any]
    packages: dict[str, str]
    findings: tuple[Finding, ...]

    @property
    def ready(self) -> bool:
        """Whether nothing that the main job needs is missing."""
        return all(finding.state != "missing" for finding in self.findings)


def examine(home: Path) -> Diagnosis:
    """Look at packages, accelerator, disk, embedded base, home folder and hub log-in; changes nothing."""
    findings = [*_packages(), *_machine(), *_folders(home), _hub()]
    return Diagnosis(__version__, environment.hardware(), environment.packages(), tuple(findings))


def _packages() -> list[Finding]:
    try:
        wanted = importlib.metadata.requires("finetune-harness") or []
    except importlib.metadata.PackageNotFoundError:
        return [Finding("harness", "missing", "not installed as a package", "pip install -c constraints.txt -e .")]
    missing = []
    for requirement in wanted:
        name = re.match(r"[A-Za-z0-9_.-]+", requirement)
        if name is None or "extra ==" in requirement:
            continue
        try:
            importlib.metadata.version(name.group())
        except importlib.metadata.PackageNotFoundError:
            missing.append(name.group())
    if missing:
        remedy = f"pip install -c constraints.txt {' '.join(missing)}"
        return [Finding("packages", "missing", f"not installed: {', '.join(missing)}", remedy)]
    return [Finding("packages", "ok", "every dependency is installed")]


def _machine() -> Iterator[Finding]:
    """Accelerator, number format and memory."""
    accelerators = environment.accelerators()
    torch = environment.packages().get("torch", "")
    if not accelerators:
        words = "none: training runs on the processor"
        yield Finding("accelerator", "note", words, "models of 1 B parameters want a GPU")
    elif torch.endswith("+cpu"):
        unused = f"{accelerators[0]}, unused by torch {torch}"
        yield Finding("accelerator", "note", unused, "pip install torch==2.13.0")
    else:
        yield Finding("accelerator", "ok", "; ".join(accelerators))
    if environment.multiplies("bfloat16") is False and not accelerators:
        words = "not in this processor: many times as slow"
        yield Finding("bfloat16", "note", words, "base_model: {dtype: float32}")
    memory = environment.hardware()["memory_bytes"] / 2**30
    if memory >= 6:
        yield Finding("memory", "ok", f"{memory:.0f} GiB")
    else:
        yield Finding("memory", "note", f"{memory:.0f} GiB", "the embedded job wants 6 GiB")


def _folders(home: Path) -> Iterator[Finding]:
    """Disk, embedded base and home folder."""
    from harness.experiments.loading.load import stock_folder

    existing = next(folder for folder in (home.absolute(), *home.absolute().parents) if folder.exists())
    free = shutil.disk_usage(existing).free / 2**30
    if free < 2:
        remedy = "free 2 GiB, or give another --home"
        yield Finding("disk", "missing", f"{free:.1f} GiB free under {existing}", remedy)
    else:
        yield Finding("disk", "ok", f"{free:.0f} GiB free for the home folder")
    weights = stock_folder() / "baselines" / "base" / "model.safetensors"
    if weights.exists():
        yield Finding("embedded base", "ok", f"{weights.parent} ({weights.stat().st_size / 1e6:.1f} MB)")
    else:
        yield Finding("embedded base", "missing", f"no model.safetensors in {weights.parent}", "check out again")
    if not home.exists():
        yield Finding("home folder", "note", f"{home} does not exist yet", "`harness run` makes it")
    elif not os.access(home, os.W_OK):
        yield Finding("home folder", "missing", f"{home} cannot be written", "give another --home")
    else:
        yield Finding("home folder", "ok", str(home))


def _hub() -> Finding:
    token = os.environ.get("HF_TOKEN") or (Path.home() / ".cache" / "huggingface" / "token").exists()
    if token:
        return Finding("model hub", "ok", "a token is set")
    return Finding("model hub", "note", "not logged in; local folders and open models work", "hf auth login")


def lines(diagnosis: Diagnosis) -> list[str]:
    """The diagnosis as plain lines."""
    machine = diagnosis.hardware
    out = [
        f"harness {diagnosis.version} on {machine['processor']}, {machine['cores']} cores,"
        f" {environment.usable_threads()} threads for one process (OMP_NUM_THREADS, affinity, quota)",
        "  " + ", ".join(f"{name} {version}" for name, version in diagnosis.packages.items()),
    ]
    for finding in diagnosis.findings:
        remedy = f"  -> {finding.remedy}" if finding.remedy else ""
        out.append(f"  {finding.state:<8}{finding.name:<15}{finding.detail}{remedy}")
    out.append("ready" if diagnosis.ready else "not ready: see the lines marked missing")
    return out


def to_json(diagnosis: Diagnosis) -> dict[str, Any]:
    """The diagnosis as JSON with its schema's name."""
    return {"schema": SCHEMA, "ready": diagnosis.ready, **record_to_json(diagnosis)}
