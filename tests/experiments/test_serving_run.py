"""Serving figures from the experiment file to every form of the leaderboard, with toy arms in real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell

from harness import environment
from harness.data.prepare import prepare
from harness.errors import ArmFailed
from harness.experiments import pipeline, speed
from harness.experiments.running import plans as run_plans
from harness.experiments.speed.processes import KILLED, Processes
from harness.results import queries

EXPERIMENT = """
task: task
base_model: none
arms:
  - {method: toy, name: weak, skill: 0.0}
  - {method: toy, name: slow, skill: 1.0, learning_rate: 0.01, token_seconds: 0.05, serves: 3}
  - {method: toy, name: fast, skill: 1.0, learning_rate: 0.01, token_seconds: 0.005}
seeds: [4, 2]
budget: {examples: 10}
reference: weak
winner: {margin: 0.4, cost: latency}
serving: {rounds: 2, prompts: 2, new_tokens: 4, batches: 8}
"""


@pytest.fixture(autouse=True)
def _inside(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace("[rouge_l, bleu, perplexity]", "[perplexity]"))
    rows = [{"id": f"e{n}", "group": f"g{n // 2}", "words": f"{n * 7919} {n * 104729}"} for n in range(1, 161)]
    (project / "task" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (project / "toys.yaml").write_text(EXPERIMENT)


def board(shell: Shell) -> dict[str, Any]:
    answer = shell("leaderboard", "--json")
    assert answer.code == 0, answer.err
    return dict(json.loads(answer.out))


def by_arm(found: dict[str, Any]) -> dict[str, Any]:
    """Serving rows by arm: arms with equal scores may change places."""
    return {row["arm"]: row for row in found["serving"]["rows"]}


def passes_in(project: Path) -> list[Path]:
    return sorted((project / ".harness" / "experiments").glob("*/serving/*"))


@pytest.mark.real
def test_the_whole_life_of_serving_figures(shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = shell("run", "toys.yaml")
    assert first.code == 0, first.err
    found = board(shell)
    rows = by_arm(found)
    assert set(rows) == {"weak", "slow", "fast"}
    looks = found["looks"]["experiment"]
    assert looks == 3, "one for each distinct model, as without `serving:`"

    # What was measured: a sleep for each token, whatever the batch, of the lowest seed.
    slow, fast = rows["slow"], rows["fast"]
    assert slow["figures"]["first_token_seconds"]["value"] >= 0.05
    assert slow["figures"]["tokens_per_second"]["value"] <= 20
    assert fast["figures"]["tokens_per_second"]["value"] > 2 * slow["figures"]["tokens_per_second"]["value"]
    assert (slow["seed"], fast["seed"], rows["weak"]["seed"]) == (2, 2, None)
    assert (slow["batch"], slow["too_large"], fast["batch"], fast["too_large"]) == (2, 4, 8, None)
    # `weak` sleeps not at all: what it takes is the machine's noise, which nothing but a long sleep is sure to exceed.
    assert slow["ratios"]["first_token_seconds"]["value"] > fast["ratios"]["first_token_seconds"]["value"] > 0
    assert slow["ratios"]["first_token_seconds"]["value"] > 1
    assert fast["memory_bytes"] > 10_000_000 and fast["memory_kind"] == "resident set"

    # The tie goes to the arm that answers first, by the declared cost.
    verdict = found["verdict"]
    assert (verdict["outcome"], verdict["arm"]) == ("tie", "fast")
    assert "% of the time to the first token" in verdict["words"] and verdict["cost_share"] < 0.6

    # In every form.
    text = first.out
    assert (
        "over weak" in text
        and "Out of memory: slow at 4." in text
        and "2 rounds over all arms" in " ".join(text.split())
    )
    assert "[50 %]" in text, "two rounds keep no more"
    markdown = shell("leaderboard", "--format", "markdown").out
    assert "## Serving" in markdown and "| slow |" in markdown.partition("## Serving")[2]
    latex = shell("leaderboard", "--format", "latex").out
    assert "first token ms & tokens/s & tokens/s at batch & peak MB" in latex

    # Not measured again for the same artefacts on the same machine; nothing is left of the journal.
    [stored] = passes_in(project)
    again = shell("run", "toys.yaml")
    assert "serving figures were measured already" in again.err and passes_in(project) == [stored]
    assert board(shell) == found
    shown = shell("serving", "toys.yaml", "--json")
    assert json.loads(shown.out)["pass"]["pass_id"] == stored.stem
    assert len(json.loads(shown.out)["pass"]["arms"][0]["visits"]) == 2

    # Again when asked for, on the same subject.
    assert shell("serving", "toys.yaml", "--again").code == 0
    store = queries.open_store(project / ".harness")
    made = store.serving(found["experiment"]["id"])
    assert len(made) == len(passes_in(project)) == 2 and len({one.subject for one in made}) == 1

    # On another machine they are, and the leaderboard shows the newest.
    with monkeypatch.context() as patch:
        patch.setattr(environment, "scoring_hardware", lambda: {"processor": "another", "accelerators": []})
        time.sleep(1.1)
        assert "on another" in shell("serving", "toys.yaml").out
        assert len(passes_in(project)) == 3
        assert board(shell)["serving"]["hardware"]["processor"] == "another"
    assert board(shell)["looks"]["experiment"] == looks

    # They outlive the database, and stand in a bundle.
    before = board(shell)
    (project / ".harness" / "harness.duckdb").unlink()
    rebuilt = shell("store", "rebuild")
    assert rebuilt.code == 0 and "3 serving" in rebuilt.out
    assert by_arm(board(shell)) == by_arm(before)
    assert shell("bundle", "--out", "b.zip").code == 0
    assert shell("bundle", "--check", "b.zip").code == 0
    assert json.loads(shell("leaderboard", "--bundle", "b.zip", "--json").out)["serving"] == board(shell)["serving"]


def test_measured_on_demand_with_the_defaults_and_without_the_model_in_words(shell: Shell, project: Path) -> None:
    file = project / "toys.yaml"
    file.write_text(EXPERIMENT.replace("cost: latency", "cost: adapter_bytes").partition("serving:")[0])
    refused = shell("serving", "toys.yaml")
    assert refused.code == 2 and "holds no results yet" in refused.err
    assert shell("run", "toys.yaml").code == 0
    (project / "others.yaml").write_text(file.read_text())
    refused = shell("serving", "others.yaml")
    assert refused.code == 2 and "`harness run others.yaml` makes them" in refused.err
    assert board(shell)["serving"] is None and passes_in(project) == []
    for folder in (project / ".harness" / "runs").iterdir():
        if json.loads((folder / "run.json").read_text())["arm"] != "weak":
            shutil.rmtree(folder / "artefact")
    file.write_text(file.read_text() + "serving: {rounds: 2, prompts: 1, new_tokens: 2, batches: 1}\n")
    answer = shell("serving", "toys.yaml")
    assert answer.code == 0, answer.err
    rows = by_arm(board(shell))
    assert "not on disk any more" in rows["fast"]["error"] and rows["fast"]["figures"] == {}
    assert "fast: no serving figures" in " ".join(answer.out.split())
    weak = rows["weak"]["figures"]
    assert weak["batch_tokens_per_second"] == weak["tokens_per_second"], "the largest batch asked for is one prompt"


@pytest.mark.parametrize("cost", ["latency", "throughput", "inference_memory"])
def test_a_rule_whose_cost_nobody_measures_is_refused(shell: Shell, project: Path, cost: str) -> None:
    text = EXPERIMENT.replace("cost: latency", f"cost: {cost}").partition("serving:")[0]
    (project / "toys.yaml").write_text(text)
    answer = shell("run", "toys.yaml")
    line = 1 + text.splitlines().index(f"winner: {{margin: 0.4, cost: {cost}}}")
    assert answer.code == 2
    assert f"toys.yaml:{line}: winner.cost: {cost} is measured only with `serving:`" in answer.err
    assert "Add `serving: {}`" in answer.err and "Traceback" not in answer.err


def test_a_task_without_validation_examples_is_refused_before_anything_runs(shell: Shell, project: Path) -> None:
    task = project / "task" / "task.yaml"
    task.write_text(task.read_text().replace("validation: 0.2", "validation: 0.0001"))
    answer = shell("run", "toys.yaml")
    assert answer.code == 2 and "validation split is empty" in answer.err
    assert not (project / ".harness" / "runs").exists()


def test_a_killed_process_is_one_failure_and_the_next_visit_has_a_new_one(project: Path) -> None:
    experiment = pipeline.load(Path("toys.yaml"))
    plans = run_plans.plan_runs(experiment, prepare(experiment, project / "home"), project / "home")
    from harness.experiments.running import worker

    for plan in plans:
        worker.execute(plan)
    settings = experiment.spec.serving
    assert settings is not None
    weak, slow = speed.jobs(plans, settings.model_copy(update={"new_tokens": 400}))[:2]
    assert weak.plan.files.sealed is None and slow.plan.files.sealed is None
    quick = speed.jobs(plans, settings)[0]
    with Processes() as processes:
        assert processes.visit(quick, 2).batch_tokens == 8
        pool = processes._timing
        assert pool is not None
        [child] = pool._processes
        killer = threading.Timer(1.0, os.kill, (child, signal.SIGKILL))
        killer.start()
        with pytest.raises(ArmFailed, match=r"was killed") as caught:  # 400 tokens of 20 ms, twice
            processes.visit(slow, None)
        assert caught.value.message == KILLED
        assert processes.visit(quick, 2).single_tokens == 8
