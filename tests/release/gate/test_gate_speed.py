"""A gate over stored scores is quick, and loads nothing that trains or shows."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from pathlib import Path

HEAVY = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "datasets",
    "lm_eval",
    "streamlit",
    "evaluate",
    "optuna",
    "plotly",
    "pandas",
)
SCRIPT = """
import json, sys
from harness.cli import main as cli
code = cli.call(sys.argv[2:])
print(json.dumps([code, sorted(set(sys.argv[1].split(",")) & set(sys.modules))]), file=sys.stderr)
"""


def test_a_gate_takes_less_than_two_seconds_of_cpu_and_never_loads_torch(project: Path) -> None:
    (project / "gates.yaml").write_text(
        (project / "gates.yaml").read_text()
        + "  - {metric: exact_match, margin: 0.4, slice: {group: ward-1}, tier: supporting}\n"
        + "  - {measure: artefact_bytes, ceiling: 1e9}\n"
        + "  - {measure: train_seconds, times: 1e6, tier: supporting}\n"
        + "  - {flag: fabrication, ceiling: 0.02, tier: informational}\n"
    )
    words = [sys.executable, "-c", SCRIPT, ",".join(HEAVY), "gate", "gates.yaml", "--candidate", "toys/better"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    spent = []
    while len(spent) < 8 and min(spent, default=2.0) >= 2.0:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        found = subprocess.run(
            [*words, "--junit", "j.xml"], capture_output=True, text=True, env=environment, check=True
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        code, loaded = json.loads(found.stderr.splitlines()[-1])
        assert loaded == []
        assert code == 0 and found.stdout.splitlines()[-1] == "PASS", found.stdout + found.stderr
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    # Neighbours on a processor's other half only ever add to it, and the first run may compile what was edited.
    assert min(spent) < 2.0, f"{spent} s of CPU"
