"""What is imported for a training, seen in fresh processes: all that is needed, and torch's compiler only without the
kernels for CPUs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest


def _fresh(code: str) -> Any:
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=120,
    )
    return json.loads(done.stdout)


@pytest.mark.parametrize("cpu_kernels", ["on", "off"])
def test_a_training_is_imported_whole(cpu_kernels: str) -> None:
    found = _fresh(
        "import gc, json, sys\n"
        "from harness import arms\n"
        "from harness.models import cpu\n"
        "def loaded(): return [name in sys.modules for name in (*arms.TRAINING, 'bitsandbytes')]\n"
        "before = loaded()\n"
        f"cpu.shorten_imports('cpu', '{cpu_kernels}')\n"
        "arms.import_all(arms.TRAINING)\n"
        "import torch\n"
        "print(json.dumps({'before': any(before), 'after': all(loaded()),\n"
        "    'compiler': 'torch._inductor.compile_fx' in sys.modules, 'collects': gc.isenabled(),\n"
        "    'frozen': gc.get_freeze_count(), 'compile': torch.compile.__module__}))\n"
    )
    assert (found["before"], found["after"], found["collects"]) == (False, True, True)
    assert found["compiler"] == (cpu_kernels == "off")
    assert found["frozen"] > 100_000
    assert found["compile"] == "torch"


@pytest.mark.real
def test_uncompiled_quantisation_gives_the_same_weights() -> None:
    code = (
        "import json, torch\n"
        "from harness.models.transformers import loading; loading.quiet()\n"
        "import {module}\n"
        "from bitsandbytes import functional\n"
        "weights = torch.linspace(-3, 3, 64 * 128).reshape(64, 128)\n"
        "packed, state = functional.quantize_4bit(weights, quant_type='nf4')\n"
        "print(json.dumps(functional.dequantize_4bit(packed, state).flatten().tolist()))\n"
    )
    assert _fresh(code.format(module="harness.models.cpu.imports")) == _fresh(code.format(module="bitsandbytes"))


def test_scoring_needs_no_adapters() -> None:
    found = _fresh(
        "import json, sys\n"
        "from harness import arms\n"
        "arms.import_all(arms.SCORING)\n"
        "print(json.dumps(sorted({'peft', 'bitsandbytes', 'trl'} & set(sys.modules))))\n"
    )
    assert found == []
