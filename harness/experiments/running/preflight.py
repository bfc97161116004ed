"""Checks before any training what can be known to fail, so that a mistake costs seconds and not a night."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from harness import arms
from harness.experiments.evaluation.evaluate import read_suite
from harness.experiments.loading.check import lm_eval_notes
from harness.experiments.running.worker import read_training
from harness.models.transformers import base_cache
from harness.records import RunPlan, TrainingData

APART = (
    "what the chat template writes before an answer does not end where a token of the whole ends, so that both are"
    " tokenised apart, as generation needs it: an imported model that was trained on whole texts may answer worse"
)
BARE = (
    "lm-eval's documents are put as bare text to models whose prompts go through a chat template:"
    " apply_chat_template: true, under lm_eval or retention, puts them as turns"
)


def examine(plans: Sequence[RunPlan], say: Callable[[str], None]) -> None:
    """Check the plans that are about to be executed, and `say` what is worth a note.

    Raises ModelError for a base or an imported artefact that cannot be used, DataError for a target that does not fit
    the context or a right answer that would not get its best value, SpecError for settings that leave no room for a
    prompt.
    """
    real = [plan for plan in plans if plan.arm.method != "toy"]
    if plans and not real:  # no model is named: whether the metrics know the right answers can still be said
        from harness.experiments.evaluation import door

        for note in door.check(None, plans[0].experiment.task, read_suite(plans[0]).examples, ()):
            say(f"note: {note}")
    if not real:
        return
    for note in lm_eval_notes(real[0].experiment.task, real[0].experiment.task_dir):
        say(f"note: {note}")
    _answers_fit(real[0], say, any(plan.arm.method == "imported" for plan in real))
    for plan in real:
        if plan.arm.method == "imported":
            sealed = replace(plan, files=replace(plan.files, sealed=None))
            arms.family("imported").train(sealed, TrainingData((), (), ()), lambda phase, done, total: None)
            # Others train and score, perhaps in processes of their own: this one keeps no base for them.
            base_cache.BASE.drop()


def _answers_fit(plan: RunPlan, say: Callable[[str], None], elsewhere: bool) -> None:
    """Tokenise every target of every split once (a target is never cut, so each must fit), and score the right ones.

    `elsewhere`: some models were not trained here, on these tokens.
    """
    from harness.experiments.evaluation import door
    from harness.models.transformers import loading

    experiment = plan.experiment
    folder = loading.resolve_base(experiment.base)
    prompter = door.prompter(folder, experiment.base, experiment.spec.chat, experiment.task)
    data = read_training(plan.files.folder)
    suite = read_suite(plan)
    for example in data.train:
        prompter.encode(example)
    for example in suite.examples[:1]:
        prompter.encode_prompt(example, experiment.task.generate.max_new_tokens)
    scored = (*data.validation, *suite.examples)
    ends = door.end_ids(prompter.tokenizer, folder)
    bare = [
        suite
        for suite in (experiment.task.lm_eval, experiment.task.retention and experiment.task.retention.tasks)
        if suite
    ]
    if prompter.uses_chat and any(not suite.apply_chat_template for suite in bare):
        say(f"note: {BARE}")
    for note in (*prompter.notes, *door.check(prompter, experiment.task, scored, ends)):
        say(f"note: {note}")
    if elsewhere and prompter.uses_chat and prompter.apart:
        say(f"note: {APART}")
