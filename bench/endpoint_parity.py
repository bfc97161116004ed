"""A model behind `transformers serve` and in this process give the same answers.  python bench/endpoint_parity.py

Starts `transformers serve` on a free port of 127.0.0.1, with the embedded base in float32 as the local arm has it, and
runs an experiment of two arms on test examples of visit_notes: `untrained` (local, in batches) and `endpoint` (over
HTTP, one request after another). Compared are the texts, prompt by prompt. A difference is explained by where the local
model's two best next tokens stand at the first token that differs: a near-tie flips with the shape of a batch, anything
else is a fault. Needs the packages of transformers[serving] (part of the dev extra). Prints `same: N of M` last and
exits with 1 under 99 % or with a difference that is no near-tie.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

from harness.experiments.loading.load import stock_folder
from harness.results import queries

EXPERIMENT = """\
task: task
base_model: {base}
arms:
  - {{method: untrained}}
  - {{method: endpoint, url: "http://127.0.0.1:{port}/v1", model: {base}, timeout: 300, concurrency: 1}}
budget: {{examples: 1}}
resources: {{threads: 1, device: cpu}}
"""
NEAR_TIE = 1e-3
"""Logits this close are decided by rounding (float32, sums in another order)."""


def free_port() -> int:
    """A port of 127.0.0.1 that nobody listens on."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


def serve(base: Path, port: int, log: Path) -> subprocess.Popen[bytes]:
    """`transformers serve` of one model folder, up and answering."""
    program = Path(sys.executable).with_name("transformers")
    words = ["serve", str(base), "--dtype", "float32", "--device", "cpu", "--host", "127.0.0.1", "--port", str(port)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    with log.open("wb") as out:
        process = subprocess.Popen([str(program), *words], stdout=out, stderr=out, env=environment)
    deadline = time.monotonic() + 900
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit(f"the server ended:\n{log.read_text()[-2000:]}")
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return process
        except (urllib.error.URLError, OSError):
            time.sleep(0.5)
    process.terminate()
    sys.exit("the server did not come up within 900 s")


def explain(model: Any, prompt: list[int], ours: str, theirs: str) -> tuple[str, bool]:
    """Where two answers part, in words, and whether it is a near-tie of the local model's logits."""
    import torch

    a, b = (model.tokenizer.encode(text, add_special_tokens=False) for text in (ours, theirs))
    at = next((n for n, pair in enumerate(zip(a, b, strict=False)) if pair[0] != pair[1]), min(len(a), len(b)))
    with torch.no_grad():
        logits = model.model(torch.tensor([[*prompt, *a[:at]]])).logits[0, -1]
    first, second = logits.topk(2).values.tolist()
    margin = first - second
    return (
        f"at token {at} the two best logits are {margin:.2g} apart ({ours[-30:]!r}, {theirs[-30:]!r})",
        margin < NEAR_TIE,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--visits", type=int, default=540, help="visits that the task is made of; a fifth are tested")
    asked = parser.parse_args()
    base = stock_folder() / "baselines" / "base"
    folder = Path(tempfile.mkdtemp(prefix="endpoint-"))
    shutil.copytree(stock_folder() / "tasks" / "visit_notes", folder / "task")
    text = (folder / "task" / "task.yaml").read_text()
    (folder / "task" / "task.yaml").write_text(text.replace("visits: 1000", f"visits: {asked.visits}"))
    port = free_port()
    (folder / "run.yaml").write_text(EXPERIMENT.format(base=base, port=port))
    server = serve(base, port, folder / "server.log")
    try:
        command = [sys.executable, "-m", "harness", "run", "run.yaml"]
        if subprocess.run(command, cwd=folder, env=os.environ | {"OMP_NUM_THREADS": "1"}, check=False).returncode:
            sys.exit("the run failed")
    finally:
        server.terminate()
        server.wait()
    sys.exit(compare(folder, base))


def compare(folder: Path, base: Path) -> int:
    """Print every difference with its explanation, and the share of equal answers last."""
    from harness.data.prompts import Prompter
    from harness.experiments import pipeline
    from harness.experiments.evaluation.predict import generation_requests
    from harness.models.transformers import loading
    from harness.models.transformers.causal import CausalModel

    home = folder / ".harness"
    store = queries.open_store(home)
    record = store.experiments()[-1]
    ids = {entry.arm: entry.eval_id or "" for entry in store.entries(record.experiment_id)}
    answers = {arm: {row.example: row for row in store.predictions([name])} for arm, name in ids.items()}
    local, remote = answers["untrained"], answers["endpoint"]
    os.chdir(folder)
    experiment = pipeline.load(Path("run.yaml"))
    model = CausalModel(*loading.load_base(experiment.base, "cpu"))
    prompter = Prompter(model.tokenizer, experiment.spec.chat, experiment.task, model.context)
    examples = list(queries.sealed_examples(home, record).values())
    limit = experiment.task.generate.max_new_tokens
    prompts = {row.example: list(row.prompt) for row in generation_requests(prompter, examples, limit)}
    same = faults = 0
    for example, row in local.items():
        other = remote[example]
        faults += row.prompt_hash != other.prompt_hash
        if row.text == other.text:
            same += 1
            continue
        words, tie = explain(model, prompts[example], row.text, other.text)
        faults += not tie
        print(f"{example}: {words}{'' if tie else ': NOT a near-tie'}")
    counted = sum(row.tokens_in == remote[example].tokens_in for example, row in local.items())
    finishes = sum(row.finish == remote[example].finish for example, row in local.items())
    print(f"prompt tokens counted alike: {counted}; finish reasons alike: {finishes}; unexplained: {faults}")
    print(f"same: {same} of {len(local)} ({100 * same / len(local):.1f} %)")
    return 0 if same >= 0.99 * len(local) and not faults else 1


if __name__ == "__main__":
    main()
