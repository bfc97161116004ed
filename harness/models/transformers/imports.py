"""Importing the model libraries without what they would load in vain: every worker pays for it before its first step.

Two things cost a fifth of the imports of a training (measured in turns, CPU seconds: 7.3 as they come, 5.4 so):

- Python's garbage collector, which walks what was imported so far again and again, and finds nothing: all of it lives
  as long as the process. It waits until the imports are over, and what they left is set aside for good (`gc.freeze`).
- torch's compiler. bitsandbytes wraps four functions in `torch.compile` when it is imported, which loads the compiler
  for them, 500 modules. They are its fallbacks for devices that have no kernels of their own; they stay as they are
  written, as bitsandbytes itself leaves them where compiling fails.
"""

from __future__ import annotations

import gc
import importlib
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

BITSANDBYTES = "bitsandbytes"
SCORING = ("harness.models.transformers.causal",)
ADAPTERS = (BITSANDBYTES, "peft")
"""peft imports bitsandbytes wherever it is installed."""
TRAINING = (*ADAPTERS, "harness.arms.saving", "harness.arms.training.loop")


def loaded(modules: Sequence[str]) -> bool:
    """Whether this process has imported all of `modules`."""
    return all(name in sys.modules for name in modules)


def load(modules: Sequence[str]) -> None:
    """Import `modules`, in this order, and what they need; nothing happens where that was done before."""
    if loaded(modules):
        return
    with uncollected():
        for name in modules:
            if name == BITSANDBYTES:
                _bitsandbytes()
            else:
                importlib.import_module(name)


@contextmanager
def uncollected() -> Iterator[None]:
    """No garbage collection within; afterwards what is there is left out of all later ones."""
    was = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if was:
            gc.enable()


def _bitsandbytes() -> None:
    """Import bitsandbytes, where it is installed, with its functions uncompiled."""
    import torch

    def refuse(*args: Any, **options: Any) -> Any:
        raise RuntimeError("not compiled: loading the compiler costs more than these functions do")

    compiler = torch.compile
    torch.compile = refuse
    try:
        with suppress(ImportError):
            importlib.import_module(BITSANDBYTES)
    finally:
        torch.compile = compiler
