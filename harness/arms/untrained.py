"""Arms without training: the base model as it is, and the base model shown worked examples (few-shot)."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from pathlib import Path

from harness.arms import Progress, TrainResult, artefacts
from harness.config import BaseModelSpec, FewShotSpec
from harness.data.prompts import Prompter, PromptOverride
from harness.errors import DataError
from harness.models import Model
from harness.records import Artefact, Example, Ledger, RunPlan, TrainingData, digest, from_json
from harness.records.files import write_records

VERSION = 1
SHOTS = "shots.jsonl"
SHORT_BAND = (0.1, 0.5)
"""Worked examples come from this band of lengths: neither freaks nor so long that they fill the context."""


def train(plan: RunPlan, data: TrainingData, progress: Progress) -> TrainResult:
    """Choose and write down the worked examples, if any; nothing is trained."""
    done = artefacts.read_result(plan.run_folder)
    if done is not None and (not isinstance(plan.arm, FewShotSpec) or _shots_file(plan).is_file()):
        return done
    started = time.perf_counter()
    plan.run_folder.mkdir(parents=True, exist_ok=True)
    if isinstance(plan.arm, FewShotSpec):
        shots = choose_shots(data.train, plan.arm.k)
        artefacts.write_folder(plan, lambda folder: write_records(folder / SHOTS, shots))
    override = prompt_override(plan)
    artefact = artefacts.describe(plan, "base", None, template_hash(plan, override), prefix_hash=override.hash)
    progress("prepare", 1, 1)
    ledger = Ledger(prepare_seconds=time.perf_counter() - started)
    return artefacts.write_result(plan.run_folder, TrainResult(artefact, ledger))


def load(plan: RunPlan, artefact: Artefact) -> Model:
    """The model of an untrained, trained or imported arm, ready to score. Raises ModelError."""
    from harness.models.transformers import loading

    return loading.load_artefact(plan, artefact)


def prompt_override(plan: RunPlan) -> PromptOverride:
    """How the arm of `plan` changes the prompt when it is scored, whatever its method; most arms do not."""
    shots: tuple[Example, ...] = ()
    if isinstance(plan.arm, FewShotSpec):
        lines = _shots_file(plan).read_text(encoding="utf-8").splitlines()
        shots = tuple(from_json(Example, json.loads(line)) for line in lines)
    return PromptOverride(prompt=getattr(plan.arm, "prompt", None), shots=shots)


def choose_shots(train: Sequence[Example], k: int) -> tuple[Example, ...]:
    """k worked examples: rather short ones, of different groups where possible, picked by a hash of their ids.

    Untrained arms have no seed, so the choice is a function of the train split alone.
    """
    if len(train) < k:
        raise DataError(f"few_shot wants {k} worked examples, the train split has {len(train)}", hint="Lower k")
    ranked = sorted(train, key=lambda example: (_length(example), example.id))
    low, high = (int(share * len(ranked)) for share in SHORT_BAND)
    band = ranked[low : max(high, low + k)]
    if len(band) < k:
        band = ranked
    picked: list[Example] = []
    hashed = sorted(band, key=lambda example: digest(["shot", example.id]))
    for fresh in (True, False):
        for example in hashed:
            groups = {shot.group for shot in picked}
            if len(picked) < k and example not in picked and (not fresh or example.group not in groups):
                picked.append(example)
    return tuple(picked)


def _length(example: Example) -> int:
    turns = sum(len(message.content) for message in example.messages or ())
    return len(example.prompt or "") + turns + len(example.references[0])


def _shots_file(plan: RunPlan) -> Path:
    return plan.run_folder / artefacts.FOLDER / SHOTS


def template_hash(plan: RunPlan, override: PromptOverride) -> str:
    """Hash of the chat template as scoring will use it; needs the tokenizer, not the model."""
    from harness.models.transformers import loading

    base: BaseModelSpec = plan.experiment.base
    tokenizer = loading.load_tokenizer(loading.resolve_base(base))
    experiment = plan.experiment
    # The context plays no part in the hash, so the model's config need not be read for it.
    return Prompter(tokenizer, experiment.spec.chat, experiment.task, base.context or 1, override).template_hash
