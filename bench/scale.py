"""Does the cost of an experiment grow with its size, and no faster?  python bench/scale.py [--quick] [--only PART]

arms      `harness run` of the embedded base on a few visits, 1, 4 and 16 arms of LoRA that differ in their learning
          rate: trained, scored and ranked. A fresh process and a fresh home folder for each.
examples  `harness run` of the embedded base, untrained and LoRA, on 100, 1,000 and 10,000 test examples (a lookup
          task made here, answers of a few tokens): data checked for near-duplicates, split, answered, scored, stored,
          ranked.
board     the leaderboard of 1,000 runs (333 arms of three seeds and an untrained one) over 1,000 examples, four
          metrics, from a real database. *Computed*: nothing kept, in a process that has its libraries loaded; from
          opening the database to the last interval, all 55,611 pairs of arms included. *Cold*: `harness leaderboard
          --json` as a new process, computed once and then from the file that keeps it.

Growth is the exponent of wall time as a power of the size, from 4 to 16 arms and from 1,000 to 10,000 examples; the
start of the process (its imports and what one arm takes apart) is not subtracted, and stands beside it. Memory is the
largest resident set of the run's process. Prints its figures last and exits with 1 when one misses: exponent at most
1.05, memory at most 1.1 times, the board computed in at most 2 s.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from made_boards import METRICS, Size, made_home

from harness.store import Store

ROOT = Path(__file__).resolve().parents[1]
EXPONENT, MEMORY, BOARD_SECONDS = 1.05, 1.1, 2.0
ARMS, EXAMPLES = (1, 4, 16), (100, 1_000, 10_000)
THREADS = 2
PARTS = ("arms", "examples", "board")

TEXT = (
    "the and with for two days pain cough fever rest water tea bread milk house door left right hand foot week month "
    "year early late now then more less good better well new old long short small big red blue green white dark light "
    "day night home work car train road hill tree leaf rain snow wind"
)
WORDS = TEXT.split()

ARMS_YAML = """
task: task
base_model: {base}
arms:
{arms}
budget: {{examples: 48}}
reference: {reference}
resources: {{threads: {threads}, device: cpu}}
"""
LOOKUP_TASK = """
name: lookup
data: {files: {train: train.jsonl, validation: validation.jsonl, test: test.jsonl}, licence: CC0-1.0}
id: id
prompt: "{{ words }}\\nNote:\\n"
target: "{{ answer }}"
generate: {max_new_tokens: 3}
allow_unreachable: what is measured is time
metrics: {primary: exact_match, also: [rouge_l, perplexity]}
"""


@dataclass(frozen=True, slots=True)
class Took:
    """What one run took."""

    size: int
    seconds: float
    megabytes: float
    """Largest resident set."""


def harness(arguments: Sequence[str], folder: Path, size: int) -> Took:
    """Run the harness in a fresh process; raises where it fails."""
    code = "import sys, runpy; sys.argv[0] = 'harness'; runpy.run_module('harness', run_name='__main__')"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])}
    log = folder / f"log-{size}.txt"
    started = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments], cwd=folder, env=environment, stdout=out, stderr=out
        )
        _, status, usage = os.wait4(process.pid, 0)
    seconds = time.perf_counter() - started
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"harness {' '.join(arguments)} ended with {process.returncode}: {log.read_text()[-2000:]}")
    return Took(size, seconds, usage.ru_maxrss / 1024)


# ------------------------------------------------------------------------------------------------------------- growth


def arms_experiment(folder: Path, arms: int) -> list[str]:
    """An experiment of `arms` LoRA arms (of one arm: itself the reference) over a few visits; its command line."""
    shutil.copytree(ROOT / "tasks" / "visit_notes", folder / "task")
    task = folder / "task" / "task.yaml"
    text = task.read_text().replace("visits: 1000", "visits: 100").replace("max_new_tokens: 150", "max_new_tokens: 24")
    task.write_text(text[: text.index("lm_eval:")] + "allow_unreachable: what is measured is time\n")
    lines = []
    for number in range(arms):
        rate = 1e-3 * 16 ** (number / 15)
        lines.append(
            f"  - {{method: lora, name: lora-{number}, lora: {{r: 8, alpha: 16, target_modules: all-linear}}, "
            f"optimiser: {{learning_rate: {rate:.6f}, schedule: cosine, batch_size: 8}}}}"
        )
    return _experiment(folder, lines, "lora-0")


def examples_experiment(folder: Path, examples: int) -> list[str]:
    """An experiment of two arms, untrained and LoRA, over `examples` test examples; its command line."""
    task = folder / "task"
    task.mkdir()
    (task / "task.yaml").write_text(LOOKUP_TASK)
    rng = random.Random(7)
    for split, count in (("train", 96), ("validation", 24), ("test", examples)):
        with (task / f"{split}.jsonl").open("w") as out:
            for number in range(count):
                chosen = [rng.choice(WORDS) for _ in range(24)]  # long enough to be searched for near-duplicates
                row = {"id": f"{split}-{number}", "words": " ".join(chosen), "answer": f"{chosen[0]} {chosen[-1]}"}
                out.write(json.dumps(row) + "\n")
    lora = "  - {method: lora, lora: {r: 8, alpha: 16, target_modules: all-linear}, optimiser: {learning_rate: 0.004}}"
    return _experiment(folder, ["  - untrained", lora], "untrained")


def _experiment(folder: Path, arms: Sequence[str], reference: str) -> list[str]:
    text = ARMS_YAML.format(
        base=ROOT / "baselines" / "base", arms="\n".join(arms), reference=reference, threads=THREADS
    )
    (folder / "run.yaml").write_text(text)
    return ["run", "run.yaml"]


def growth(part: str, sizes: Sequence[int], repeats: int) -> list[str]:
    """Measure one part, print it, and say what missed."""
    make = arms_experiment if part == "arms" else examples_experiment
    found: dict[int, list[Took]] = {size: [] for size in sizes}
    for repeat in range(repeats):
        for size in sizes:
            with scratch() as folder:
                took = harness(make(folder, size), folder, size)
            found[size].append(took)
            print(f"{part} {size:>6,}, run {repeat + 1}: {took.seconds:6.1f} s, {took.megabytes:5.0f} MB", flush=True)
    seconds = {size: statistics.median(one.seconds for one in tries) for size, tries in found.items()}
    memory = {size: statistics.median(one.megabytes for one in tries) for size, tries in found.items()}
    few, many = sizes[-2:]
    exponent = math.log(seconds[many] / seconds[few]) / math.log(many / few)
    ratio = memory[many] / memory[few]
    each = (seconds[many] - seconds[few]) / (many - few)
    before = (seconds[few] - seconds[sizes[0]]) / (few - sizes[0]) if len(sizes) > 2 else each
    start = seconds[few] - each * few
    unit = "arm" if part == "arms" else "example"
    print(
        f"{part}: from {few:,} to {many:,} wall time grows with the power {exponent:.2f}, {seconds[few]:.1f} to "
        f"{seconds[many]:.1f} s ({start:.1f} s, and {each:.3g} s an {unit}; {before:.3g} s among the first {few:,}); "
        f"memory {ratio:.3f} times ({memory[few]:.0f} to {memory[many]:.0f} MB)"
    )
    missed = [f"{part}: exponent {exponent:.3f} above {EXPONENT}"] if exponent > EXPONENT else []
    return missed + ([f"{part}: memory {ratio:.3f} times, above {MEMORY}"] if ratio > MEMORY else [])


@contextmanager
def scratch() -> Iterator[Path]:
    """A folder that is gone afterwards."""
    folder = Path(tempfile.mkdtemp(prefix="harness-scale-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


# -------------------------------------------------------------------------------------------------------------- board


def board(size: Size, repeats: int) -> list[str]:
    """Fill a store, compute its leaderboard warm and cold, and say what missed."""
    from harness.results import cache
    from harness.results.collect import collect
    from harness.results.leaderboard.board import leaderboard

    with scratch() as folder:
        home, started = folder / ".harness", time.perf_counter()
        made_home(home, size)
        filled = time.perf_counter() - started
        rows = size.runs * size.examples * (len(METRICS) + 1)
        print(
            f"board: {size.runs:,} runs x {size.examples:,} examples, {rows:,} rows stored in {filled:.0f} s",
            flush=True,
        )
        warm = []
        for number in range(repeats + 1):
            store, started = Store(home / "harness.duckdb"), time.perf_counter()
            with store.opened() as held:
                results = collect(held, "many", columns=True)
            read = time.perf_counter() - started
            made = leaderboard(results)
            took = time.perf_counter() - started
            if number:  # the first one loads libraries
                warm.append(took)
                print(f"board computed: {took:.2f} s ({read:.2f} s of it reading)", flush=True)
        assert len(made.rows) == size.arms + 1 and made.rows[0].ranks is not None
        harness(["leaderboard", "many", "--json"], folder, 0)
        (home / "boards" / "made-many.json").unlink()
        cold, kept = (harness(["leaderboard", "many", "--json"], folder, number) for number in (1, 2))
        started = time.perf_counter()
        cache.board(store, home, "made-many")
        again = time.perf_counter() - started
    middle = statistics.median(warm)
    print(
        f"board: computed in {middle:.2f} s ({min(warm):.2f} to {max(warm):.2f}); as a new process "
        f"{cold.seconds:.2f} s computed ({cold.megabytes:.0f} MB), {kept.seconds:.2f} s when nothing has "
        f"changed ({again:.2f} s in a process that runs)"
    )
    return [f"board: {middle:.2f} s, above {BOARD_SECONDS:g}"] if middle > BOARD_SECONDS else []


def main() -> int:
    """Measure all parts, or one."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="once each, and a board of 100 runs")
    parser.add_argument("--only", choices=PARTS)
    options = parser.parse_args()
    parts = PARTS if options.only is None else (options.only,)
    missed: list[str] = []
    if "arms" in parts:
        missed += growth("arms", ARMS, 1)
    if "examples" in parts:
        missed += growth("examples", EXAMPLES[:2] if options.quick else EXAMPLES, 1)
    if "board" in parts:
        missed += board(Size(33, 3, 1_000) if options.quick else Size(333, 3, 1_000), 3 if options.quick else 7)
    print("\n".join(missed) or "all within their bounds")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
