"""Times the model's work in every process that has this folder on its path: used by `overhead.py` alone.

Python imports a module of this name when it starts. Nothing is loaded here: when harness is about to import a module
that needs torch, torch's outermost calls are wrapped. Seconds are written to OVERHEAD_FOLDER/PID.json about every half
second and at the end: `forward` (outermost module calls, and our losses), `backward`, `optimiser`, and, of the process,
`busy` (inside `worker.execute`), and `entered` and `left`, when that began for the first time and was over for the
last, on the machine's monotonic clock.
"""

from __future__ import annotations

import atexit
import functools
import importlib.abc
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

SECONDS = {"forward": 0.0, "backward": 0.0, "optimiser": 0.0, "busy": 0.0, "entered": 0.0, "left": 0.0}
_state = {"inside": 0, "written": 0.0}


def write() -> None:
    """What has been counted so far."""
    _state["written"] = time.monotonic()
    path = Path(os.environ["OVERHEAD_FOLDER"]) / f"{os.getpid()}.json"
    part = path.with_suffix(".part")
    part.write_text(json.dumps(SECONDS))
    part.replace(path)


def timed(kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, its time counted unless it runs within another that is counted."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        if _state["inside"]:
            return function(*args, **kwargs)
        _state["inside"] = 1
        started = time.perf_counter()
        try:
            return function(*args, **kwargs)
        finally:
            SECONDS[kind] += time.perf_counter() - started
            _state["inside"] = 0
            if time.monotonic() - _state["written"] > 0.5:
                write()

    return wrapped


def busy(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, the time of all that it does counted as `busy`."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        SECONDS["entered"] = SECONDS["entered"] or time.monotonic()
        try:
            return function(*args, **kwargs)
        finally:
            SECONDS["busy"] += time.perf_counter() - started
            SECONDS["left"] = time.monotonic()
            write()

    return wrapped


class Watch(importlib.abc.MetaPathFinder):
    """Wraps what is to be timed before the modules that use it are imported; finds nothing itself."""

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name in ("harness.models.transformers.causal", "harness.arms.training.loop") and "torch" not in _state:
            _state["torch"] = 1
            import torch

            module: Any = torch.nn.Module
            module.__call__ = timed("forward", module.__call__)
            torch.autograd.backward = timed("backward", torch.autograd.backward)
            torch.optim.AdamW.step = timed("optimiser", torch.optim.AdamW.step)  # type: ignore[method-assign]
        if name == "harness.arms.training.loop" and "losses" not in _state:
            _state["losses"] = 1
            from harness.arms.training import losses

            for known in (losses.CompletionLoss, losses.PreferenceLoss):
                known.loss = timed("forward", known.loss)  # type: ignore[method-assign]
            losses.completion_loss = timed("forward", losses.completion_loss)
        if (
            name in ("harness.experiments.running.executors.inline", "harness.experiments.running.executors.processes")
            and "worker" not in _state
        ):
            _state["worker"] = 1
            from harness.experiments.running import worker

            worker.execute_or_block = busy(worker.execute_or_block)


if "OVERHEAD_FOLDER" in os.environ:
    sys.meta_path.insert(0, Watch())
    atexit.register(write)
