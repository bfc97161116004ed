"""Scores one tuning trial on the validation split, which tuning chooses by; the test split is out of reach here.

validations/ID/   generate.jsonl or score.jsonl (finished batches)  predictions.jsonl  likelihoods.jsonl
                  validation.json, written last
"""

from __future__ import annotations

import math
import time
from contextlib import closing
from pathlib import Path

from harness import arms, environment, metrics
from harness.config import DpoSpec, TuningSpec
from harness.experiments.evaluation.evaluate import Scorer, Suite, own_metrics
from harness.metrics import Metric
from harness.metrics.user_metrics import known_metric
from harness.models import Model
from harness.records import Artefact, Example, RunPlan, Score, TrainLogRow, Validation, digest, from_json
from harness.records.files import read_json, read_records, write_json, write_records

DONE = "validation.json"


def identity(plan: RunPlan, artefact: Artefact) -> str:
    """Artefact × validation data × what is asked of it × environment."""
    tuning = _tuning(plan)
    return digest(
        [
            artefact.hash,
            plan.files.fingerprint,
            [tuning.examples, _asks(plan)],
            plan.experiment.task.metrics.primary,
            plan.experiment.task.generate.model_dump(mode="json"),
            plan.experiment.base.context,
            environment.scoring_environment(plan.device),
        ]
    )


def read(plan: RunPlan, artefact: Artefact) -> Validation | None:
    """The finished validation of a trial, or None."""
    path = _folder(plan, artefact) / DONE
    return from_json(Validation, read_json(path)) if path.exists() else None


def validate(plan: RunPlan, artefact: Artefact, progress: arms.Progress) -> Validation:
    """Ask the trial's model what tuning chooses by, going on from the last finished batch of an earlier try."""
    done = read(plan, artefact)
    if done is not None:
        return done
    folder = _folder(plan, artefact)
    task = plan.experiment.task
    metric = known_metric(task.metrics.primary, plan.experiment.task_dir, sensitive=task.sensitive)
    examples: tuple[Example, ...] = ()
    value, seconds = None, 0.0
    if _asks(plan):
        examples = validation_examples(plan)
        with closing(arms.family(plan.arm.method).load(plan, artefact)) as model:
            started = time.perf_counter()
            value = _value(metric, scores_of(plan, model, examples, folder, progress))
            seconds = time.perf_counter() - started
    losses = [row.validation_loss for row in read_records(plan.run_folder / "train_log.jsonl", TrainLogRow)]
    last = next((loss for loss in reversed(losses) if loss is not None), None)
    result = Validation(metric.name, value, last, len(examples), seconds)
    write_json(folder / DONE, result)
    return result


def validation_examples(plan: RunPlan) -> tuple[Example, ...]:
    """At most `tuning.examples` validation examples, picked by a hash of their ids; in data order."""
    every = list(read_records(plan.files.folder / "validation.jsonl", Example))
    ranked = sorted(every, key=lambda example: digest(["tuning", example.id]))[: _tuning(plan).examples]
    picked = {example.id for example in ranked}
    return tuple(example for example in every if example.id in picked)


def _tuning(plan: RunPlan) -> TuningSpec:
    tuning = plan.experiment.spec.tuning
    assert tuning is not None, "a trial belongs to an experiment with tuning"
    return tuning


def _asks(plan: RunPlan) -> bool:
    """Whether the model is asked for the primary metric: a DPO arm always, its objective is not the loss."""
    return _tuning(plan).choose_by == "primary" or isinstance(plan.arm, DpoSpec)


def _folder(plan: RunPlan, artefact: Artefact) -> Path:
    return plan.home / "validations" / identity(plan, artefact)


def scores_of(
    plan: RunPlan, model: Model, examples: tuple[Example, ...], folder: Path, progress: arms.Progress
) -> list[Score]:
    """The primary metric's score of each of these examples; finished batches are kept in `folder`, its name the id."""
    task, name = plan.experiment.task, folder.name
    scorer = Scorer(plan, model, Suite(examples), folder, name)
    if metrics.metric(task.metrics.primary).source == "likelihood":
        rows = scorer.likelihoods(progress)
        write_records(folder / "likelihoods.jsonl", rows)
        return metrics.score_likelihoods([task.metrics.primary], rows)
    answers = scorer.predictions(progress)
    write_records(folder / "predictions.jsonl", answers)
    return metrics.score_predictions([task.metrics.primary], name, answers, examples, task.facts, own_metrics(plan))


def _value(metric: Metric, scores: list[Score]) -> float | None:
    """The metric over all examples: a mean, or what summed statistics combine to."""
    if metric.combine is not None:
        import numpy as np

        rows = [score.statistics for score in scores if score.status == "ok" and score.statistics is not None]
        total = float(metric.combine(np.asarray(rows).sum(axis=0))) if rows else math.nan
        return total if math.isfinite(total) else None
    values = [score.value for score in scores if score.status == "ok" and score.value is not None]
    return sum(values) / len(values) if values else None
