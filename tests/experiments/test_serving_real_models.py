"""Serving figures of a tiny real model through the session, in this process: real prompts, real generation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from harness.experiments import pipeline, speed
from harness.experiments.running import plans as run_plans
from harness.experiments.running.context import RunContext
from harness.experiments.speed import probes
from harness.experiments.speed.probes import Job
from harness.experiments.speed.processes import batches
from harness.progress import Reporter
from harness.records import ServingProbe, ServingVisit
from harness.results import queries
from harness.results.leaderboard.serving import MEASURES
from harness.results.render.json import serving_to_json

EXPERIMENT = """
task: task
base_model: base
arms: [untrained, {method: few_shot, k: 3}]
budget: {examples: 4}
resources: {threads: 1, device: cpu}
"""


class InProcess:
    """Measures in this process what Processes measures in processes."""

    def probe(self, job: Job) -> ServingProbe:
        found = probes.hold(job)
        tries = tuple(probes.attempt(rows) for rows in batches(job.settings.batches))
        return ServingProbe(found.weights_bytes, found.memory_kind, tries)

    def visit(self, job: Job, rows: int | None) -> ServingVisit:
        return probes.visit(job, rows)


@pytest.fixture
def base(project: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    from tiny_models import save_model

    monkeypatch.chdir(project)
    save_model(project / "base", max_position_embeddings=512)
    task = project / "task" / "task.yaml"
    task.write_text(
        task.read_text().replace("max_new_tokens: 60", "max_new_tokens: 4") + "allow_unreachable: short answers\n"
    )
    (project / "x.yaml").write_text(EXPERIMENT)
    yield project
    probes.drop()


def test_figures_of_real_models(base: Path) -> None:
    file = base / "x.yaml"
    home = base / "home"
    with Reporter() as reporter:
        assert not pipeline.run(file, home, reporter).failed
        file.write_text(EXPERIMENT + "serving: {rounds: 2, prompts: 3, new_tokens: 5, batches: 4}\n")
        experiment = pipeline.load(file)
        prepared = pipeline.prepare(experiment, home)
        plans = run_plans.plan_runs(experiment, prepared, home)
        store = queries.open_store(home)
        [known] = store.experiments()
        looks = store.looks()
        assert experiment.spec.serving is not None
        jobs = speed.jobs(plans, experiment.spec.serving)
        made = speed.measure(RunContext(home, store, known, reporter), jobs, bench=InProcess())
    assert made is not None and [arm.status for arm in made.arms] == ["ok", "ok"]
    for arm in made.arms:
        assert arm.probe is not None and [one.rows for one in arm.probe.tries] == [1, 2, 4]
        assert all((one.memory_bytes or 0) > (arm.probe.weights_bytes or 0) > 50_000 for one in arm.probe.tries)
        assert {visit.single_tokens for visit in arm.visits} == {15}, "3 prompts of exactly 5 tokens"
        assert {visit.batch_tokens for visit in arm.visits} == {20}, "4 of them"
    table = queries.board(home, None).serving
    assert table is not None and table.reference == "untrained"
    few, plain = table.of("few_shot"), table.of("untrained")
    assert few is not None and plain is not None
    assert (few.prompt_tokens or 0) > 3 * (plain.prompt_tokens or 1), "few-shot examples are its honest cost"
    assert set(plain.figures) == set(few.ratios) == set(MEASURES)
    assert all(one.value == 1.0 for one in plain.ratios.values())
    assert store.looks() == looks and len(looks) == 2
    assert json.loads(json.dumps(serving_to_json(queries.board(home, None))))["pass"]["pass_id"] == made.pass_id
