"""An endpoint as an arm among others: same table, no likelihoods, failures, resumption, and a server that changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from fake_server import Answer, Server, error, said, serving
from shell_calls import Shell

from harness.arms.endpoint import PROBES
from harness.data.prepare import prepare
from harness.experiments import pipeline
from harness.experiments.evaluation import evaluate
from harness.experiments.running import plans as run_plans
from harness.results import queries

ROOT = Path(__file__).parents[3]
TASK = """
name: echo
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
prompt: "Say: {{ words }}"
target: "{{ words }}"
splits: {test: 0.3, validation: 0.2}
generate: {max_new_tokens: 4}
allow_unreachable: a test needs no long answers
metrics: {primary: exact_match, also: [rouge_l, perplexity]}
"""
EXPERIMENT = """
task: task
base_model: BASE
arms:
  - {method: endpoint, name: served, url: URL, model: m, retries: 0, concurrency: 2, key_env: SERVED_KEY}
budget: {examples: 10}
reference: untrained
"""


def echo(body: dict[str, Any]) -> Answer:
    return said(body["prompt"].removeprefix("Say: "))


def project(folder: Path, server: Server) -> None:
    (folder / "task").mkdir()
    rows = [{"id": f"e{number}", "words": f"{number * 7919} {number * 31}"} for number in range(1, 31)]
    (folder / "task" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task" / "task.yaml").write_text(TASK)
    text = EXPERIMENT.replace("BASE", str(ROOT / "baselines" / "base")).replace("URL", server.url)
    (folder / "x.yaml").write_text(text)


def asked(server: Server) -> list[str]:
    """Prompts of test examples that the server got, probes left out."""
    return [body["prompt"] for body in server.bodies if body["prompt"] not in PROBES]


def test_the_whole_life_of_an_endpoint_arm(shell: Shell, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERVED_KEY", "sk-secret")
    monkeypatch.setattr(evaluate, "ENDPOINT_ROWS", 4)
    left = [7]

    def tired(body: dict[str, Any]) -> Answer:
        if body["prompt"] in PROBES:
            return echo(body)
        left[0] -= 1
        return echo(body) if left[0] >= 0 else error(404, "model unloaded")

    with serving(tired) as server:
        project(tmp_path, server)
        # The server gives up in the second batch: this arm fails in one line, the other goes on.
        first = shell("run", "x.yaml", "--json")
        assert first.code == 6, first.err
        rows = {row["arm"]: row for row in json.loads(first.out)["rows"]}
        assert rows["untrained"]["status"] == "ok" and rows["served"]["status"] == "failed"
        assert "answered 404 (model unloaded)" in rows["served"]["errors"][0]
        assert "Traceback" not in first.err

        # It goes on where it was: the four answers of the first batch are not asked for again.
        before = set(asked(server)[:4])
        server.answer = echo
        server.bodies.clear()
        second = shell("run", "x.yaml", "--json")
        assert second.code == 0, second.err
        rows = {row["arm"]: row for row in json.loads(second.out)["rows"]}
        served = rows["served"]
        examples = served["answers"]["answers"]
        assert len(asked(server)) == examples - 4 and not before & set(asked(server))
        assert served["metrics"]["exact_match"]["estimate"]["value"] == 1.0
        assert served["metrics"]["perplexity"]["reason"] == "the server gives no log-probabilities for prompts"
        assert served["metrics"]["perplexity"]["missing"] == 0 and served["budget_known"] is False
        assert rows["untrained"]["metrics"]["perplexity"]["estimate"] is not None
        text = shell("leaderboard").out
        assert "served ?" in text and "budget unknown" in text

        # The same prompts as the local arm, in its own counting.
        store = queries.open_store(tmp_path / ".harness")
        entries = {entry.arm: entry for entry in store.entries(store.experiments()[-1].experiment_id)}
        hashes = [
            {row.example: row.prompt_hash for row in store.predictions([entries[arm].eval_id or ""])}
            for arm in ("untrained", "served")
        ]
        assert hashes[0] == hashes[1] and len(hashes[0]) == examples
        [row] = [one for one in store.scores([entries["served"].eval_id or ""]) if one.metric == "perplexity"][:1]
        assert row.status == "missing"

        # Nothing is asked again but the probes, and the key is on no disk.
        server.bodies.clear()
        assert "nothing to train" in shell("run", "x.yaml").err
        assert asked(server) == [] and len(server.bodies) == len(PROBES)
        kept = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert kept and not any(b"sk-secret" in path.read_bytes() for path in kept)

        # Another model behind the same URL is another artefact.
        old = entries["served"].eval_id
        server.answer = lambda body: said("something else")
        third = shell("run", "x.yaml", "--json")
        assert third.code == 0 and "answers otherwise" in third.err
        rows = {row["arm"]: row for row in json.loads(third.out)["rows"]}
        assert rows["served"]["evaluations"] != [old]
        assert rows["served"]["metrics"]["exact_match"]["estimate"]["value"] == 0.0

    # A server that is gone takes nothing away from what is finished.
    assert shell("run", "x.yaml").code == 0


def test_operational_settings_are_no_part_of_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with serving(echo) as server:
        project(tmp_path, server)

    def identity() -> str:
        experiment = pipeline.load(Path("x.yaml"))
        plans = run_plans.plan_runs(experiment, prepare(experiment, tmp_path / "home"), tmp_path / "home")
        return {plan.arm_name: plan.train_id for plan in plans}["served"]

    first, file = identity(), tmp_path / "x.yaml"
    file.write_text(file.read_text().replace("concurrency: 2, key_env: SERVED_KEY", "timeout: 5, concurrency: 9"))
    assert identity() == first
    file.write_text(file.read_text().replace("model: m,", "model: n,"))
    assert identity() != first
