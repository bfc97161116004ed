"""Our scorer against lm-eval's HFLM at its best batch size, on identical requests.  python bench/scoring.py [--quick]

The embedded base in float32, the same number of threads for both (--threads, one unless said). Requests are the
Instances that lm-eval's own tasks make of the visits of `tasks/visit_notes`; both sides are called through the methods
that lm-eval calls (`loglikelihood`, `loglikelihood_rolling`), tokenising included:

    visit_choice   the task's own: the true note among four that differ in one fact (84 tokens each)   3.5 times asked
    visit_value    the true value of one line of the note among four (2 to 15 tokens each)             3.5 times
    visit_letter   the four notes in the prompt, the answer is one of ` A` to ` D`: one token          1.2 times
    texts          `loglikelihood_rolling` (perplexity) of texts of other domains and of conversations   1.2 times

HFLM is searched over batch sizes before, on the same requests; the best one counts, and its default (1) is reported
apart. Sides take turns. Parity in the same run: sums of log-probabilities of choices at most 1e-4 apart, the same
greedy flags and the same choice everywhere; of whole texts, whose sums of hundreds of tokens HFLM holds in float32
(spacing 6e-5 beyond 512), at most 1e-4 a text or 1e-6 a token. Prints its figures last and exits with 1 when it misses.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import logging
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.update(
    TQDM_DISABLE="1", TOKENIZERS_PARALLELISM="false", HF_HUB_OFFLINE="1", HF_HUB_DISABLE_PROGRESS_BARS="1"
)

from side_by_side import interleaved, ratio, ratio_line

from harness.experiments.loading.load import stock_folder
from harness.models import token_cache

TASK = stock_folder() / "tasks" / "visit_notes"
BASE = stock_folder() / "baselines" / "base"
BATCH_SIZES = (1, 2, 4, 8, 16, 32, 64)
TOLERANCE, TOLERANCE_A_TOKEN = 1e-4, 1e-6
ASKED = {"visit_choice": 3.5, "visit_value": 3.5, "visit_letter": 1.2, "texts": 1.2}
CHOICES = """
task: {name}
dataset_path: json
dataset_kwargs: {{data_files: {{test: DATA_FILE}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{ context }}}}"
doc_to_choice: "{{{{ choices }}}}"
doc_to_target: "{{{{ answer }}}}"
target_delimiter: ""
metric_list: [{{metric: acc}}]
metadata: {{version: 1}}
"""
TEXTS = """
task: texts
dataset_path: json
dataset_kwargs: {data_files: {test: DATA_FILE}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{ text }}"
metric_list: [{metric: word_perplexity}]
metadata: {version: 1}
"""


@dataclass(frozen=True, slots=True)
class Workload:
    """A task's requests, and how both sides answer them."""

    name: str
    requests: list[Any]
    method: str


def visits(count: int) -> list[dict[str, Any]]:
    """Rows of the visit_notes generator."""
    spec = importlib.util.spec_from_file_location("visit_notes_build", TASK / "build.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return list(module.build({"visits": count, "seed": 7}))


def value_row(row: dict[str, Any], rows: Sequence[dict[str, Any]], rng: random.Random) -> dict[str, Any]:
    """One line of a visit's note to be completed: its value among three of other visits' for the same line."""
    known: dict[str, set[str]] = {}
    for line in (line for other in rows for line in other["note"].split("\n")):
        known.setdefault(line.split(": ", 1)[0], set()).add(line.split(": ", 1)[1])
    lines = [line.split(": ", 1) for line in row["note"].split("\n")]
    slot, value = rng.choice([line for line in lines if len(known[line[0]]) > 3])
    wrong = rng.sample(sorted(known[slot] - {value}), 3)
    answer = rng.randrange(4)
    context = f"Write the visit note.\n\n{row['conversation']}\n\nNote:\n{slot}:"
    return {
        "context": context,
        "choices": [f" {v}" for v in [*wrong[:answer], value, *wrong[answer:]]],
        "answer": answer,
    }


def letter_row(row: dict[str, Any]) -> dict[str, Any]:
    """The four notes in the prompt, one letter each."""
    notes = "\n\n".join(f"{letter}.\n{note}" for letter, note in zip("ABCD", row["choices"], strict=True))
    context = f"Choose the visit note.\n\n{row['conversation']}\n\n{notes}\n\nAnswer:"
    return {"context": context, "choices": [" A", " B", " C", " D"], "answer": row["answer"]}


def data(count: int) -> dict[str, tuple[str, list[dict[str, Any]]]]:
    """YAML text and rows of each task."""
    rows, rng = visits(count), random.Random(1)
    texts = [json.loads(line)["text"] for line in (TASK / "retention.jsonl").read_text(encoding="utf-8").splitlines()]
    talks = [f"{row['conversation']}\n\nNote:\n{row['note']}" for row in rows]
    return {
        "visit_choice": ((TASK / "lm_eval" / "visit_choice.yaml").read_text(), rows),
        "visit_value": (CHOICES.format(name="visit_value"), [value_row(row, rows, rng) for row in rows]),
        "visit_letter": (CHOICES.format(name="visit_letter"), [letter_row(row) for row in rows]),
        "texts": (TEXTS, [{"text": text} for text in [*texts, *talks][: 2 * count]]),
    }


def workloads(count: int, place: Path) -> list[Workload]:
    """The Instances that lm-eval's tasks make."""
    from lm_eval.tasks import TaskManager

    made = data(count)
    for name, (yaml, rows) in made.items():
        (place / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        (place / f"{name}.yaml").write_text(yaml.replace("DATA_FILE", str(place / f"{name}.jsonl")))
    manager = TaskManager(include_defaults=False, include_path=str(place))
    found = []
    for name, task in manager.load(list(made))["tasks"].items():
        task.build_all_requests()
        method = "loglikelihood_rolling" if name == "texts" else "loglikelihood"
        found.append(Workload(name, task.instances, method))
    return found


def peer(batch_size: int) -> Any:
    """lm-eval's HFLM on the same weights."""
    from lm_eval.models import huggingface

    # Its bars ignore what they are told.
    bars = huggingface.tqdm
    huggingface.tqdm = lambda *args, **options: bars(*args, **{**options, "disable": True})
    return huggingface.HFLM(pretrained=str(BASE), dtype="float32", device="cpu", batch_size=batch_size)


def ask(model: Any, work: Workload) -> list[Any]:
    """Answers by the method that lm-eval calls; every text is tokenised anew."""
    token_cache.forget()
    answers: list[Any] = getattr(model, work.method)(work.requests, disable_tqdm=True)
    return answers


def best_size(hflm: Any, work: Workload) -> tuple[int, dict[int, float]]:
    """The batch size with the least time (the better of two passes), and every size's seconds."""
    found: dict[int, float] = {}
    ask(hflm, Workload(work.name, work.requests[:16], work.method))
    for _ in range(2):
        for size in BATCH_SIZES:
            if found and found.get(size, 0.0) > 1.5 * min(found.values()):
                continue
            hflm.batch_size_per_gpu = size
            started = time.perf_counter()
            ask(hflm, work)
            found[size] = min(found.get(size, float("inf")), time.perf_counter() - started)
    return min(found, key=lambda size: found[size]), found


def differences(work: Workload, theirs: list[Any], ours: list[Any], count: Callable[[str], int]) -> tuple[str, bool]:
    """A line about parity, and whether it holds."""
    if work.method == "loglikelihood_rolling":
        apart = [abs(a - b) for a, b in zip(theirs, ours, strict=True)]
        sizes = [count(request.args[0]) for request in work.requests]
        good = all(d <= max(TOLERANCE, TOLERANCE_A_TOKEN * n) for d, n in zip(apart, sizes, strict=True))
        a_token = max(d / n for d, n in zip(apart, sizes, strict=True))
        return f"largest difference of a text {max(apart):.1e} (a token {a_token:.1e})", good
    apart = [abs(a[0] - b[0]) for a, b in zip(theirs, ours, strict=True)]
    flags = sum(a[1] != b[1] for a, b in zip(theirs, ours, strict=True))
    chosen = sum(
        max(range(4), key=lambda i: theirs[start + i][0]) != max(range(4), key=lambda i: ours[start + i][0])
        for start in range(0, len(ours), 4)
    )
    line = f"largest difference {max(apart):.1e}, greedy flags that differ {flags}, choices that differ {chosen}"
    return line, max(apart) <= TOLERANCE and not flags and not chosen


def compare(work: Workload, hflm: Any, lm: Any, repeats: int) -> tuple[list[str], bool]:
    """Search, parity, turns; lines of the result and whether all holds."""
    size, sizes = best_size(hflm, work)
    hflm.batch_size_per_gpu = size
    listed = ", ".join(f"{n}: {seconds:.2f}" for n, seconds in sizes.items())
    print(f"\n{work.name}: {len(work.requests)} requests. HFLM by batch size, seconds: {listed}")
    line, same = differences(work, ask(hflm, work), ask(lm, work), lambda text: len(lm.tok_encode(text)))
    print(f"{work.name}: {line}: {'same' if same else 'NOT the same'}", flush=True)
    sides = {"HFLM": hflm, "ours": lm}
    times = interleaved({name: lambda side=side: ask(side, work) and None for name, side in sides.items()}, repeats)
    asked = ASKED[work.name]
    default = sizes[1] / statistics.median(times["ours"])
    title = f"{work.name} (HFLM at {size}; at its default of 1 {default:.2f} times)"
    lines = [ratio_line(title, times["HFLM"], times["ours"], asked)]
    print("\n".join(lines), flush=True)
    return lines, same and ratio(times["HFLM"], times["ours"]).value >= asked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer visits and three repeats")
    parser.add_argument("--visits", type=int, default=0, help="how many visits (24; quick: 16)")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", choices=sorted(ASKED), help="one of the four alone")
    asked = parser.parse_args()
    import torch

    from harness.models.lm_eval_model import HarnessLM
    from harness.models.transformers import loading

    torch.set_num_threads(asked.threads)
    loading.quiet()
    logging.getLogger("lm_eval").setLevel(logging.ERROR)
    lines, missed = [], 0
    with tempfile.TemporaryDirectory() as place:
        found = workloads(asked.visits or (16 if asked.quick else 24), Path(place))
        hflm, lm = peer(1), HarnessLM.load(str(BASE))
        for work in found:
            if asked.only in (None, work.name):
                of_work, good = compare(work, hflm, lm, 3 if asked.quick else 5)
                lines += of_work
                missed += not good
    print(f"\n{asked.threads} thread(s), float32, {torch.__version__}")
    print("\n".join(lines))
    print(f"missed: {missed}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
