"""Scores one artefact on the sealed test suite: predictions, likelihoods and lm-eval's samples, then metrics.

    evals/EVAL_ID/   generate.jsonl  score.jsonl  lm_eval-KIND.jsonl   finished batches, while it is going
                     predictions.jsonl  likelihoods.jsonl  lm_eval.jsonl  scores.jsonl
                     evaluation.json                                   written last: all of it is there

Predictions and likelihoods are what cost time, so they are kept whole batch by whole batch. Scores are computed from
them, again and cheaply, whenever a metric is added.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from harness import arms, environment, metrics
from harness.arms.untrained import prompt_override
from harness.config import BaseModelSpec, LmEvalSpec, TaskSpec
from harness.data import sealing
from harness.data.prompts import Prompter
from harness.experiments.evaluation import predict
from harness.metrics.user_metrics import load_own
from harness.models import Continuation, Logprob, Model
from harness.models.engines import endpoint
from harness.records import (
    Artefact,
    Evaluation,
    Example,
    Likelihood,
    Prediction,
    PreferencePair,
    RetentionText,
    RunPlan,
    Score,
    digest,
    from_json,
    to_json,
)
from harness.records.files import read_json, read_records, write_json, write_records

DONE = "evaluation.json"
SCORED = "scored.json"
"""In a run folder: subject → its evaluation."""
ALWAYS = ("length_limited", "retention_perplexity", "preference_accuracy")
"""Metrics that every evaluation has where its suite allows them."""
ENDPOINT_CHARACTERS, ENDPOINT_ROWS = 1 << 30, 32
RAW = ("generate.jsonl", "score.jsonl", "lm_eval-*.jsonl")


@dataclass(frozen=True, slots=True)
class Seconds:
    """Wall seconds of generation and of everything else."""

    predict: float
    score: float


@dataclass(frozen=True, slots=True)
class Suite:
    """The examples, pairs and texts that an artefact is scored on."""

    examples: tuple[Example, ...]
    pairs: tuple[PreferencePair, ...] = ()
    pair_examples: tuple[Example, ...] = ()
    """Examples whose pairs are held out: test examples, or validation ones where the test split has no pairs."""
    retention: tuple[RetentionText, ...] = ()


def identity(plan: RunPlan, artefact: Artefact) -> str:
    """`eval_id`: artefact × suite × generation settings × the present environment."""
    return digest([*_subject(plan, artefact), environment_of(plan)])


def subject(plan: RunPlan, artefact: Artefact) -> str:
    """Hash of what is scored on what: `identity` without the environment."""
    return digest(_subject(plan, artefact))


def _subject(plan: RunPlan, artefact: Artefact) -> list[Any]:
    base = plan.experiment.base
    # The same weights in another precision are another model. What is the default stands in no identity of before.
    loaded = {"dtype": base.dtype, "attention": base.attention} if plan.arm.method not in ("toy", "endpoint") else {}
    chosen = {name: value for name, value in loaded.items() if value != BaseModelSpec.model_fields[name].default}
    return [
        artefact.hash,
        plan.files.suite_fingerprint,
        plan.experiment.task.generate.model_dump(mode="json"),
        base.context,
        *([chosen] if chosen else []),
    ]


def environment_of(plan: RunPlan) -> dict[str, str]:
    """Versions and hardware that may move the scores of `plan`; for an endpoint only its server knows them."""
    if plan.arm.method == "endpoint":
        return environment.REMOTE
    return environment.scoring_environment(plan.device)


def find(plan: RunPlan, artefact: Artefact) -> str | None:
    """The id of the complete evaluation of `artefact`: its first one, in whatever environment; None without any.

    An upgrade of a library does not make finished work unfinished. With `plan.rescore` only an evaluation in the
    present environment counts.
    """
    here = identity(plan, artefact)
    noted = _noted(plan).get(subject(plan, artefact))
    if noted is not None and is_complete(plan.home / "evals" / noted) and (noted == here or not plan.rescore):
        return noted
    complete = is_complete(plan.home / "evals" / here)
    return here if complete and (noted is None or not plan.rescore) else None


def note(plan: RunPlan, artefact: Artefact, eval_id: str) -> None:
    """Remember in the run folder that `eval_id` is the evaluation of `artefact`."""
    write_json(plan.run_folder / SCORED, {**_noted(plan), subject(plan, artefact): eval_id})


def _noted(plan: RunPlan) -> dict[str, str]:
    path = plan.run_folder / SCORED
    return dict(read_json(path)) if path.exists() else {}


def is_complete(folder: Path) -> bool:
    """Whether the evaluation in `folder` went to its end."""
    return (folder / DONE).exists()


def read_suite(plan: RunPlan) -> Suite:
    """The sealed suite; the only reader of the test split outside `prepare`."""
    sealed = sealed_folder(plan)
    return Suite(
        examples=tuple(read_records(sealed / "test.jsonl", Example)),
        pairs=tuple(read_records(sealed / "pairs.jsonl", PreferencePair)),
        pair_examples=tuple(read_records(sealed / "pair_examples.jsonl", Example)),
        retention=tuple(read_records(sealed / "retention.jsonl", RetentionText)),
    )


def sealed_folder(plan: RunPlan) -> Path:
    """The folder of the test split. Raises UsageError for a plan that a trainer holds, which does not say."""
    if plan.files.sealed is None:
        raise sealing.refusal()
    return plan.files.sealed


def evaluate(plan: RunPlan, artefact: Artefact, progress: arms.Progress) -> Seconds:
    """Score `artefact` into its evaluation folder, going on from the last finished batch of an earlier try."""
    name = identity(plan, artefact)
    folder = plan.home / "evals" / name
    if is_complete(folder):
        stored = read_json(folder / DONE)
        return Seconds(**stored["seconds"])
    folder.mkdir(parents=True, exist_ok=True)
    suite = read_suite(plan)
    with closing(arms.family(plan.arm.method).load(plan, artefact)) as model:
        scorer = Scorer(plan, model, suite, folder, name)
        started = time.perf_counter()
        predictions = scorer.predictions(progress)
        predicted = time.perf_counter()
        likelihoods = scorer.likelihoods(progress)
        write_records(folder / "predictions.jsonl", predictions)
        scores, choices, withheld = scorer.lm_eval(progress)
        write_records(folder / "lm_eval.jsonl", scores)
        write_records(folder / "likelihoods.jsonl", [*likelihoods, *choices])
        write_records(folder / "scores.jsonl", score(plan, name, folder, suite))
    # Batches that a killed scoring finished took time as well.
    generating = max(predicted - started, sum(row.seconds for row in predictions))
    seconds = Seconds(generating, time.perf_counter() - predicted)
    decoding = getattr(model, "generation_settings", None)  # a local model has them
    generation = plan.experiment.task.generate.model_dump(mode="json")
    record = Evaluation(
        eval_id=name,
        train_id=plan.train_id,
        artefact_hash=artefact.hash,
        suite_fingerprint=plan.files.suite_fingerprint,
        generation=generation if decoding is None else {**generation, "config": to_json(decoding)},
        environment=environment_of(plan),
        created=environment.now(),
        subject=subject(plan, artefact),
        unavailable={**unavailable(plan), **withheld},
        hardware={} if plan.arm.method == "endpoint" else environment.scoring_hardware(),
    )
    write_json(folder / DONE, {"seconds": seconds, "evaluation": record})
    for pattern in RAW:
        for path in folder.glob(pattern):
            path.unlink()
    return seconds


def read_evaluation(folder: Path) -> Evaluation:
    """The record of a complete evaluation."""
    return from_json(Evaluation, read_json(folder / DONE)["evaluation"])


def score(plan: RunPlan, eval_id: str, folder: Path, suite: Suite) -> list[Score]:
    """Scores of every metric that the task declares, from stored predictions and likelihoods; needs no model."""
    task = plan.experiment.task
    names = list(dict.fromkeys([task.metrics.primary, *task.metrics.also, *ALWAYS]))
    predictions = list(read_records(folder / "predictions.jsonl", Prediction))
    likelihoods = list(read_records(folder / "likelihoods.jsonl", Likelihood))
    own = own_metrics(plan)
    scores = [
        *metrics.score_predictions(names, eval_id, predictions, suite.examples, task.facts, own),
        *metrics.score_likelihoods(names, likelihoods),
        *read_records(folder / "lm_eval.jsonl", Score),
    ]
    if "likelihood" in unavailable(plan):
        items = {
            "test": [example.id for example in suite.examples],
            "retention": [text.id for text in suite.retention],
            "preferences": list(dict.fromkeys(pair.example for pair in suite.pairs)),
        }
        scores += metrics.missing_likelihoods(names, eval_id, items)
    return scores


def unavailable(plan: RunPlan) -> dict[str, str]:
    """Source of a metric → why no model of the method of `plan` has a value for it."""
    return dict(endpoint.UNAVAILABLE) if plan.arm.method == "endpoint" else {}


def own_metrics(plan: RunPlan) -> dict[str, metrics.Metric]:
    """The user's own metrics that the task declares, by name."""
    task = plan.experiment.task
    declared = (task.metrics.primary, *task.metrics.also)
    return load_own(declared, plan.experiment.task_dir, sensitive=task.sensitive)


def modules(task: TaskSpec) -> list[str]:
    """Libraries that scoring an arm on `task` imports, beside those of its model."""
    lm_eval = task.lm_eval is not None or (task.retention is not None and task.retention.tasks is not None)
    names = metrics.modules([task.metrics.primary, *task.metrics.also])
    return [*names, "datasets", "lm_eval.evaluator"] if lm_eval else names


@dataclass(frozen=True, slots=True)
class Scorer:
    """Asks one model for predictions, likelihoods and lm-eval's samples over one suite; keeps batches in `folder`."""

    plan: RunPlan
    model: Model
    suite: Suite
    folder: Path
    eval_id: str

    def _settings(self) -> predict.Settings:
        generate = self.plan.experiment.task.generate
        return predict.Settings(
            eval_id=self.eval_id,
            batch_tokens=self.plan.experiment.spec.resources.batch_tokens,
            max_new_tokens=generate.max_new_tokens,
            stop=self._prompter().stop_strings,
        )

    def _prompter(self) -> Prompter:
        experiment = self.plan.experiment
        return Prompter(
            self.model.tokenizer, experiment.spec.chat, experiment.task, self.model.context, prompt_override(self.plan)
        )

    def predictions(self, progress: arms.Progress) -> list[Prediction]:
        """Answers to the suite's examples."""
        settings, as_ids = self._settings(), None
        if isinstance(self.model, endpoint.EndpointModel):
            # Batches are what a kill can lose; how many tokens fit one is the server's affair.
            settings = replace(settings, batch_tokens=ENDPOINT_CHARACTERS, max_rows=ENDPOINT_ROWS)
            as_ids = self.model.ids
        limit = settings.max_new_tokens
        requests = predict.generation_requests(self._prompter(), self.suite.examples, limit, as_ids)
        return predict.predict(self.model, requests, settings, self.folder / "generate.jsonl", progress)

    def likelihoods(self, progress: arms.Progress) -> list[Likelihood]:
        """Log-probabilities of targets, held-out pairs and retention texts."""
        if "likelihood" in unavailable(self.plan):
            return []
        prompter = self._prompter()
        by_id = {example.id: example for example in (*self.suite.pair_examples, *self.suite.examples)}
        requests = [
            *predict.target_requests(prompter, self.suite.examples),
            *predict.preference_requests(prompter, by_id, self.suite.pairs),
            *predict.retention_requests(self.model, self.suite.retention, self.model.context),
        ]
        return predict.likelihoods(self.model, requests, self._settings(), self.folder / "score.jsonl", progress)

    def lm_eval(self, progress: arms.Progress) -> tuple[list[Score], list[Likelihood], dict[str, str]]:
        """The task's own lm-eval tasks, and those of its retention, whose scores have suites `retention:TASK`; and
        metric → why its values cannot be shown."""
        task = self.plan.experiment.task
        scores, likelihoods, withheld = self._lm_eval(task.lm_eval, "", progress)
        kept, choices, more = self._lm_eval(task.retention.tasks if task.retention else None, "retention-", progress)
        scores += [replace(row, suite=f"retention:{row.suite.partition(':')[2]}") for row in kept]
        likelihoods += [replace(row, suite=f"retention:{row.suite.partition(':')[2]}") for row in choices]
        return scores, likelihoods, withheld | more

    def _lm_eval(
        self, spec: LmEvalSpec | None, kept_in: str, progress: arms.Progress
    ) -> tuple[list[Score], list[Likelihood], dict[str, str]]:
        # lm-eval builds its own prompts: few-shot examples do not reach them, so a few-shot arm would repeat untrained.
        if spec is None or self.plan.arm.method in ("toy", "few_shot") or "lm_eval" in unavailable(self.plan):
            return [], [], {}
        from harness.experiments.evaluation import lm_eval_scores
        from harness.models import lm_eval_tasks

        settings = self._settings()

        def named(_: str, done: int, total: int) -> None:
            progress("lm-eval", done, total)

        def run(kind: str, requests: Sequence[Continuation]) -> list[Logprob]:
            out = self.folder / f"lm_eval-{kept_in}{kind}.jsonl"
            return predict.score(self.model, requests, settings, out, named)

        context = lm_eval_tasks.LmEvalContext(
            task_dir=self.plan.experiment.task_dir,
            sealed=sealed_folder(self.plan),
            eval_id=self.eval_id,
            batch_tokens=settings.batch_tokens,
            max_rows=settings.max_rows,
            score=run,
            chat=lm_eval_scores.chat(self._prompter()) if spec.apply_chat_template else None,
        )
        results = lm_eval_tasks.evaluate(self.model, spec, context, progress)
        scores, withheld = lm_eval_scores.agreeing(results)
        return scores, results.likelihoods, withheld
