"""More supervised fine-tuning of a finished arm: the control that a DPO arm has to beat.

DPO gets its parent's training and preference pairs on top. This arm gets the same parent and as much on top, in tokens,
as the DPO arm: a pair is two sequences (chosen and rejected), so as a rule two examples equal a pair. It goes on in the
data where the parent stopped, under its own optimiser and schedule.
"""

from __future__ import annotations

import time

from harness.arms import Progress, TrainResult, artefacts, dpo
from harness.arms.parents import load_parent, read_parent
from harness.arms.sft import refuse_unknown_tokens, validator
from harness.arms.training.order import derived_seed, shortest, training_order
from harness.arms.untrained import load as load
from harness.config import DpoSpec, SftContinuedSpec
from harness.data.prompts import Prompter
from harness.errors import SpecError
from harness.records import Ledger, RunPlan, TrainingData

VERSION = 2
EXAMPLES_A_PAIR = 2
"""Sequences of a preference pair; what a pair counts where its tokens are not known beforehand."""


def train(plan: RunPlan, data: TrainingData, progress: Progress) -> TrainResult:
    """Train on from the parent of the same seed; see `arms.Arm.train`."""
    done = artefacts.read_result(plan.run_folder)
    if done is not None:
        return done
    from harness.arms import saving
    from harness.arms.training import loop, losses
    from harness.arms.training.job import Job, memory_errors

    arm = plan.arm
    assert isinstance(arm, SftContinuedSpec) and plan.seed is not None
    started = time.perf_counter()
    progress("prepare", 0, 1)
    plan.run_folder.mkdir(parents=True, exist_ok=True)
    parent = read_parent(plan)
    with memory_errors("loading the parent"):
        trainable = load_parent(plan, parent.artefact, dropout=True)
    loop.seed_training(derived_seed(plan.seed, "initialisation"))
    order, note = _order(trainable.prompter, plan, data, parent.ledger)
    rows = {index: trainable.prompter.encode(data.train[index]) for index in sorted(set(order))}
    refuse_unknown_tokens(trainable, rows.values())
    objective = losses.CompletionLoss(trainable.pad_id)
    job = Job.of(plan, (rows, order), objective, validator(trainable, data.validation))
    progress("prepare", 1, 1)
    prepared = time.perf_counter() - started
    spent = loop.run(trainable.model, job, progress)
    costs = Ledger(
        prepare_seconds=prepared,
        truncated_prompts=sum(rows[index].truncated > 0 for index in set(order)),
        parent=parent.ledger,
    )
    return saving.finish(plan, trainable, spent, costs, (note,))


def compared_with(plan: RunPlan) -> DpoSpec:
    """The DPO arm whose budget this arm is given."""
    assert isinstance(plan.arm, SftContinuedSpec)
    for other in plan.experiment.arms:
        if isinstance(other, DpoSpec) and other.name == plan.arm.like:
            return other
    raise SpecError(f"no DPO arm is named {plan.arm.like!r}", field="like", hint="Name one, or give `examples`")


def _order(prompter: Prompter, plan: RunPlan, data: TrainingData, parent: Ledger) -> tuple[list[int], str]:
    """Indices into the train split from where the parent stopped, as many as the budget holds; and why so many."""
    arm = plan.arm
    assert isinstance(arm, SftContinuedSpec)
    if arm.examples is not None:
        return _continued(plan, data, parent, arm.examples), f"{arm.examples} examples more than its parent"
    other = compared_with(plan)
    count = dpo.pair_budget(other, plan, parent)
    if other.pairs == "parent_samples":
        examples = EXAMPLES_A_PAIR * count
        return _continued(plan, data, parent, examples), f"{examples} examples stand for {count} pairs of {arm.like}"
    tokens = dpo.pair_tokens(prompter, plan, dpo.with_file_pairs(other, plan, data)[0], count)
    lengths = [len(prompter.encode(example).input_ids) for example in data.train]
    # As many as hold the tokens wherever in an epoch they begin.
    enough = (tokens // max(1, sum(lengths)) + 2) * len(lengths)
    order = shortest(_continued(plan, data, parent, enough), lengths, tokens)
    return order, f"{len(order)} examples equal the {tokens:,} tokens of {count} pairs of {arm.like}"


def _continued(plan: RunPlan, data: TrainingData, parent: Ledger, examples: int) -> list[int]:
    assert plan.seed is not None
    order = derived_seed(plan.seed, "data_order")
    return training_order(len(data.train), parent.examples + examples, order)[parent.examples :]
