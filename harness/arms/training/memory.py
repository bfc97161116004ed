"""Peak memory of a training: what torch allocates on an accelerator, or the process's resident set on a CPU."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from harness.errors import OutOfMemory
from harness.records import MemoryKind

_STATUS, _CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
_CLEAR_PEAK = "5"
"""Linux: sets the resident set's high-water mark back to what is resident now (proc(5))."""


def is_out_of_memory(error: Exception) -> bool:
    """Whether `error` says that memory ran out; the CPU's allocator says it in words only."""
    text = str(error).lower()
    return (
        isinstance(error, (OutOfMemory, MemoryError))
        or type(error).__name__ == "OutOfMemoryError"
        or "can't allocate memory" in text
        or "out of memory" in text
    )


def kind(device: str) -> MemoryKind:
    """What `watch` measures on `device`."""
    return "accelerator" if device.startswith("cuda") else "resident set"


def watch(device: str) -> Callable[[], int]:
    """A function that gives the peak in bytes since this call.

    On a CPU the peak covers the whole process: libraries and what earlier arms left in it count. Where the system does
    not keep a mark that can be set back, it is the resident set at the moment (the caller keeps the largest).
    """
    if device.startswith("cuda"):
        import torch

        torch.cuda.reset_peak_memory_stats()
        return lambda: int(torch.cuda.max_memory_allocated())
    try:
        _CLEAR.write_text(_CLEAR_PEAK)
        _high_water()
    except (OSError, ValueError):
        return _resident
    return _high_water


def _high_water() -> int:
    for line in _STATUS.read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise ValueError("no VmHWM")


def _resident() -> int:
    import psutil

    return int(psutil.Process().memory_info().rss)
