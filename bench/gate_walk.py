"""A gate in a shell, over the embedded base: every exit code, seen.      python bench/gate_walk.py --home HOME

HOME holds a finished `harness run baselines/visit_notes.yaml`; it is copied and never changed. Its `lora` is pinned.
Then, each in a process of its own:

- a better candidate (`full`) passes, and asked again the stored verdict is given;
- a candidate that was trained for 5 steps fails;
- on a tiny sample (a dozen visits) an adapter folder is inconclusive, with the number of examples that would settle it;
- an arm that is none is bad usage, a candidate of another suite is invalid, a store that another process holds is 5.

Prints each command's exit code and last line, and exits with 1 on a miss. Minutes on one core, most of it scoring.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

import filelock

from harness.results import queries

ROOT = Path(__file__).resolve().parents[1]
GATES = """# harness gate gates.yaml --candidate RUN
baseline: released/{baseline}
rules:
  - {{metric: fact_recall, margin: {margin}}}
  - {{metric: retention_perplexity, margin: 10, tier: supporting}}
"""
FIVE_STEPS = f"""# harness run five_steps.yaml
task: {ROOT / "tasks" / "visit_notes"}
base_model: {ROOT / "baselines" / "base"}
arms: [untrained, lora]
budget: {{examples: 40}}
resources: {{executor: processes, workers: 1}}
"""
TINY = f"""# harness run tiny.yaml
task: tiny_task
base_model: {ROOT / "baselines" / "base"}
arms: [{{method: imported, name: lora, path: ADAPTER}}]
budget: {{examples: 8}}
reference: lora
resources: {{executor: processes, workers: 1}}
"""


@dataclass(slots=True)
class Walk:
    """One walk: a folder, and what was seen so far."""

    folder: Path
    missed: list[str] = field(default_factory=list)

    def shell(self, *words: str) -> subprocess.CompletedProcess[str]:
        """`harness WORDS…` in a process of its own, one thread."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "HARNESS_HOME": "home"}
        environment.pop("GITHUB_ACTIONS", None)
        command = [sys.executable, "-m", "harness", *words]
        return subprocess.run(command, cwd=self.folder, capture_output=True, text=True, env=environment, check=False)

    def made(self, *words: str) -> None:
        """A step that must work before the gates."""
        started = time.perf_counter()
        answer = self.shell(*words)
        print(f"harness {' '.join(words)}: {answer.returncode} ({time.perf_counter() - started:.0f} s)", flush=True)
        if answer.returncode:
            sys.exit(f"{answer.stdout}{answer.stderr}")

    def gate(self, what: str, wanted: int, *words: str) -> str:
        """One gate and its exit code; what it printed."""
        started = time.perf_counter()
        answer = self.shell("gate", *words)
        text = answer.stdout + answer.stderr
        rules = [line for line in answer.stdout.splitlines() if line[:1] in "✓✗?!"]
        last = (rules or text.strip().splitlines() or [""])[0 if rules else -1]
        print(f"exit code {answer.returncode}  {what} ({time.perf_counter() - started:.0f} s)\n    {last}", flush=True)
        if answer.returncode != wanted:
            self.missed.append(f"{what}: exit code {answer.returncode}, wanted {wanted}")
            print(text, file=sys.stderr)
        return text

    def check(self, what: str, held: bool) -> None:
        """Something that must hold of what was printed."""
        if not held:
            self.missed.append(what)


def artefact(home: Path, arm: str) -> Path:
    """The folder that an arm of visit_notes left."""
    store = queries.open_store(home)
    record = store.experiment("visit_notes")
    entry = next(one for one in store.entries(record.experiment_id) if one.arm == arm)
    return home.absolute() / "runs" / entry.train_id / "artefact"


def tiny_task(folder: Path) -> None:
    """visit_notes with a dozen test visits."""
    shutil.copytree(ROOT / "tasks" / "visit_notes", folder)
    task = folder / "task.yaml"
    task.write_text(re.sub(r"visits: \d+", "visits: 60", task.read_text()))


def walk(place: Walk) -> None:
    """All of it."""
    folder, home = place.folder, place.folder / "home"
    anyway = ("--in", "released", "--anyway", "a walk through the gates")
    place.made("release", "visit_notes/lora", "--as", "lora-1", *anyway)
    (folder / "gates.yaml").write_text(GATES.format(baseline="lora-1", margin=0.02))
    (folder / "five_steps.yaml").write_text(FIVE_STEPS)
    place.gate("a better candidate", 0, "gates.yaml", "--candidate", "visit_notes/full", "--junit", "full.xml")
    again = place.gate("the same once more", 0, "gates.yaml", "--candidate", "visit_notes/full")
    place.check("the stored verdict was not given", "the stored verdict of" in again)
    place.gate("an arm that is none", 2, "gates.yaml", "--candidate", "visit_notes/ful")
    place.made("run", "five_steps.yaml")
    place.gate("5 training steps", 1, "gates.yaml", "--candidate", "five_steps/lora", "--markdown", "five.md")
    tiny_task(folder / "tiny_task")
    (folder / "tiny.yaml").write_text(TINY.replace("ADAPTER", str(artefact(home, "lora"))))
    place.made("run", "tiny.yaml")
    place.made("release", "tiny/lora", "--as", "tiny-1", *anyway)
    (folder / "tiny_gates.yaml").write_text(GATES.format(baseline="tiny-1", margin=0.02))
    asked = ("tiny_gates.yaml", "--candidate", str(artefact(home, "qlora")), "--experiment", "tiny.yaml", "--json")
    found = place.gate("an adapter folder on a tiny sample", 3, *asked)
    rule = json.loads(found[found.index("{") : found.rindex("}") + 1])["rules"][0]
    print(f"    {rule['outcome']}: {rule['words']}")
    place.check("inconclusive without a number", (rule["more_examples"] or 0) > 0)
    place.gate("a candidate of another suite", 4, "gates.yaml", "--candidate", "tiny/lora")
    with filelock.FileLock(f"{queries.database(home)}.lock"):
        place.gate("a store that another process holds", 5, "gates.yaml", "--candidate", "visit_notes/full")


def main() -> int:
    """Copy the home, walk, and say what was missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--home", type=Path, required=True, help="a finished visit_notes")
    parser.add_argument("--out", type=Path, help="keep what was made in this new folder")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.out or Path(temporary) / "walk").absolute()
        shutil.copytree(options.home, folder / "home")
        place = Walk(folder)
        walk(place)
    print(f"missed: {len(place.missed)}" + "".join(f"\n  {line}" for line in place.missed))
    return 1 if place.missed else 0


if __name__ == "__main__":
    sys.exit(main())
