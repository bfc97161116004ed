"""Kill a run with SIGKILL at random moments; the rerun must give the same bits.  python bench/resume.py

One undisturbed run, then the same run in another home folder, killed at three random moments of training, of
prediction and of scoring, its home folder moved elsewhere in between; then it is let finish. Compared are the trained
files, every prediction, likelihood and score (all but the seconds they took). Prints `differences: N` last and exits
with 1 unless N is 0 and every kill hit its phase.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from harness.experiments.loading.load import stock_folder
from harness.records import to_json
from harness.results import queries

PHASES = ("train", "generate", "score")
EXPERIMENT = """\
task: task
base_model: {base}
arms:
  - {{method: untrained}}
  - {{method: lora, lora: {{r: 8, alpha: 16, dropout: 0.1}}, optimiser: {{learning_rate: 1.0e-3, batch_size: 4}}}}
  - {{method: dpo, parent: lora, optimiser: {{learning_rate: 1.0e-4, batch_size: 4}}, examples: 48}}
budget: {{examples: 96}}
resources: {{threads: 1, device: cpu, batch_tokens: 2048, checkpoint_seconds: 0.5}}
"""


@dataclass(slots=True)
class Watched:
    """A run whose progress lines are read as they come: phase → seconds from its first line to the next phase's."""

    process: subprocess.Popen[str]
    phase: str = ""
    label: str = ""
    changed: float = 0.0
    spent: dict[str, float] = field(default_factory=dict)

    def read(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            words = line.split()
            found = next((word for word in words if word in (*PHASES, "lm-eval", "prepare", "reference")), None)
            if found is None:
                continue
            label = f"{words[0]} {found}"
            if label != self.label:
                now = time.monotonic()
                self.spent[self.label] = now - self.changed
                self.label, self.phase, self.changed = label, found, now


def start(folder: Path, home: Path) -> Watched:
    command = [sys.executable, "-m", "harness", "run", "run.yaml", "--home", str(home)]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        command, cwd=folder, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, env=environment
    )
    watched = Watched(process)
    threading.Thread(target=watched.read, daemon=True).start()
    return watched


def kill_in(phase: str, folder: Path, home: Path, usual: dict[str, float], rng: random.Random) -> str | None:
    """Start a run and kill it at a random moment of `phase`; the label it was in, or None when the phase is over."""
    watched = start(folder, home)
    while watched.process.poll() is None and watched.phase != phase:
        time.sleep(0.02)
    time.sleep(rng.random() * 0.6 * usual.get(watched.label, 1.0))
    if watched.process.poll() is not None:
        return None
    label = watched.label
    watched.process.send_signal(signal.SIGKILL)
    watched.process.wait()
    return label


def stored(home: Path) -> dict[str, list[Any]]:
    """What must be the same: everything but the seconds."""
    store = queries.open_store(home)
    record = store.experiments()[-1]
    entries = store.entries(record.experiment_id)
    ids = [entry.eval_id for entry in entries if entry.eval_id]
    runs = {
        run.train_id: run.artefact.hash if run.artefact else None for run in store.runs([e.train_id for e in entries])
    }
    predictions = [{k: v for k, v in to_json(row).items() if k != "seconds"} for row in store.predictions(ids)]
    rows: dict[str, list[Any]] = {"prediction": predictions}
    rows["likelihood"] = [to_json(row) for row in store.likelihoods(ids)]
    rows["score"] = [to_json(row) for row in store.scores(ids)]
    rows["artefact"] = [[entry.arm, to_json(runs[entry.train_id])] for entry in entries]
    return {name: sorted(map(repr, found)) for name, found in rows.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the random moments")
    parser.add_argument("--kills", type=int, default=3, help="per phase")
    asked = parser.parse_args()
    rng = random.Random(asked.seed)
    folder = Path(tempfile.mkdtemp(prefix="resume-"))
    shutil.copytree(stock_folder() / "tasks" / "visit_notes", folder / "task")
    text = (folder / "task" / "task.yaml").read_text()
    (folder / "task" / "task.yaml").write_text(text.replace("visits: 1000", "visits: 120"))
    (folder / "run.yaml").write_text(EXPERIMENT.format(base=stock_folder() / "baselines" / "base"))
    print(f"seed {asked.seed}, {folder}", flush=True)
    calm = start(folder, folder / "calm")
    if calm.process.wait() != 0:
        sys.exit("the undisturbed run failed")
    print(f"undisturbed: {', '.join(f'{k} {v:.1f} s' for k, v in calm.spent.items() if k)}", flush=True)
    home, missed = folder / "disturbed", 0
    for phase in PHASES:
        for number in range(asked.kills):
            label = kill_in(phase, folder, home, calm.spent, rng)
            missed += label is None or not label.endswith(phase)
            print(f"killed in {label}" if label else f"no {phase} was left to kill", flush=True)
            if phase == "generate" and number == 0:
                home = home.rename(folder / "moved")
                print("home folder moved", flush=True)
    if start(folder, home).process.wait() != 0:
        sys.exit("the rerun failed")
    ours, theirs = stored(folder / "calm"), stored(home)
    differences = 0
    for name in ours:
        unlike = len(set(ours[name]) ^ set(theirs[name])) + abs(len(ours[name]) - len(theirs[name]))
        differences += unlike
        print(f"{name:<12}{len(ours[name]):>7} rows, {unlike} differ")
    shutil.rmtree(folder)
    print(f"kills outside their phase: {missed}")
    print(f"differences: {differences}")
    sys.exit(1 if differences or missed else 0)


if __name__ == "__main__":
    main()
