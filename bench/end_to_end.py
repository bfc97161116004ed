"""Is a whole comparison quicker than the scripts one would write?     python bench/end_to_end.py [--examples 400]

Twelve arms of the embedded base on visit_notes, nothing stopped early: untrained, full and QLoRA and LoRA at several
learning rates and ranks, two DPO arms. On one side `harness run`, from a fresh home folder. On the other, for each
arm, what one would do instead, one command after the other in fresh processes:

    trl sft or trl dpo      the same rows, batch size, steps and learning rate; at its best settings here: float32
                            (as ours), no gradient checkpointing, two threads; rows not grouped by length, which is
                            quicker but another training (LoRA's perplexity: 1.116 in place of 1.083)
    lm_eval                 the task's choice questions, four a batch (the quickest of 1 to 64 in `scoring.py`)
    script_chain.py         answers to the 198 test examples, perplexity, ROUGE and BLEU, with public libraries

An arm's script costs what another of its kind costs, so one arm of each of the five kinds is run (`--whole` runs all
twelve), before and after our side in turn. Whether two such scripts side by side, one thread each, are quicker than one
after the other is measured on one kind, and the quicker way counts. `trl sft` at its own defaults is timed apart.

Parity: every metric of each arm that both sides trained must agree within seed noise: the difference of two draws, at
a level of 5 % over all of them (Bonferroni), from the pooled spread of full and LoRA over four seeds of ours, which are
not timed. The untrained arm has no noise: its metrics must agree to a relative 0.005 (ties of argmax).

Prints the ratio of wall times last; exits with 1 below 3.0 or without parity. About 25 minutes on two idle cores.
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
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from scipy.stats import t

from harness.arms.training.order import derived_seed, training_order
from harness.data.prepare import prepare
from harness.experiments import pipeline
from harness.experiments.loading.load import stock_folder
from harness.results import queries

WANTED, BATCH, PAIRS = 3.0, 8, 96
BASE = stock_folder() / "baselines" / "base"
METRICS = ("rouge_1", "rouge_2", "rouge_l", "bleu", "perplexity", "visit_choice/acc", "visit_choice/acc_norm")


def arm(name: str, method: str, rate: float = 0.0, **more: Any) -> dict[str, Any]:
    """An arm as an experiment file has it."""
    if method == "untrained":
        return {"method": method, "name": name}
    optimiser = {"learning_rate": rate, "schedule": "cosine", "warmup": 0.0, "batch_size": BATCH, "weight_decay": 0.0}
    return {"method": method, "name": name, "optimiser": optimiser, **more}


def lora(rank: int) -> dict[str, Any]:
    """Adapters on every linear layer, scaled as the stock recipe does."""
    return {"lora": {"r": rank, "alpha": 2 * rank, "dropout": 0.0, "target_modules": "all-linear"}}


NF4 = {"quantisation": {"type": "nf4", "double": True}}
ARMS = [
    arm("untrained", "untrained"),
    *(arm(f"full-{rate:g}", "full", rate) for rate in (1.4e-3, 7.0e-4, 2.8e-3)),
    *(arm(f"lora-{rate:g}-r{rank}", "lora", rate, **lora(rank)) for rate, rank in ((8e-3, 16), (4e-3, 16), (8e-3, 4))),
    arm("lora-4e-3-r32", "lora", 4e-3, **lora(32)),
    *(arm(f"qlora-{rate:g}", "qlora", rate, **lora(16), **NF4) for rate in (8e-3, 4e-3)),
    *(
        arm(f"dpo-{beta:g}", "dpo", 1e-4, parent="full-0.0014", pairs="task", beta=beta, sft_weight=1.0, examples=PAIRS)
        for beta in (0.1, 0.3)
    ),
]
KINDS = ("untrained", "full", "dpo", "lora", "qlora")
"""A DPO arm's parent stands before it."""


@dataclass
class Place:
    """Where the comparison works, and how large it is."""

    folder: Path
    examples: int
    visits: int = 1000
    threads: int = 2
    seconds: dict[str, float] = field(default_factory=dict)
    """Of the script chain, by arm."""

    def path(self, name: str) -> Path:
        return self.folder / name


def call(place: Place, words: list[str], threads: int | None = None) -> float:
    """Wall seconds of a command; what it says goes to a log, and its failure ends the comparison."""
    count = str(threads or place.threads)
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": count, "TOKENIZERS_PARALLELISM": "false"}
    environment |= {"TRL_EXPERIMENTAL_SILENCE": "1", "HF_HOME": str(place.path("cache"))}
    environment["HARNESS_HOME"] = str(place.path("home"))
    # The commands of this environment, activated or not.
    environment["PATH"] = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    log = place.path(f"log-{time.monotonic_ns()}.txt")
    started = time.perf_counter()
    with log.open("w") as out:
        found = shutil.which(words[0], path=environment["PATH"]) or words[0]
        done = subprocess.run([found, *words[1:]], env=environment, stdout=out, stderr=subprocess.STDOUT, check=False)
    if done.returncode not in (0, 6):
        sys.exit(f"{' '.join(words[:6])} … failed:\n{log.read_text()[-2000:]}")
    return time.perf_counter() - started


# ------------------------------------------------------------------------------------------------------ our side


def write_task(place: Place) -> Path:
    """The stock task with what both sides measure."""
    stock, folder = stock_folder() / "tasks" / "visit_notes", place.path("visits")
    shutil.copytree(stock, folder)
    task = yaml.safe_load((stock / "task.yaml").read_text())
    task["name"] = "visits"
    task["data"]["options"]["visits"] = place.visits
    task["metrics"] = {"primary": "rouge_l", "also": ["rouge_1", "rouge_2", "bleu", "perplexity"]}
    task.pop("retention")
    task.pop("facts")
    (folder / "task.yaml").write_text(yaml.safe_dump(task, sort_keys=False))
    return folder


def write_experiment(place: Place, name: str, arms: list[dict[str, Any]], drawn: list[int]) -> Path:
    """An experiment file over the task."""
    spec = {
        "task": str(place.path("visits")),
        "base_model": str(BASE),
        "arms": arms,
        "seeds": drawn,
        "budget": {"examples": place.examples},
        "reference": "untrained",
        "resources": {"executor": "processes", "workers": 2},
    }
    path = place.path(f"{name}.yaml")
    path.write_text(yaml.safe_dump(spec, sort_keys=False))
    return path


def run(place: Place, path: Path) -> float:
    """Wall seconds of `harness run`."""
    return call(place, [sys.executable, "-m", "harness", "run", str(path)], 1)


def scores(place: Place, name: str) -> dict[str, dict[str, float]]:
    """Metrics of each arm of an experiment of ours with one seed."""
    board = queries.board(place.path("home"), name)
    found = {}
    for row in board.rows:
        cells = {metric: row.cells[metric].estimate for metric in METRICS}
        found[row.arm] = {metric: estimate.value for metric, estimate in cells.items() if estimate is not None}
    return found


# ------------------------------------------------------------------------------------------------- the other side


def write_data(place: Place) -> None:
    """What the scripts read: the rows and pairs that seed 0 of ours sees, the test split, and lm-eval's task."""
    experiment = pipeline.load(place.path("twelve.yaml"))
    files = prepare(experiment, place.path("home-data")).files
    assert files.sealed is not None
    train = read(files.folder / "train.jsonl")
    order = training_order(len(train), place.examples, derived_seed(0, "data_order"))
    write(place.path("sft") / "train.jsonl", [_completion(train[index]) for index in order])
    prompts = {row["id"]: row["prompt"] for row in train}
    pairs = [pair for pair in read(files.folder / "pairs.jsonl") if pair["example"] in prompts][:PAIRS]
    rows = [{"prompt": prompts[p["example"]], "chosen": p["chosen"], "rejected": p["rejected"]} for p in pairs]
    write(place.path("dpo") / "train.jsonl", rows)
    test = [{"prompt": row["prompt"], "target": row["references"][0]} for row in read(files.sealed / "test.jsonl")]
    write(place.path("test.jsonl"), test)
    choices = place.path("choices")
    choices.mkdir()
    text = (place.path("visits") / "lm_eval" / "visit_choice.yaml").read_text()
    data = files.sealed / "lm_eval" / "visit_choice.jsonl"
    (choices / "visit_choice.yaml").write_text(text.replace("DATA_FILE", str(data)))


def _completion(row: dict[str, Any]) -> dict[str, str]:
    return {"prompt": row["prompt"], "completion": row["references"][0]}


def read(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def write(path: Path, rows: list[dict[str, Any]]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


def training(place: Place, spec: dict[str, Any], out: Path, threads: int, best: bool = True) -> list[str]:
    """The `trl` command of an arm."""
    dpo = spec["method"] == "dpo"
    rows = PAIRS if dpo else place.examples
    words = ["trl", "dpo" if dpo else "sft", "--num_cpu_threads_per_process", str(threads), "--use_cpu"]
    words += ["--model_name_or_path", str(place.path("out") / spec["parent"] if dpo else BASE), "--dtype", "float32"]
    words += ["--dataset_name", str(place.path("dpo" if dpo else "sft")), "--output_dir", str(out)]
    words += ["--learning_rate", str(spec["optimiser"]["learning_rate"]), "--lr_scheduler_type", "cosine"]
    words += ["--max_steps", str(rows // BATCH), "--per_device_train_batch_size", str(BATCH)]
    words += ["--report_to", "none", "--save_strategy", "no", "--disable_tqdm", "true"]
    if dpo:
        words += ["--beta", str(spec["beta"]), "--loss_type", "sigmoid", "sft", "--loss_weights", "1.0", "1.0"]
    if "lora" in spec:
        rank = str(spec["lora"]["r"])
        words += ["--use_peft", "--lora_r", rank, "--lora_alpha", str(2 * int(rank)), "--lora_dropout", "0.0"]
        words += ["--lora_target_modules", "all-linear"]
    if spec["method"] == "qlora":
        words += ["--load_in_4bit", "--use_bnb_nested_quant"]
    if best:
        words += ["--gradient_checkpointing", "false", "--bf16", "false"]
    return words


def chain(place: Place, spec: dict[str, Any], threads: int, tag: str = "") -> float:
    """Wall seconds of the three commands of one arm."""
    out = place.path("out") / f"{spec['name']}{tag}"
    trained = spec["method"] != "untrained"
    adapter = "lora" in spec
    seconds = call(place, training(place, spec, out, threads), threads) if trained else 0.0
    model = out if trained and not adapter else BASE
    arguments = f"pretrained={model},dtype=float32" + (f",peft={out}" if adapter else "")
    words = ["lm_eval", "run", "--model", "hf", "--device", "cpu", "--batch_size", "4", "--model_args", arguments]
    words += ["--tasks", "visit_choice", "--include_path", str(place.path("choices")), "--limit", "100"]
    seconds += call(place, [*words, "--output_path", f"{out}.lm_eval"], threads)
    script = Path(__file__).with_name("script_chain.py")
    words = [sys.executable, str(script), str(model), str(place.path("test.jsonl")), f"{out}.json"]
    words += ["--adapter", str(out)] if adapter else []
    words += ["--nf4"] if spec["method"] == "qlora" else []
    return seconds + call(place, words, threads)


def chain_scores(place: Place, spec: dict[str, Any]) -> dict[str, float]:
    """What the scripts found for an arm."""
    out = place.path("out") / spec["name"]
    found: dict[str, float] = json.loads(Path(f"{out}.json").read_text())
    [path] = Path(f"{out}.lm_eval").rglob("results_*.json")
    results = json.loads(path.read_text())["results"]["visit_choice"]
    return found | {f"visit_choice/{name}": results[f"{name},none"] for name in ("acc", "acc_norm")}


# ---------------------------------------------------------------------------------------------------------- parity


def spread(place: Place) -> tuple[dict[str, float], int]:
    """Pooled standard deviation over seeds of each metric, of full and LoRA, and its degrees of freedom."""
    chosen = [next(spec for spec in ARMS if spec["method"] == kind) for kind in ("full", "lora")]
    draws = [scores(place, "twelve")]
    for seed in (1, 2, 3):
        run(place, write_experiment(place, f"seed-{seed}", [ARMS[0], *chosen], [seed]))
        draws.append(scores(place, f"seed-{seed}"))
    freedom = len(chosen) * (len(draws) - 1)
    pooled = {}
    for metric in METRICS:
        variances = [np.var([draw[spec["name"]][metric] for draw in draws], ddof=1) for spec in chosen]
        pooled[metric] = float(np.sqrt(np.mean(variances)))
    return pooled, freedom


def parity(place: Place, ran: list[dict[str, Any]]) -> bool:
    """Whether both sides agree on every arm that both ran; prints each metric."""
    ours, (pooled, freedom) = scores(place, "twelve"), spread(place)
    trained = [spec for spec in ran if spec["method"] != "untrained"]
    quantile = float(t.ppf(1 - 0.05 / 2 / (len(trained) * len(METRICS)), freedom))
    agreed = True
    print(f"{'parity':<22}{'metric':<22}{'scripts':>10}{'harness':>10}{'allowed':>10}")
    for spec in ran:
        theirs = chain_scores(place, spec)
        for metric in METRICS:
            mine, other = ours[spec["name"]][metric], theirs[metric]
            noise = quantile * np.sqrt(2) * pooled[metric]
            allowed = 0.005 * abs(other) if spec["method"] == "untrained" else noise
            fits = abs(mine - other) <= allowed
            agreed &= bool(fits)
            mark = "" if fits else "  DIFFERS"
            print(f"{spec['name']:<22}{metric:<22}{other:>10.4f}{mine:>10.4f}{allowed:>10.4f}{mark}")
    return agreed


# ------------------------------------------------------------------------------------------------------------ main


def side_by_side(place: Place, spec: dict[str, Any]) -> float:
    """Wall seconds an arm when two of its scripts run at once with one thread each."""
    started = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda tag: chain(place, spec, 1, tag), ("-a", "-b")))
    return (time.perf_counter() - started) / 2


def compare(place: Place, whole: bool) -> bool:
    write_task(place)
    twelve = write_experiment(place, "twelve", ARMS, [0])
    write_data(place)
    first = {kind: next(spec for spec in ARMS if spec["method"] == kind) for kind in KINDS}
    ran = list(ARMS) if whole else list(first.values())
    halves = ran[: len(ran) // 2 + 1], ran[len(ran) // 2 + 1 :]
    ours = 0.0
    for half in halves:
        for spec in half:
            place.seconds[spec["name"]] = chain(place, spec, place.threads)
            print(f"scripts  {spec['name']:<16}{place.seconds[spec['name']]:7.1f} s", flush=True)
        if not ours:
            ours = run(place, twelve)
            print(f"harness  12 arms         {ours:7.1f} s", flush=True)
    kinds = [place.seconds.get(spec["name"], place.seconds[first[spec["method"]]["name"]]) for spec in ARMS]
    lora = first["lora"]
    after_another, at_once = place.seconds[lora["name"]], side_by_side(place, lora)
    out = place.path("out") / "lora-defaults"
    stock = call(place, training(place, lora, out, place.threads, best=False), place.threads)
    best = call(place, training(place, lora, place.path("out") / "lora-best", place.threads), place.threads)
    print(
        f"two scripts at once, one thread each: {at_once:.1f} s a LoRA arm; one after the other {after_another:.1f} s"
    )
    print(f"trl sft of a LoRA arm: {stock:.1f} s at its defaults, {best:.1f} s at its best settings")
    agreed = parity(place, ran)
    total, tested = sum(kinds), len(read(place.path("test.jsonl")))
    quickest = total * min(1.0, at_once / after_another)
    scaled = "run" if whole else "5 kinds run, the others as their kind"
    print(
        f"12 arms, {place.examples} train and {tested} test examples: scripts {total:.0f} s one after the other "
        f"({scaled}), {quickest:.0f} s at their quickest; harness {ours:.0f} s ({total / ours:.2f} times)"
    )
    print(f"parity: {'within seed noise' if agreed else 'MISSED'}")
    ratio = quickest / ours
    print(f"end to end: {ratio:.2f} times as fast as the script chain at its best (at least {WANTED} wanted)")
    return agreed and ratio >= WANTED


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--examples", type=int, default=400, help="train examples of every arm")
    parser.add_argument("--visits", type=int, default=1000, help="conversations that are split in train and test")
    parser.add_argument("--whole", action="store_true", help="run the scripts of all twelve arms")
    parser.add_argument("--keep", type=Path, help="an empty folder to work in, kept afterwards")
    asked = parser.parse_args()
    if asked.keep is not None:
        asked.keep.mkdir(parents=True, exist_ok=True)
        return 0 if compare(Place(asked.keep.absolute(), asked.examples, asked.visits), asked.whole) else 1
    with tempfile.TemporaryDirectory(prefix="end_to_end_") as folder:
        return 0 if compare(Place(Path(folder), asked.examples, asked.visits), asked.whole) else 1


if __name__ == "__main__":
    sys.exit(main())
