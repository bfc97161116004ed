"""Direct preference optimisation (Rafailov et al. 2023) of an arm that was fine-tuned before with the same seed.

The parent's artefact is loaded and trained on: an adapter stays one adapter, a full model one model. The reference is
the parent itself; its log-probabilities are computed once before training, so no second model is in memory, and are
shared by arms that ask one parent about the same pairs. TRL's DPOTrainer takes no ready token ids; the loss is the same
(a test compares them).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from harness.arms import Progress, TrainResult, artefacts
from harness.arms.parents import load_parent, read_parent
from harness.arms.sft import refuse_unknown_tokens, validator
from harness.arms.training import flops
from harness.arms.training.order import derived_seed, training_order
from harness.arms.untrained import load as load
from harness.config import DpoSpec
from harness.data.preference_files import read_pairs
from harness.data.prompts import Encoded, Prompter
from harness.errors import SpecError
from harness.records import Artefact, Example, Ledger, PreferencePair, RunPlan, TrainingData, digest, from_json
from harness.records.files import read_json, write_json

if TYPE_CHECKING:
    from harness.arms.saving import Trainable

VERSION = 4
PAIRS = "pairs.json"
BATCH = 16
REFERENCES, REFERENCES_FORMAT = "references", 2
"""Folder in the home that shared references lie in, and the version of their files."""


@dataclass(frozen=True, slots=True)
class ScoredPair:
    """A pair that training will see, with the parent's log-probabilities of its answers."""

    pair: PreferencePair
    chosen: float
    rejected: float


@dataclass(frozen=True, slots=True)
class PairFile:
    """What was prepared before the first step; kept, so that a resumed run prepares nothing again."""

    pairs: tuple[ScoredPair, ...]
    seconds: float
    notes: tuple[str, ...]
    flops: float = 0.0
    """Estimated, of sampling from the parent and of its log-probabilities."""


def train(plan: RunPlan, data: TrainingData, progress: Progress) -> TrainResult:
    """Train on from the parent of the same seed; see `arms.Arm.train`."""
    done = artefacts.read_result(plan.run_folder)
    if done is not None:
        return done
    from harness.arms import saving
    from harness.arms.training import loop, losses
    from harness.arms.training.job import Job, memory_errors

    arm = plan.arm
    assert isinstance(arm, DpoSpec) and plan.seed is not None
    started = time.perf_counter()
    progress("prepare", 0, 1)
    data, from_file = with_file_pairs(arm, plan, data)
    plan.run_folder.mkdir(parents=True, exist_ok=True)
    parent = read_parent(plan)
    with memory_errors("loading the parent"):
        # Dropout would make policy and reference differ by noise from the first step (TRL turns it off too).
        trainable = load_parent(plan, parent.artefact, dropout=False)
    loop.seed_training(derived_seed(plan.seed, "initialisation"))
    examples = {example.id: example for example in data.train}
    count = pair_budget(arm, plan, parent.ledger)
    loaded = time.perf_counter() - started
    with memory_errors("preparing preference pairs"):
        prepared = _prepare_pairs(plan, (trainable, parent.artefact), data, count, progress)
    rows = {
        index: losses.PairRow(*_encode(trainable, examples, scored.pair), scored.chosen, scored.rejected)
        for index, scored in enumerate(prepared.pairs)
    }
    order = training_order(len(rows), count, derived_seed(plan.seed, "data_order"))
    objective = losses.PreferenceLoss(trainable.pad_id, arm.beta, arm.sft_weight)
    job = Job.of(plan, (rows, order), objective, validator(trainable, data.validation))
    spent = loop.run(trainable.model, job, progress)
    costs = Ledger(
        prepare_seconds=loaded + prepared.seconds,
        truncated_prompts=sum(rows[index].chosen.truncated > 0 for index in set(order)),
        parent=parent.ledger,
        flops=prepared.flops,
    )
    return saving.finish(plan, trainable, spent, costs, (*from_file, *prepared.notes))


# ---------------------------------------------------------------------------------------------------------- pairs


def pair_budget(arm: DpoSpec, plan: RunPlan, parent: Ledger) -> int:
    """Preference pairs seen: the arm's own number, else half of the budget, in examples (or of what the parent saw)."""
    if arm.examples is not None:
        return arm.examples
    return max(1, (plan.experiment.spec.budget.examples or parent.examples) // 2)


def with_file_pairs(arm: DpoSpec, plan: RunPlan, data: TrainingData) -> tuple[TrainingData, tuple[str, ...]]:
    """`data` with the pairs of the arm's file, and their examples, in place of the task's; and a note of them."""
    if isinstance(arm.pairs, str):
        return data, ()
    file = read_pairs(Path(arm.pairs.path), plan.experiment.task)
    origin = ", ".join(f"{count} of {split} prompts" for split, count in file.splits.items())
    note = f"{len(file.pairs)} preference pairs from a file ({origin})"
    if "validation" in file.splits:
        note += "; its validation loss is measured on prompts that it saw"
    return replace(data, train=(*data.train, *file.examples), pairs=file.pairs), (note,)


def pair_tokens(prompter: Prompter, plan: RunPlan, data: TrainingData, count: int) -> int:
    """Tokens that a DPO arm with `count` of the pairs in `data` trains on: prompt and answer, chosen and rejected."""
    assert plan.seed is not None
    pairs = task_pairs(plan, data, count)
    examples = {example.id: example for example in data.train}
    lengths = [
        sum(len(prompter.encode(examples[pair.example], text).input_ids) for text in (pair.chosen, pair.rejected))
        for pair in pairs
    ]
    return sum(lengths[index] for index in training_order(len(pairs), count, derived_seed(plan.seed, "data_order")))


def _prepare_pairs(
    plan: RunPlan, parent: tuple[Trainable, Artefact], data: TrainingData, count: int, progress: Progress
) -> PairFile:
    """The pairs that will be seen, scored by the parent; read back when an earlier attempt prepared them.

    Seconds and operations of what another training's file already held are counted as if they had been spent here:
    what an arm costs does not depend on its neighbours.
    """
    trainable, artefact = parent
    path = plan.run_folder / PAIRS
    if path.is_file():
        return from_json(PairFile, read_json(path))
    from harness.arms.training import losses

    assert isinstance(plan.arm, DpoSpec)
    started = time.perf_counter()
    notes: tuple[str, ...] = ()
    if plan.arm.pairs != "parent_samples":
        pairs, sampled = task_pairs(plan, data, count), flops.Volume()
    else:
        pairs, sampled, notes = _sampled_pairs(plan, trainable, data, count, progress)
    examples = {example.id: example for example in data.train}
    sides = [side for pair in pairs for side in _encode(trainable, examples, pair)]
    refuse_unknown_tokens(trainable, sides)
    file = plan.home / REFERENCES / f"{reference_identity(plan, artefact, sides)}.json"
    answer, was_kept = shared_reference(file, lambda: _reference(plan, trainable, sides, progress))
    logprobs = answer.logprobs
    scored = tuple(ScoredPair(pair, logprobs[2 * n], logprobs[2 * n + 1]) for n, pair in enumerate(pairs))
    seconds = time.perf_counter() - started
    if was_kept:
        seconds += answer.seconds
    shape = flops.shape_of(trainable.model)
    spent = flops.forward(shape, sampled) + flops.forward(shape, losses.volume(sides))
    result = PairFile(scored, seconds, notes, spent)
    write_json(path, result)
    return result


def task_pairs(plan: RunPlan, data: TrainingData, count: int) -> list[PreferencePair]:
    """As many of the pairs in `data` as will be seen, drawn with the seed."""
    train_ids = {example.id for example in data.train}
    pairs = [pair for pair in data.pairs if pair.example in train_ids and pair.chosen != pair.rejected]
    if not pairs:
        raise SpecError(
            f"task {plan.experiment.task.name} has no preference pairs in its train split",
            field="pairs",
            hint="Give the task `preferences` (chosen and rejected templates), or set `pairs: parent_samples`",
        )
    assert plan.seed is not None
    first = training_order(len(pairs), min(count, len(pairs)), derived_seed(plan.seed, "data_order"))
    return [pairs[index] for index in first]


def _sampled_pairs(
    plan: RunPlan, trainable: Trainable, data: TrainingData, count: int, progress: Progress
) -> tuple[list[PreferencePair], flops.Volume, tuple[str, ...]]:
    """Target against the parent's own greedy answer on train prompts; answers that equal the target make no pair.

    Greedy, because greedy answers are what is scored in the end, and they need no random numbers.
    """
    from harness.models.transformers.causal import CausalModel

    assert plan.seed is not None
    generate = plan.experiment.task.generate
    chosen = training_order(len(data.train), min(count, len(data.train)), derived_seed(plan.seed, "data_order"))
    prompts = [
        (data.train[index], trainable.prompter.encode_prompt(data.train[index], generate.max_new_tokens))
        for index in chosen
    ]
    by_length = sorted(range(len(prompts)), key=lambda at: len(prompts[at][1].prompt))
    settings = trainable.model.generation_config
    sampler = CausalModel(
        trainable.model,
        trainable.tokenizer,
        context=trainable.prompter.context,
    )
    answers: dict[int, str] = {}
    sizes: list[tuple[int, int]] = []
    for start in range(0, len(by_length), BATCH):
        part = by_length[start : start + BATCH]
        asked = [prompts[at][1].prompt for at in part]
        sampled = sampler.generate(asked, generate.max_new_tokens, trainable.prompter.stop_strings)
        answers |= {at: answer.text for at, answer in zip(part, sampled, strict=True)}
        sizes += [(len(prompts[at][1].prompt), len(answer.tokens)) for at, answer in zip(part, sampled, strict=True)]
        progress("sample", len(answers), len(prompts))
    trainable.model.generation_config = settings
    pairs = [
        PreferencePair(example.id, example.references[0], answers[at])
        for at, (example, _) in enumerate(prompts)
        if answers[at].strip() != example.references[0].strip()
    ]
    if not pairs:
        raise SpecError(
            "the parent answers every train prompt with its target, so there is nothing to prefer",
            field="pairs",
            hint="Set `pairs: task`, or leave dpo out",
        )
    volume = flops.Volume(
        sum(map(sum, sizes)), sum(answer for _, answer in sizes), sum(sum(lengths) ** 2 for lengths in sizes)
    )
    return pairs, volume, (f"{len(pairs)} pairs from {len(prompts)} answers of the parent",)


# ------------------------------------------------------------------------------------------------------- reference
# Arms that differ in beta or learning rate alone, trials of a tuning among them, ask one parent about the same pairs.


@dataclass(frozen=True, slots=True)
class Reference:
    """Natural-log probabilities of sequences' targets under a parent, and what they took."""

    logprobs: tuple[float, ...]
    seconds: float


def reference_identity(plan: RunPlan, parent: Artefact, sides: Sequence[Encoded]) -> str:
    """Hash of everything that decides the log-probabilities of `sides` under `parent`."""
    import torch

    base = plan.experiment.base
    precision = [base.dtype, base.autocast, base.attention]
    where = [plan.device, torch.get_num_threads(), torch.__version__]
    tokens = [[side.prompt, side.target] for side in sides]
    return digest([REFERENCES_FORMAT, parent.hash, parent.base_hash, precision, where, tokens], 32)


def shared_reference(path: Path, compute: Callable[[], Reference]) -> tuple[Reference, bool]:
    """What is kept in the file `path`, else what `compute` gives, kept there; and whether it was there.

    A file that cannot be read is made again. Written whole or not at all; two processes write the same.
    """
    try:
        return from_json(Reference, read_json(path)), True
    except (OSError, ValueError, TypeError, KeyError):
        computed = compute()
    # A name of its own for each process, so that two that ask at once do not write into one file.
    own = path.with_name(f"{path.name}.{os.getpid()}")
    write_json(own, computed)
    own.replace(path)
    return computed, False


def _reference(plan: RunPlan, trainable: Trainable, sides: Sequence[Encoded], progress: Progress) -> Reference:
    """The parent's log-probabilities of `sides`."""
    import torch

    from harness.arms.training import losses, packing
    from harness.arms.training.job import mixed

    started = time.perf_counter()
    model = trainable.model
    model.eval()
    packing.examine(model, losses.target_logprobs)
    by_length = sorted(range(len(sides)), key=lambda at: len(sides[at].input_ids))
    logprobs = [0.0] * len(sides)
    with torch.no_grad(), mixed(plan.device, plan.experiment.base.autocast):
        for start in range(0, len(by_length), BATCH):
            part = by_length[start : start + BATCH]
            batch = losses.pad([sides[at] for at in part], trainable.pad_id)
            placed = {name: value.to(model.device) for name, value in batch.items()}
            for at, value in zip(part, losses.target_logprobs(model, **placed).tolist(), strict=True):
                logprobs[at] = value
            progress("reference", min(start + BATCH, len(sides)), len(sides))
    return Reference(tuple(logprobs), time.perf_counter() - started)


def _encode(trainable: Trainable, examples: Mapping[str, Example], pair: PreferencePair) -> tuple[Encoded, Encoded]:
    example = examples[pair.example]
    return trainable.prompter.encode(example, pair.chosen), trainable.prompter.encode(example, pair.rejected)
