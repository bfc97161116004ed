"""Choose the stock recipes with the same number of trials for each method.  python bench/stock_recipes.py --home HOME

The stock task's visits are not touched: trials are trained and compared on other visits of the same generator (another
seed), so the recipes know nothing of the test split that the leaderboard scores. Each method has four trials over its
own grid, spaced by a factor of two (two by two for DPO), under the short form's budget and with its seed. Full, LoRA
and QLoRA: the highest fact recall. DPO: the fewest fabrications among the settings that keep the fact recall of their
parent (the chosen LoRA) to within 0.01; when none does, the highest fact recall. Prints every trial, the choice, and
whether it lies on the edge of its grid. Finished trials are not repeated.
"""

from __future__ import annotations

import argparse
import shutil
from pathlib import Path
from typing import Any

import yaml

from harness.experiments import pipeline
from harness.experiments.loading.load import stock_folder
from harness.progress import Reporter
from harness.results.leaderboard.rows import Leaderboard

SEED = 2
"""Of the visits that trials are trained and compared on; the stock task draws with another."""
RATES: dict[str, tuple[float, ...]] = {
    "full": (7.0e-4, 1.4e-3, 2.8e-3, 5.6e-3),
    "lora": (2.0e-3, 4.0e-3, 8.0e-3, 1.6e-2),
    "qlora": (2.0e-3, 4.0e-3, 8.0e-3, 1.6e-2),
}
DPO = ((1.0e-4, 0.1), (1.0e-4, 0.3), (3.0e-4, 0.1), (3.0e-4, 0.3))
"""(learning rate, beta)."""
LOSS_OF_RECALL = 0.01


def write_task(work: Path) -> Path:
    """The stock task over other visits, without the parts that no choice is made by."""
    stock, folder = stock_folder() / "tasks" / "visit_notes", work / "tuning_visits"
    folder.mkdir(parents=True, exist_ok=True)
    for path in stock.glob("*.py"):
        shutil.copy(path, folder / path.name)
    task = yaml.safe_load((stock / "task.yaml").read_text())
    if task["data"]["options"]["seed"] == SEED:
        raise SystemExit("the stock task draws the same visits: give SEED another value")
    task["data"]["options"]["seed"] = SEED
    task["name"] = "tuning_visits"
    task["metrics"]["also"] = ["fabrications", "omissions", "all_facts"]
    for part in ("lm_eval", "retention", "preferences"):
        kept = task.pop(part)
        if part == "preferences":
            task[part] = kept
    (folder / "task.yaml").write_text(yaml.safe_dump(task, sort_keys=False))
    return folder


def recipe(method: str) -> dict[str, Any]:
    """The stock recipe as it is now."""
    found: dict[str, Any] = yaml.safe_load((stock_folder() / "baselines" / "arms" / f"{method}.yaml").read_text())
    return found


def trials(method: str) -> list[dict[str, Any]]:
    """The recipe with each of the rates."""
    made = []
    for rate in RATES[method]:
        arm = recipe(method)
        made.append({**arm, "name": f"{method}-{rate:g}", "optimiser": {**arm["optimiser"], "learning_rate": rate}})
    return made


def dpo_trials(parent: str) -> list[dict[str, Any]]:
    """DPO from `parent` with each of the settings."""
    made = []
    for rate, beta in DPO:
        arm = recipe("dpo")
        optimiser = {**arm["optimiser"], "learning_rate": rate}
        made.append({**arm, "name": f"dpo-{rate:g}-{beta:g}", "parent": parent, "beta": beta, "optimiser": optimiser})
    return made


def run(work: Path, home: Path, name: str, arms: list[dict[str, Any]]) -> Leaderboard:
    """One experiment of the short form's budget over the tuning visits."""
    short = yaml.safe_load((stock_folder() / "baselines" / "visit_notes.yaml").read_text())
    experiment = {
        "name": name,
        "task": str(write_task(work)),
        "base_model": str(stock_folder() / "baselines" / "base"),
        "arms": ["untrained", *arms],
        "seeds": short["seeds"],
        "budget": short["budget"],
        "resources": short["resources"],
    }
    path = work / f"{name}.yaml"
    path.write_text(yaml.safe_dump(experiment, sort_keys=False))
    with Reporter() as reporter:
        return pipeline.run(path, home, reporter).board


def values(board: Leaderboard) -> dict[str, dict[str, float]]:
    """Arm → metric → value, of the arms that have them."""
    return {
        row.arm: {name: cell.estimate.value for name, cell in row.cells.items() if cell.estimate is not None}
        for row in board.rows
        if row.evaluations
    }


def best(found: dict[str, dict[str, float]], names: list[str]) -> str:
    """The trial with the highest fact recall."""
    return max((name for name in names if name in found), key=lambda name: found[name]["fact_recall"])


def main() -> None:
    """Run both stages and print what was chosen."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--home", type=Path, required=True, help="folder for trials; give the same one to go on")
    home = parser.parse_args().home.absolute()
    work = home / "stock_recipes"
    work.mkdir(parents=True, exist_ok=True)
    grid = {method: trials(method) for method in RATES}
    found = values(run(work, home, "tuning_sft", [arm for arms in grid.values() for arm in arms]))
    chosen = {method: best(found, [arm["name"] for arm in arms]) for method, arms in grid.items()}
    parent = next(arm for arm in grid["lora"] if arm["name"] == chosen["lora"])
    settings = dpo_trials(parent["name"])
    names = [arm["name"] for arm in settings]
    found |= values(run(work, home, "tuning_dpo", [parent, *settings]))
    least = found[parent["name"]]["fact_recall"] - LOSS_OF_RECALL
    keeping = [name for name in names if name in found and found[name]["fact_recall"] >= least]
    chosen["dpo"] = min(keeping, key=lambda name: found[name]["fabrications"]) if keeping else best(found, names)
    for method in (*RATES, "dpo"):
        tried = [arm["name"] for arm in (*grid.get(method, ()), *(settings if method == "dpo" else ()))]
        for name in tried:
            numbers = "  ".join(f"{metric} {value:.3f}" for metric, value in found.get(name, {}).items())
            print(f"{'→' if name == chosen[method] else ' '} {name:16} {numbers or 'no result'}")
        edge = method != "dpo" and chosen[method] in (tried[0], tried[-1])
        print(f"  {method}: {chosen[method]}{' (on the edge of its grid)' if edge else ''}")


if __name__ == "__main__":
    main()
