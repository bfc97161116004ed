"""Checks before any training what can be known to fail, so that a mistake costs seconds and not a night."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from harness import arms
from harness.experiments.evaluation.evaluate import read_suite
from harness.experiments.running.worker import read_training
from harness.models.transformers import base_cache
from harness.records import RunPlan, TrainingData


def examine(plans: Sequence[RunPlan]) -> None:
    """Check the plans that are about to be executed.

    Raises ModelError for a base or an imported artefact that cannot be used, DataError for a target that does not fit
    the context, SpecError for settings that leave no room for a prompt.
    """
    real = [plan for plan in plans if plan.arm.method != "toy"]
    if not real:
        return
    _targets_fit(real[0])
    for plan in real:
        if plan.arm.method == "imported":
            sealed = replace(plan, files=replace(plan.files, sealed=None))
            arms.family("imported").train(sealed, TrainingData((), (), ()), lambda phase, done, total: None)
            # Others train and score, perhaps in processes of their own: this one keeps no base for them.
            base_cache.BASE.drop()


def _targets_fit(plan: RunPlan) -> None:
    """Tokenise every target of every split once: a target is never cut, so each must fit."""
    from transformers import AutoConfig

    from harness.data.prompts import Prompter, context_length
    from harness.models.transformers import loading

    experiment = plan.experiment
    folder = loading.resolve_base(experiment.base)
    config = AutoConfig.from_pretrained(str(folder), local_files_only=True)
    context = context_length(experiment.base, config)
    prompter = Prompter(loading.load_tokenizer(folder), experiment.spec.chat, experiment.task, context)
    data = read_training(plan.files.folder)
    suite = read_suite(plan)
    for example in (*data.train, *data.validation, *suite.examples):
        prompter.encode(example)
    for example in suite.examples[:1]:
        prompter.encode_prompt(example, experiment.task.generate.max_new_tokens)
