"""What is imported for a training, seen in fresh processes: all that is needed, and not the compiler."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any


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


def test_a_training_is_imported_whole_and_without_the_compiler() -> None:
    found = _fresh(
        "import gc, json, sys\n"
        "from harness.models.transformers import imports as libraries, loading as hf\n"
        "wanted = (*libraries.TRAINING, *libraries.SCORING)\n"
        "before = libraries.loaded(wanted)\n"
        "hf.quiet()\n"
        "libraries.load(wanted)\n"
        "import torch\n"
        "print(json.dumps({'before': before, 'after': libraries.loaded(wanted),\n"
        "    'compiler': 'torch._inductor.compile_fx' in sys.modules, 'collects': gc.isenabled(),\n"
        "    'frozen': gc.get_freeze_count(), 'compile': torch.compile.__module__}))\n"
    )
    assert (found["before"], found["after"], found["compiler"], found["collects"]) == (False, True, False, True)
    assert found["frozen"] > 100_000
    assert found["compile"] == "torch"


def test_uncompiled_quantisation_gives_the_same_weights() -> None:
    code = (
        "import json, torch\n"
        "{how}\n"
        "from bitsandbytes import functional\n"
        "weights = torch.linspace(-3, 3, 64 * 128).reshape(64, 128)\n"
        "packed, state = functional.quantize_4bit(weights, quant_type='nf4')\n"
        "print(json.dumps(functional.dequantize_4bit(packed, state).flatten().tolist()))\n"
    )
    quiet = "from harness.models.transformers import imports, loading; loading.quiet(); "
    ours = _fresh(code.format(how=f"{quiet}imports.load(('bitsandbytes',))"))
    assert ours == _fresh(code.format(how=f"{quiet}import bitsandbytes"))


def test_scoring_needs_no_adapters() -> None:
    found = _fresh(
        "import json, sys\n"
        "from harness.models.transformers import imports as libraries, loading as hf\n"
        "hf.quiet()\n"
        "libraries.load(libraries.SCORING)\n"
        "print(json.dumps(sorted({'peft', 'bitsandbytes', 'trl'} & set(sys.modules))))\n"
    )
    assert found == []
