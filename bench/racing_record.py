"""Records the full grid that bench/racing.py replays: every configuration trained to its whole budget, none stopped.

The embedded base on the stock task's generator, with visits of a seed of their own (not those of the stock task).
Methods x learning rates x seeds as an experiment would have them: four rates a method, by ratio, the stock recipe's own
among them. The learning-rate schedule is that of the whole budget, and validation is read off at each rung on the way,
example by example: what a training that stops at a rung and goes on later would show there.

Every finished training is a file under --home and is not done again, so that the recording can be killed and goes on.
"""

from __future__ import annotations

import dataclasses
import json
import math
import shutil
import time
from pathlib import Path
from typing import Any

import yaml

from harness.data.prepare import prepare
from harness.errors import Diverged
from harness.experiments import pipeline
from harness.experiments.evaluation import predict
from harness.experiments.loading.load import stock_folder
from harness.experiments.running import plans as run_plans, worker
from harness.records import Example, Ledger, RunPlan, TrainingData

SEED, VISITS = 3, 1000
"""Of the visits; the stock task draws with another seed."""
SPLITS = {"test": 0.05, "validation": 0.3, "salt": "racing-1"}
BUDGET = 320
EIGHTHS = (1, 2, 4, 8)
"""Rungs, in eighths of the budget."""
RATES: dict[str, tuple[float, ...]] = {
    "full": (1.4e-4, 4.4e-4, 1.4e-3, 4.4e-3),
    "lora": (8.0e-4, 2.5e-3, 8.0e-3, 2.5e-2),
    "qlora": (8.0e-4, 2.5e-3, 8.0e-3, 2.5e-2),
}
"""The stock recipe's rate, two below it and one above, by the square root of ten."""
DIGITS = 4


def write_experiment(work: Path, seeds: list[int]) -> Path:
    """The grid as an experiment file, with its task beside it."""
    stock, folder = stock_folder(), work / "racing_visits"
    folder.mkdir(parents=True, exist_ok=True)
    for path in (stock / "tasks" / "visit_notes").glob("*.py"):
        shutil.copy(path, folder / path.name)
    task = yaml.safe_load((stock / "tasks" / "visit_notes" / "task.yaml").read_text())
    task |= {"name": "racing_visits", "splits": SPLITS}
    task["data"]["options"] = {"visits": VISITS, "seed": SEED}
    task["metrics"]["also"] = []
    for part in ("lm_eval", "retention", "preferences"):
        task.pop(part)
    (folder / "task.yaml").write_text(yaml.safe_dump(task, sort_keys=False))
    arms: list[dict[str, Any]] = []
    for method, rates in RATES.items():
        recipe = yaml.safe_load((stock / "baselines" / "arms" / f"{method}.yaml").read_text())
        for rate in rates:
            made = {**recipe, "name": f"{method}-{rate:g}", "evaluations": 8}
            arms.append({**made, "optimiser": {**recipe["optimiser"], "learning_rate": rate}})
    experiment = {
        "task": str(folder),
        "base_model": str(stock / "baselines" / "base"),
        "arms": ["untrained", *arms],
        "seeds": seeds,
        "budget": {"examples": BUDGET},
        "resources": {"threads": 1, "device": "cpu"},
    }
    file = work / "racing_grid.yaml"
    file.write_text(yaml.safe_dump(experiment, sort_keys=False))
    return file


def record(home: Path, out: Path, seeds: list[int]) -> None:
    """Train what is not trained yet, one training after the other, and write the grid."""
    work = home.absolute()
    work.mkdir(parents=True, exist_ok=True)
    experiment = pipeline.load(write_experiment(work, seeds))
    prepared = prepare(experiment, work)
    data = worker.read_training(prepared.files.folder)
    plans = [plan for plan in run_plans.plan_runs(experiment, prepared, work) if plan.seed is not None]
    plans.sort(key=lambda plan: int(plan.seed or 0))
    for plan in plans:
        place = work / "grid" / f"{plan.arm_name}-{plan.seed}.json"
        if not place.exists():
            place.parent.mkdir(exist_ok=True)
            row = trained(plan, data)
            place.write_text(json.dumps(row))
            print(f"{plan.arm_name}, seed {plan.seed}: {row['words']}", flush=True)
        write_grid(work, out, plans, data)


def trained(plan: RunPlan, data: TrainingData) -> dict[str, Any]:
    """One training to the end: validation loss [rungs, examples] of each example, in nats a target token."""
    from harness.arms import sft
    from harness.arms.training import loop, losses
    from harness.arms.training.job import Job

    worker.set_threads(plan)
    started, busy = time.perf_counter(), time.process_time()
    plan.run_folder.mkdir(parents=True, exist_ok=True)
    trainable = sft.prepare(plan)
    rows, order = sft.encode_budget(trainable.prompter, data.train, plan.experiment.spec.budget, int(plan.seed or 0))
    pad_id = int(trainable.tokenizer.pad_token_id or 0)
    found: list[list[float]] = []
    evaluated = 0

    def validate(model: Any) -> float:
        nonlocal evaluated
        evaluated += 1
        if evaluated in EIGHTHS:
            found.append(example_losses(model, trainable.prompter, data.validation, pad_id))
        return sum(found[-1]) / len(found[-1])

    job = Job.of(plan, (rows, order), losses.CompletionLoss(pad_id), validate)
    job = dataclasses.replace(job, checkpoint_seconds=1e9)
    error = None
    try:
        spent = loop.run(trainable.model, job, lambda phase, done, total: None)
        steps, seconds = spent.optimiser_steps, spent.train_seconds
    except Diverged as caught:
        assert isinstance(caught.ledger, Ledger)
        error, steps, seconds = caught.message, caught.ledger.optimiser_steps, caught.ledger.train_seconds
    means = ", ".join(f"{sum(row) / len(row):.4f}" for row in found)
    took = f"{seconds:.0f} s of training, {time.perf_counter() - started:.0f} s in all"
    return {
        "arm": plan.arm_name,
        "seed": plan.seed,
        "losses": [[round(value, DIGITS) for value in row] for row in found],
        "steps": steps,
        "error": error,
        "words": f"{means} ({took}, {time.process_time() - busy:.0f} s of a processor) {error or ''}",
    }


def example_losses(model: Any, prompter: Any, examples: tuple[Example, ...], pad_id: int) -> list[float]:
    """Mean negative log-probability of each example's target tokens, without the end-of-sequence token: [examples]."""
    import torch

    from harness.arms.training import losses
    from harness.data.prompts import Encoded

    requests = predict.target_requests(prompter, examples)
    rows = [Encoded(one.context, one.target, truncated=0, prompt_hash="") for one in requests]
    order = sorted(range(len(rows)), key=lambda index: len(rows[index].input_ids))
    values = [math.nan] * len(rows)
    was = model.training
    model.eval()
    with torch.no_grad():
        for start in range(0, len(order), 16):
            part = order[start : start + 16]
            sums = losses.target_logprobs(model, **losses.pad([rows[index] for index in part], pad_id))
            for index, total in zip(part, sums.tolist(), strict=True):
                values[index] = -total / len(rows[index].target)
    model.train(was)
    return values


def write_grid(work: Path, out: Path, plans: list[RunPlan], data: TrainingData) -> None:
    """The compact file of everything that is recorded so far."""
    rows = []
    for plan in plans:
        place = work / "grid" / f"{plan.arm_name}-{plan.seed}.json"
        if place.exists():
            row = json.loads(place.read_text())
            rows.append({name: row[name] for name in ("arm", "seed", "steps", "losses", "error")})
    groups = list(dict.fromkeys(example.group for example in data.validation))
    grid = {
        "what": "validation loss (nats a target token) by rung and example; written by bench/racing.py --record",
        "steps": -(-BUDGET // plans[0].arm.optimiser.batch_size),
        "rungs": [eighth / 8 for eighth in EIGHTHS],
        "budget": BUDGET,
        "groups": [groups.index(example.group) for example in data.validation],
        "runs": rows,
    }
    out.write_text(json.dumps(grid, separators=(",", ":")) + "\n")
