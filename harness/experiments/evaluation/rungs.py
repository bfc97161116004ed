"""Scores one training at one rung of a race, on validation examples; never on the test split.

runs/TRAIN_ID/rungs/SHARE/   run.json          the training's record when it had come to this share of its budget
                             ASKED/FIRST-END.json    its values on these groups of the rung's order
                             ASKED/FIRST-END/        finished batches, while it is going
"""

from __future__ import annotations

import shutil
import time
from contextlib import closing
from pathlib import Path

from harness import arms
from harness.arms import artefacts
from harness.experiments.evaluation import validate
from harness.experiments.evaluation.evaluate import Scorer, Suite
from harness.models import Model
from harness.records import Example, Rung, RungScores, RunPlan, RunRecord, digest, from_json, rung_folder
from harness.records.files import read_json, read_records, write_json
from harness.stats import elimination


def rung_of(plan: RunPlan) -> Rung:
    """The rung of a plan that has one."""
    assert plan.rung is not None, "a plan without a rung is trained to its end"
    return plan.rung


def read(plan: RunPlan) -> tuple[RunRecord, RungScores] | None:
    """The record and the scores that a plan asks for; None where one is missing."""
    folder, scores = rung_folder(plan.run_folder, rung_of(plan)), _scores_file(plan)
    if not (folder / "run.json").exists() or not scores.exists():
        return None
    return from_json(RunRecord, read_json(folder / "run.json")), from_json(RungScores, read_json(scores))


def keep(plan: RunPlan, record: RunRecord) -> None:
    """Note that a training has come to its rung."""
    write_json(rung_folder(plan.run_folder, rung_of(plan)) / "run.json", record)


def trained(plan: RunPlan) -> RunRecord | None:
    """The record of a training at its rung; None where its model of that moment is not on disk any more."""
    file = rung_folder(plan.run_folder, rung_of(plan)) / "run.json"
    if not file.exists():
        return None
    record = from_json(RunRecord, read_json(file))
    if record.artefact is None or record.artefact.path is None:
        return None
    model = plan.run_folder / record.artefact.path
    # A later rung writes to the same place.
    return record if model.is_dir() and artefacts.files_hash(model) == record.artefact.files_hash else None


def score(plan: RunPlan, record: RunRecord, progress: arms.Progress) -> RungScores:
    """Values of the groups that the plan's rung asks for, going on from the last finished batch of an earlier try."""
    rung, started = rung_of(plan), time.perf_counter()
    assert record.artefact is not None
    members = by_group(plan)
    spec = plan.experiment.spec.racing
    assert spec is not None
    groups = elimination.shuffled(members, spec.seed, rung.number)[rung.first : rung.end]
    examples = tuple(example for group in groups for example in members[group])
    values: dict[str, float] = {}
    if examples:
        name = digest([record.artefact.hash, rung, spec.metric])
        folder = _scores_file(plan).with_suffix("") / name
        with closing(arms.family(plan.arm.method).load(plan, record.artefact)) as model:
            values = _values(plan, model, examples, folder, progress)
    scores = RungScores(
        values=tuple(
            _mean([values[example.id] for example in members[group] if example.id in values]) for group in groups
        ),
        examples=len(examples),
        seconds=time.perf_counter() - started,
    )
    write_json(_scores_file(plan), scores)
    shutil.rmtree(_scores_file(plan).with_suffix(""), ignore_errors=True)
    return scores


def by_group(plan: RunPlan) -> dict[str, list[Example]]:
    """Validation examples by group."""
    members: dict[str, list[Example]] = {}
    for example in read_records(plan.files.folder / "validation.jsonl", Example):
        members.setdefault(example.group, []).append(example)
    return members


def _values(
    plan: RunPlan, model: Model, examples: tuple[Example, ...], folder: Path, progress: arms.Progress
) -> dict[str, float]:
    """Example → its value of the race's metric, as the metric has it; examples without one are left out."""
    assert plan.experiment.spec.racing is not None
    if plan.experiment.spec.racing.metric == "primary":
        scores = validate.scores_of(plan, model, examples, folder, progress)
        return {row.item: row.value for row in scores if row.status == "ok" and row.value is not None}
    rows = Scorer(plan, model, Suite(examples), folder, folder.name).likelihoods(progress)
    return {row.item: -row.logprob / row.tokens for row in rows if row.tokens}


def _mean(values: list[float]) -> float | None:
    return sum(values) / len(values) if values else None


def _scores_file(plan: RunPlan) -> Path:
    rung, spec, task = rung_of(plan), plan.experiment.spec.racing, plan.experiment.task
    assert spec is not None, "a rung belongs to an experiment with racing"
    asked = ["loss"] if spec.metric == "loss" else [task.metrics.primary, task.generate.model_dump(mode="json")]
    order = digest([asked, spec.seed, rung.number, plan.experiment.base.context], 8)
    return rung_folder(plan.run_folder, rung) / order / f"{rung.first}-{rung.end}.json"
