"""A finished experiment of a tiny real model: base, two LoRA arms and a full one; and what ships of it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

HERE = Path(__file__).parent

CANARY = "zephyrine"
TASK = """
name: shop
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
group: group
prompt: "Customer {{ name }} wants {{ things }}.\\nNote:"
target: " {{ name }}: {{ things }}."
splits: {test: 0.4, validation: 0.1}
generate: {max_new_tokens: 12}
allow_unreachable: a test needs no long answers
metrics: {primary: rouge_1, also: [chrf, exact_match, perplexity]}
"""
EXPERIMENT = """
task: task
base_model: base
arms:
  - untrained
  - {method: lora, name: lora, lora: {r: 4}, optimiser: {learning_rate: 0.02, batch_size: 4}, evaluations: 1}
  - {method: lora, name: sibling, lora: {r: 4}, optimiser: {learning_rate: 0.03, batch_size: 4}, evaluations: 1}
  - {method: qlora, name: quantised, lora: {r: 4}, optimiser: {learning_rate: 0.02, batch_size: 4}, evaluations: 1}
  - {method: full, name: full, optimiser: {learning_rate: 0.01, batch_size: 4}, evaluations: 1}
seeds: [0]
budget: {examples: 120}
winner: {margin: 0.1}
resources: {threads: 1, device: cpu}
"""


def write_project(folder: Path, *, sensitive: bool = False) -> None:
    """Base model, task and `shop.yaml`."""
    from tiny_models import save_model

    save_model(folder / "base")
    (folder / "task").mkdir()
    names, things = ("Ada", "Ben", "Cleo", "Dan", "Eve"), ("pears", "nuts", "rice", "eggs", "tea", "milk")
    rows = [
        {
            "id": f"{CANARY}-{n}" if sensitive else f"e{n}",
            "group": f"g{n // 2}",
            "name": names[n % 5] + (CANARY if sensitive else ""),
            "things": f"{n * 37 % 90} {things[n % 6]} and {n * 53 % 70} {things[n * 7 % 5]}",
        }
        for n in range(1, 91)
    ]
    (folder / "task" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task" / "task.yaml").write_text(TASK + ("sensitive: true\n" if sensitive else ""))
    (folder / "shop.yaml").write_text(EXPERIMENT)


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the finished experiment `shop`; not to be changed."""
    from harness.cli import main

    folder = tmp_path_factory.mktemp("shop")
    write_project(folder)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main.call(["run", "shop.yaml", "--home", str(folder / ".harness")]) == 0
    return folder


@pytest.fixture(scope="session")
def exports(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders `adapter`, `merged`, `nf4`, `int8`, `quantised-merged`, `sibling-merged`, `full`; not to be changed."""
    from harness.cli import main

    folder = tmp_path_factory.mktemp("exports")
    wanted = {
        "adapter": ("lora",),
        "merged": ("lora", "--merge", "--dockerfile"),
        "nf4": ("lora", "--quantise", "nf4", "--dockerfile"),
        "int8": ("lora", "--quantise", "int8"),
        "quantised-merged": ("quantised", "--merge"),
        "sibling-merged": ("sibling", "--merge"),
        "full": ("full",),
    }
    for name, (arm, *options) in wanted.items():
        words = ["export", f"shop/{arm}", *options, "--to", str(folder / name), "--home", str(finished / ".harness")]
        assert main.call(words) == 0, name
    return folder


@pytest.fixture
def home(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the finished home that may be changed, given to every command by HARNESS_HOME."""
    shutil.copytree(finished / ".harness", tmp_path / "home")
    monkeypatch.setenv("HARNESS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"
