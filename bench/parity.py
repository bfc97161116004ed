"""Does `harness parity` tell what ships from what does not?      python bench/parity.py --home .harness

Over a finished experiment of the embedded base (`make run`; the home folder is copied, never changed), on its whole
sealed test split, within a margin of 0.02 of fact recall. (Of a server only answers are seen. When all 198 are the
run's, in 175 groups, 95 % confidence leaves room for 0.017: within 0.01 nothing could be shown.)

    lora, merged, float32                   must be EQUIVALENT (exit code 0)
    the adapter of dpo in place of lora's   must not be: dpo was trained on from lora and scores within the margin
    lora, merged, quantised to nf4          its true difference, with an interval
    a server of the merged model            must be EQUIVALENT; `transformers serve` on 127.0.0.1, as its card says
    a server of the base                    must not be

Commands are called as in a shell. Exits with 1 when one of them ends otherwise. Takes about five minutes on an idle
machine of two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from endpoint_parity import free_port, serve

from harness.experiments.loading.load import stock_folder

MARGIN = 0.02
BASE = stock_folder() / "baselines" / "base"


def harness(home: Path, *words: str) -> tuple[int, str]:
    """Exit code and standard output of a command."""
    environment = os.environ | {"HARNESS_HOME": str(home), "OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    command = [sys.executable, "-m", "harness", *words]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    return done.returncode, done.stdout


def check(home: Path, name: str, wanted: int | None, *words: str) -> tuple[str, bool]:
    """One parity check: its line, and whether it ended as it must."""
    started = time.perf_counter()
    code, out = harness(home, "parity", *words, "--margin", str(MARGIN), "--json")
    if not out.startswith("{"):
        sys.exit(f"{name}: no answer (exit code {code})")
    told: dict[str, Any] = json.loads(out)
    found = told["difference"]
    limits = "no interval" if found is None else f"{found['value']:+.4f} [{found['low']:+.4f}, {found['high']:+.4f}]"
    line = (
        f"{name:<34}{told['outcome']:<13}{code}  {limits:<27}  {told['same_answers']:>3} of {told['answers']} alike  "
        f"{time.perf_counter() - started:4.0f} s  {told['words']}"
    )
    return line, wanted is None or (code == wanted if wanted == 0 else code != 0)


def at_server(home: Path, folder: Path, name: str, wanted: int, run: str) -> tuple[str, bool]:
    """The same of a server that is started for it."""
    port = free_port()
    server = serve(folder, port, folder.parent / f"{folder.name}.log")
    try:
        return check(home, name, wanted, run, "--artefact", f"http://127.0.0.1:{port}/v1", "--model", str(folder))
    finally:
        server.terminate()
        server.wait()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--home", type=Path, default=Path(".harness"), help="home folder of a finished `make run`")
    parser.add_argument("--experiment", default="visit_notes", help="has the arms untrained, lora and dpo")
    asked = parser.parse_args()
    if not asked.home.is_dir():
        sys.exit(f"{asked.home} is no home folder; `make run` makes one, or give --home")
    started = time.perf_counter()
    place = Path(tempfile.mkdtemp(prefix="parity-"))
    try:
        failed = compare(place, asked.home, f"{asked.experiment}/lora", f"{asked.experiment}/dpo")
    finally:
        shutil.rmtree(place, ignore_errors=True)
    print(f"{time.perf_counter() - started:.0f} s; ended otherwise than they must: {failed}")
    return 1 if failed else 0


def compare(place: Path, source: Path, lora: str, dpo: str) -> int:
    """Make every export, check all, print a line each; how many ended otherwise than they must."""
    home = place / "home"
    shutil.copytree(source, home)
    shutil.copytree(BASE, place / "base")
    base = ("--base", str(BASE))
    for run, name, *options in ((lora, "merged", "--merge"), (lora, "nf4", "--quantise", "nf4"), (dpo, "swapped")):
        if harness(home, "export", run, *options, *base, "--to", str(place / name))[0]:
            sys.exit(f"{name}: not exported")
    # Without its papers: with them the swap is found before anything is scored.
    (place / "swapped" / "export.json").unlink()
    print(f"{'what ships as lora':<34}{'outcome':<13}exit code, difference [90 %], answers, time, reason")
    results = []
    for name, wanted, folder in (
        ("merged, float32", 0, "merged"),
        ("dpo's adapter in its place", 1, "swapped"),
        ("merged, nf4", None, "nf4"),
    ):
        results.append(check(home, name, wanted, lora, "--artefact", str(place / folder), *base))
        print(results[-1][0], flush=True)
    for name, wanted, folder in (("a server of the merged model", 0, "merged"), ("a server of the base", 1, "base")):
        results.append(at_server(home, place / folder, name, wanted, lora))
        print(results[-1][0], flush=True)
    return sum(not good for _, good in results)


if __name__ == "__main__":
    sys.exit(main())
