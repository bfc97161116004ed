"""A candidate that is only a folder: an adapter or a model of tiny real models, scored first and then judged."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from shell_calls import Shell

from harness.errors import ArmFailed
from harness.experiments.evaluation import evaluate

EXPERIMENT = """
task: task
base_model: base
arms:
  - untrained
  - {method: lora, name: lora, lora: {r: 2}, optimiser: {learning_rate: 1.0e-2, batch_size: 4}}
  - {method: full, name: full, optimiser: {learning_rate: 1.0e-3, batch_size: 4}}
budget: {examples: 8}
resources: {threads: 1, device: cpu}
"""
GATES = """
baseline: released/lora-1
rules:
  - {metric: exact_match, margin: 0.9}
  - {metric: rouge_l, margin: 0.9, tier: supporting}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished experiment of a tiny Llama whose `lora` is pinned; not to be changed."""
    from tiny_models import save_model

    from harness.cli import main

    folder = tmp_path_factory.mktemp("folders")
    save_model(folder / "base")
    (folder / "task").mkdir()
    rows = [{"id": f"r{n}", "group": f"g{n}", "words": f"{n * 7919} {n * 104729}"} for n in range(1, 41)]
    (folder / "task" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task" / "task.yaml").write_text(
        "name: echo\ndata: {path: rows.jsonl, licence: CC0-1.0}\nid: id\ngroup: group\n"
        'prompt: "Say: {{ words }}"\ntarget: " {{ words }}"\nsplits: {test: 0.3, validation: 0.1}\n'
        "generate: {max_new_tokens: 4}\nallow_unreachable: short\n"
        "metrics: {primary: exact_match, also: [rouge_l, perplexity]}\n"
    )
    (folder / "exp.yaml").write_text(EXPERIMENT)
    (folder / "gates.yaml").write_text(GATES)
    home = ["--home", str(folder / ".harness")]
    assert main.call(["run", str(folder / "exp.yaml"), *home]) == 0
    pin = ["release", "exp/lora", "--as", "lora-1", "--in", str(folder / "released"), "--anyway", "a test"]
    assert main.call([*pin, *home]) == 0
    return folder


@pytest.fixture
def there(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, with `adapter` and `model` folders taken from its runs, as the working directory."""
    place = tmp_path / "p"
    shutil.copytree(trained, place)
    for run in (place / ".harness" / "runs").glob("*/run.json"):
        about = json.loads(run.read_text())
        name = {"lora": "adapter", "full": "model"}.get(about["arm"])
        if name:
            shutil.copytree(run.parent / "artefact", place / name)
    config = place / "adapter" / "adapter_config.json"
    plain = json.loads(config.read_text())
    config.write_text(json.dumps({**plain, "base_model_name_or_path": str(place / "base")}))
    monkeypatch.chdir(place)
    return place


def test_an_adapter_folder_is_scored_and_judged_and_kept(there: Path, shell: Shell) -> None:
    found = shell("gate", "gates.yaml", "--candidate", "adapter", "--experiment", "exp.yaml", "--json")
    assert found.code in (0, 3), found.err
    told = json.loads(found.out)
    # The same weights as the pinned adapter score the same on every example.
    assert told["rules"][0]["estimate"]["value"] == 0.0 and told["rules"][0]["estimate"]["n"] >= 8
    looks = json.loads(shell("looks", "--json").out)["looks"]
    assert "harness run" in {one["why"] for one in looks}, "the scoring is a counted look"
    again = shell("gate", "gates.yaml", "--candidate", "adapter", "--experiment", "exp.yaml")
    assert again.code == found.code and "stored verdict" in again.out
    named = told["eval_id"], told["train_id"]
    arm = next(row for row in json.loads(shell("ledger", "--json").out)["rows"] if row["arm"].startswith("adapter-"))
    assert all(named) and arm["arm"].startswith("adapter-")


def test_a_merged_model_folder_is_a_candidate(there: Path, shell: Shell) -> None:
    found = shell("gate", "gates.yaml", "--candidate", "model", "--experiment", "exp.yaml", "--json")
    assert found.code in (0, 3), found.err
    assert json.loads(found.out)["outcome"] != "INVALID"


def test_an_adapter_of_another_base_is_refused(there: Path, shell: Shell) -> None:
    from tiny_models import save_model

    save_model(there / "other", hidden_size=64)
    config = there / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": str(there / "other")}))
    found = shell("gate", "gates.yaml", "--candidate", "adapter", "--experiment", "exp.yaml")
    assert found.code == 2 and "Gate it against a baseline of its own base" in found.err, found.err


def test_an_experiment_of_another_base_than_the_baselines_is_refused(there: Path, shell: Shell) -> None:
    from tiny_models import save_model

    save_model(there / "other", hidden_size=64)
    (there / "elsewhere.yaml").write_text(EXPERIMENT.replace("base_model: base", "base_model: other"))
    found = shell("gate", "gates.yaml", "--candidate", "adapter", "--experiment", "elsewhere.yaml")
    assert found.code == 2 and "lora-1 was made from another base" in found.err and found.err.count("\n") == 1


def test_a_base_that_is_not_here_must_be_named(there: Path, shell: Shell) -> None:
    config = there / "adapter" / "adapter_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "base_model_name_or_path": "somebody/model"}))
    found = shell("gate", "gates.yaml", "--candidate", "adapter")
    assert found.code == 2 and "somebody/model, is not here and cannot be checked" in found.err, found.err
    assert "--experiment exp.yaml" in found.err


def test_a_folder_without_a_model_and_one_of_pickles_are_refused(there: Path, shell: Shell) -> None:
    (there / "empty").mkdir()
    (there / "pickles").mkdir()
    shutil.copy(there / "adapter" / "adapter_config.json", there / "pickles")
    (there / "pickles" / "adapter_model.bin").write_bytes(b"\x80")
    for folder, words in (
        ("empty", "neither adapter_config.json nor config.json"),
        ("pickles", "a pickle, which can execute code"),
    ):
        found = shell("gate", "gates.yaml", "--candidate", folder)
        assert found.code == 2 and words in found.err, found.err


def test_weights_that_are_broken_are_one_line(there: Path, shell: Shell) -> None:
    for file in (there / "adapter").glob("*.safetensors"):
        file.write_bytes(b"\x00" * 16)
    found = shell("gate", "gates.yaml", "--candidate", "adapter", "--experiment", "exp.yaml")
    assert found.code == 2 and "cannot be loaded" in found.err.splitlines()[-1], found.err
    assert "Traceback" not in found.err


def test_a_scoring_that_ends_badly_is_one_line_with_its_reason(
    there: Path, shell: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> None:
        raise ArmFailed("the scores went missing")

    monkeypatch.setattr(evaluate, "evaluate", broken)
    found = shell("gate", "gates.yaml", "--candidate", "model", "--experiment", "exp.yaml")
    last = found.err.splitlines()[-1]
    assert found.code == 2 and last.startswith("harness: model cannot be scored: scoring: the scores went missing")
