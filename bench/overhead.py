"""How much of a run is our own time?                     python bench/overhead.py [--experiment FILE]

`harness run baselines/visit_notes.yaml` (what `make run` does after installing) from a fresh home folder, in its own
processes, with the model's work timed inside them (`probe/sitecustomize.py`): outermost module calls and losses
(forward), backward passes and optimiser steps. All else is our own: starting Python, importing libraries, reading and
splitting data, loading models, tokens, batches, gradient norms, decoding, metrics, files, the store, statistics.

    own share = (processes' time − their idle time − model's time) / (processes' time − their idle time)

where the processes' time is the wall time of the run for each of its workers, so that what the driver does alone at the
beginning and at the end counts once for each of them. Idle is a worker that waits with nothing left to begin; it is
printed apart, and the run's wall time contains it. Then the same command again, with everything cached.

Prints its figures last; exits with 1 when the own share is above 10 %, the run takes more than 4 minutes or the second
one more than 5 seconds. Both are wall time: run it on an idle machine.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness.experiments import pipeline
from harness.experiments.loading.load import stock_folder
from harness.experiments.running import plans

OWN, RUN_SECONDS, CACHED_SECONDS = 0.10, 240.0, 5.0
PROBE = Path(__file__).with_name("probe")


def run(experiment: Path, home: Path, probes: Path | None) -> tuple[float, float]:
    """When `harness run` began and ended, on the machine's monotonic clock."""
    environment = os.environ | {"HARNESS_HOME": str(home), "HF_HUB_OFFLINE": "1"}
    if probes is not None:
        environment |= {"PYTHONPATH": str(PROBE), "OVERHEAD_FOLDER": str(probes)}
    started = time.monotonic()
    words = [sys.executable, "-m", "harness", "run", str(experiment)]
    done = subprocess.run(words, env=environment, stdout=subprocess.DEVNULL, check=False)
    if done.returncode != 0:
        sys.exit(f"harness run ended with exit code {done.returncode}")
    return started, time.monotonic()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--experiment", type=Path, default=stock_folder() / "baselines" / "visit_notes.yaml")
    parser.add_argument("--keep", type=Path, help="an empty folder to work in, kept afterwards")
    asked = parser.parse_args()
    workers = plans.workers(pipeline.load(asked.experiment))
    with tempfile.TemporaryDirectory(prefix="overhead_") as temporary:
        folder = asked.keep or Path(temporary)
        home, probes = folder / "home", folder / "probes"
        probes.mkdir(parents=True)
        began, ended = run(asked.experiment, home, probes)
        again = [run(asked.experiment, home, None) for _ in range(3)]
        told = [json.loads(path.read_text()) for path in probes.glob("*.json")]
    wall, cached = ended - began, min(last - first for first, last in again)
    at_work = [one for one in told if one["busy"]]
    model = {kind: sum(one[kind] for one in at_work) for kind in ("forward", "backward", "optimiser")}
    idle = sum(max(one["left"] for one in at_work) - one["left"] for one in at_work)
    whole = workers * wall - idle
    own = 1 - sum(model.values()) / whole
    arms = sum(one["busy"] for one in at_work)
    parts = ", ".join(f"{kind} {seconds:.0f} s" for kind, seconds in model.items())
    print(f"{workers} workers for {wall:.1f} s, idle {idle:.1f} s: model {sum(model.values()):.0f} s ({parts})")
    before = sum(one["entered"] - began for one in at_work)
    after = workers * (ended - max(one["left"] for one in at_work))
    print(
        f"within arms {arms - sum(model.values()):.0f} s of our own; around them {whole - arms:.0f} s (of each worker, "
        f"added up: {before:.0f} s before its first arm, {after:.0f} s after the last of all)"
    )
    print(
        f"own time {100 * own:.1f} % of the run (at most {100 * OWN:.0f} %); run {wall:.0f} s (at most "
        f"{RUN_SECONDS:.0f}); cached rerun {cached:.1f} s (at most {CACHED_SECONDS:.0f}, best of three)"
    )
    return 0 if own <= OWN and wall <= RUN_SECONDS and cached <= CACHED_SECONDS else 1


if __name__ == "__main__":
    sys.exit(main())
