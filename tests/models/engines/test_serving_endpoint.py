"""Serving figures through a URL: what can be known of them, and what cannot."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from fake_server import Answer, said, serving

from harness.config import ServingSpec
from harness.data.prepare import prepare
from harness.errors import ArmFailed
from harness.experiments import pipeline
from harness.experiments.running import plans as run_plans
from harness.experiments.speed import probes
from harness.experiments.speed.probes import Job
from harness.records import Artefact

ROOT = Path(__file__).parents[3]
EXPERIMENT = f"""
task: task
base_model: {ROOT / "baselines" / "base"}
arms:
  - {{method: endpoint, name: served, url: URL, model: m, retries: 0}}
budget: {{examples: 10}}
reference: untrained
"""
TASK = """
name: echo
data: {path: rows.jsonl, licence: CC0-1.0}
id: id
prompt: "Say: {{ words }}"
target: "{{ words }}"
splits: {test: 0.3, validation: 0.2}
generate: {max_new_tokens: 4}
allow_unreachable: a test needs no long answers
metrics: {primary: exact_match}
"""


def job_of(folder: Path, url: str) -> Job:
    (folder / "task").mkdir()
    rows = [{"id": f"e{number}", "words": f"{number * 7919} {number * 31}"} for number in range(1, 31)]
    (folder / "task" / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "task" / "task.yaml").write_text(TASK)
    (folder / "x.yaml").write_text(EXPERIMENT.replace("URL", url))
    experiment = pipeline.load(folder / "x.yaml")
    plans = run_plans.plan_runs(experiment, prepare(experiment, folder / "home"), folder / "home")
    plan = next(plan for plan in plans if plan.arm_name == "served")
    artefact = Artefact("endpoint", "", "", None, "", None, "", "", hash="h")
    return Job(plan, artefact, ServingSpec(rounds=2, prompts=2, new_tokens=9, batches=4))


def test_latency_and_rate_come_through_the_url_and_the_rest_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    def answer(body: dict[str, Any]) -> Answer:
        time.sleep(0.02)
        return said("abc")  # counted as 3 tokens, whatever was asked for

    with serving(answer) as server:
        job = job_of(tmp_path, server.url)
        assert not job.forced
        probe = probes.hold(job)
        assert (probe.weights_bytes, probe.memory_kind, probe.tries, probe.batch) == (None, None, (), None)
        found = probes.visit(job, None)
        asked = [body["max_tokens"] for body in server.bodies]
        assert asked == [4, 1, 1, 9, 9], "a warm-up, a token for each prompt, then the whole of each"
        assert all(body["prompt"].startswith("Say: ") for body in server.bodies)
        assert min(found.first_token_seconds) >= 0.02 and found.single_seconds >= 0.04
        assert (found.single_tokens, found.batch_rows, found.batch_tokens, found.batch_seconds) == (6, None, None, None)

        server.answer = lambda body: (200, json.dumps({"choices": [{"text": "", "index": 0}]}).encode(), {})
        with pytest.raises(ArmFailed, match="generated nothing"):
            probes.visit(job, None)
