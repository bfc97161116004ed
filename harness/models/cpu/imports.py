"""Importing this module imports bitsandbytes (where it is installed) without torch's compiler.

bitsandbytes wraps four functions in `torch.compile` when it is imported, which loads the compiler, 500 modules. They
are its fallbacks for devices that have no kernels of their own; here they stay as they are written, as bitsandbytes
itself leaves them where compiling fails. peft imports bitsandbytes, so this module goes first.
"""

from __future__ import annotations

import importlib
from contextlib import suppress
from typing import Any

import torch

from harness.models.transformers.loading import quiet


def _refuse(*args: Any, **options: Any) -> Any:
    raise RuntimeError("not compiled: loading the compiler costs more than these functions do")


quiet()
_compile = torch.compile
torch.compile = _refuse
try:
    with suppress(ImportError):
        importlib.import_module("bitsandbytes")
finally:
    torch.compile = _compile
