"""Where a result was made: package versions, hardware, commit. Reads metadata only; imports no library it reports."""

from __future__ import annotations

import datetime
import getpass
import importlib.metadata
import math
import os
import platform
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "peft",
    "trl",
    "bitsandbytes",
    "accelerate",
    "datasets",
    "lm_eval",
    "evaluate",
    "rouge-score",
    "sacrebleu",
    "duckdb",
    "streamlit",
    "numpy",
)
SCORING = ("torch", "transformers", "tokenizers", "peft", "bitsandbytes", "lm_eval")
"""Packages whose version may move a score: part of every `eval_id`."""
TRAINING = (*SCORING[:-1], "accelerate", "numpy")
"""Packages whose version may move a training."""
REMOTE = {"device": "remote"}
"""Environment of what a server answered: the server's own, which its probe answers stand for."""


def user() -> str:
    """The name of the user who runs this."""
    return os.environ.get("USER") or getpass.getuser()


def now() -> str:
    """The present moment in UTC, ISO 8601 with seconds."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")


def moment() -> str:
    """The present moment in UTC to the microsecond, for what must differ from the same thing done again at once."""
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="microseconds")


@lru_cache
def packages() -> dict[str, str]:
    """Installed versions of the libraries that results depend on; those that are missing are left out."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


@lru_cache
def hardware() -> dict[str, Any]:
    """Processor, cores and memory of this machine, and its accelerator where the driver names one."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return {
        "machine": platform.machine(),
        "processor": _cpu_facts(CPUINFO, ["model name"]) or platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "memory_bytes": memory,
        "accelerators": accelerators(),
    }


def usable_threads() -> int:
    """Threads that this process may keep busy: OMP_NUM_THREADS, else the processors that its affinity and its control
    group's quota leave it. A container or a batch job often has fewer than the machine."""
    asked = os.environ.get("OMP_NUM_THREADS", "").split(",")[0].strip()
    if asked.isdigit() and int(asked) > 0:
        return int(asked)
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    return count if math.isinf(quota) else max(1, min(count, math.ceil(quota)))


def _quota(root: Path = Path("/sys/fs/cgroup")) -> float:
    """Processors that the control group may use (version 2, else 1), without end where there is no quota."""
    try:
        quota, period = (root / "cpu.max").read_text().split()
        return float(quota) / float(period) if quota != "max" else math.inf
    except (OSError, ValueError):
        pass
    try:
        quota_us = float((root / "cpu/cpu.cfs_quota_us").read_text())
        return quota_us / float((root / "cpu/cpu.cfs_period_us").read_text()) if quota_us > 0 else math.inf
    except (OSError, ValueError, ZeroDivisionError):
        return math.inf


CPUINFO = Path("/proc/cpuinfo")


def _cpu_facts(cpuinfo: Path, names: Sequence[str]) -> str | None:
    """What Linux says first of a processor under one of `names`; None where the system does not say."""
    try:
        lines = [line.partition(":") for line in cpuinfo.read_text(errors="replace").splitlines()]
    except OSError:
        return None
    return next((value.strip() for name, _, value in lines if name.strip() in names), None)


HALVES = {
    "bfloat16": frozenset({"avx512_bf16", "amx_bf16", "bf16"}),
    "float16": frozenset({"avx512_fp16", "amx_fp16", "fphp", "asimdhp"}),
}
"""Data types of two bytes, and the names that Linux gives to a processor's arithmetic in them (x86 and ARM)."""


def multiplies(dtype: str, cpuinfo: Path = CPUINFO) -> bool | None:
    """Whether this processor multiplies numbers of `dtype` itself; None where the system does not say.

    Where it does not, torch emulates it: a matrix product took 70 times as long as in float32 (AMD Zen 3, torch 2.13).
    """
    if dtype not in HALVES:
        return True
    flags = _cpu_facts(cpuinfo, ["flags", "Features"])  # of x86, of ARM
    return None if flags is None else not HALVES[dtype].isdisjoint(flags.split())


@lru_cache
def accelerators() -> list[str]:
    """Names of the NVIDIA devices that the driver shows; empty without a driver. Loads no torch."""
    return _lines("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader") or []


def free_memory(device: str | None = None) -> int | None:
    """Bytes that a new process can have of main memory, or of an accelerator by its index or UUID; loads no torch.

    None where the driver does not say. In a container it is what its limit leaves.
    """
    if device is None:
        import psutil

        return min(int(psutil.virtual_memory().available), _left_of_limit())
    for line in _driver("--query-gpu=index,uuid,memory.free"):
        index, uuid, free = (part.strip() for part in line.split(","))
        if (index == device or uuid.startswith(device)) and free.isdigit():
            return int(free) << 20
    return None


def used_memory(pid: int, device: str | None = None) -> int:
    """Bytes that a process holds of main memory (resident), or of any accelerator; 0 where that is not known."""
    if device is not None:
        rows = [line.split(",") for line in _driver("--query-compute-apps=pid,used_memory")]
        held = [row[1].strip() for row in rows if row[0].strip() == str(pid)]
        return sum(int(size) << 20 for size in held if size.isdigit())
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def _driver(query: str) -> list[str]:
    """Lines that the NVIDIA driver answers with; none without a driver."""
    return _lines("nvidia-smi", query, "--format=csv,noheader,nounits") or []


def _lines(*command: str) -> list[str] | None:
    """Lines that a program prints, empty ones left out; None where it cannot be run, fails or takes too long."""
    try:
        answer = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    lines = [line.strip() for line in answer.stdout.splitlines()]
    return None if answer.returncode else [line for line in lines if line]


def _left_of_limit(root: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that the control group of a container leaves, file cache counted as free; very many without a limit."""
    try:
        limit, used = (root / "memory.max").read_text().strip(), int((root / "memory.current").read_text())
        counted = dict(line.split() for line in (root / "memory.stat").read_text().splitlines())
        return int(limit) - used + int(counted["inactive_file"]) if limit.isdigit() else sys.maxsize
    except (OSError, ValueError, KeyError):
        return sys.maxsize


def visible_devices(count: int, given: str | None) -> list[str]:
    """Identifiers of the devices that this process may use, for CUDA_VISIBLE_DEVICES of its workers.

    `count` is how many the driver shows, `given` that variable here: it names a choice of them, or hides all.
    """
    if given is None:
        return [str(number) for number in range(count)]
    named = [part.strip() for part in given.split(",")]
    # CUDA itself stops reading at the first name that is none.
    return named[: named.index("-1")] if "-1" in named else [name for name in named if name]


@lru_cache
def commit() -> tuple[str | None, bool | None]:
    """The commit of the working directory and whether it has uncommitted changes; None outside a repository."""
    head = _lines("git", "rev-parse", "HEAD")
    changes = _lines("git", "status", "--porcelain", "--untracked-files=no") if head else None
    return (None, None) if not head or changes is None else (head[0], bool(changes))


def scoring_environment(device: str) -> dict[str, str]:
    """What may move a score without a change of model or data: library versions, and the kind of device.

    Version 0.1 scored small models on a CPU by layers of its own; the mark tells its scores from those of now.
    """
    versions = {name: version for name, version in packages().items() if name in SCORING}
    mark = {"layers": "transformers"} if device == "cpu" else {}
    return {"device": device, "python": platform.python_version(), **versions, **mark}


def scoring_hardware() -> dict[str, Any]:
    """What a score was computed on. It may move the last bits of a score and all of the times, so it is shown."""
    found = hardware()
    return {"processor": found["processor"], "accelerators": found["accelerators"]}
