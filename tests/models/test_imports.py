"""What is imported for a training and for scoring, seen in fresh processes."""

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


def test_a_training_is_imported_whole() -> None:
    found = _fresh(
        "import gc, json, sys\n"
        "from harness import arms\n"
        "def loaded(): return [name in sys.modules for name in (*arms.TRAINING, 'bitsandbytes')]\n"
        "before = loaded()\n"
        "arms.import_all(arms.TRAINING)\n"
        "print(json.dumps({'before': any(before), 'after': all(loaded()), 'collects': gc.isenabled(),\n"
        "    'frozen': gc.get_freeze_count()}))\n"
    )
    assert (found["before"], found["after"], found["collects"]) == (False, True, True)
    assert found["frozen"] > 100_000


def test_scoring_needs_no_adapters() -> None:
    found = _fresh(
        "import json, sys\n"
        "from harness import arms\n"
        "arms.import_all(arms.SCORING)\n"
        "print(json.dumps(sorted({'peft', 'bitsandbytes', 'trl'} & set(sys.modules))))\n"
    )
    assert found == []
