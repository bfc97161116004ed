"""`resources.cpu_kernels`: identities do not move, results agree both ways, and each says how it was made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from model_plans import CPU_KERNELS_OFF

from harness import environment
from harness.arms import dpo, sft
from harness.config import ResourcesSpec
from harness.experiments.evaluation import evaluate
from harness.experiments.running import plans, worker
from harness.models import Continuation
from harness.records import RunPlan, TrainingData, to_json
from harness.records.files import write_records

Plans = Callable[..., RunPlan]
LORA: dict[str, Any] = {"method": "lora", "lora": {"r": 4}, "optimiser": {"learning_rate": 1e-2}}
OFF: dict[str, Any] = {"resources": {"cpu_kernels": "off"}}
pytestmark = pytest.mark.skipif(CPU_KERNELS_OFF, reason="compares both settings")


@pytest.mark.parametrize(("value", "setting"), [("on", "on"), ("off", "off"), (True, "on"), (False, "off")])
def test_booleans_are_what_older_yaml_makes_of_the_words(value: Any, setting: str) -> None:
    assert ResourcesSpec.model_validate({"cpu_kernels": value}).cpu_kernels == setting


@pytest.mark.parametrize("value", ["auto", 1, None])
def test_anything_else_is_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="cpu_kernels"):
        ResourcesSpec.model_validate({"cpu_kernels": value})


def test_only_the_environment_of_scores_moves_and_only_when_off(make_plan: Plans, data: TrainingData) -> None:
    on, off = make_plan(LORA), make_plan(LORA, **OFF)
    first, second = (
        plans.Planner(plan.files, plan.home, "base").identity(plan.experiment, plan.arm, plans.TrainingDraw(0))
        for plan in (on, off)
    )
    assert first == second
    artefact = sft.train(on, data, lambda phase, done, total: None).artefact
    assert evaluate.subject(on, artefact) == evaluate.subject(off, artefact)
    assert evaluate.environment_of(on) == environment.scoring_environment("cpu")
    assert evaluate.environment_of(off) == {**environment.scoring_environment("cpu"), "cpu_kernels": "off"}
    assert evaluate.identity(on, artefact) != evaluate.identity(off, artefact)
    on_gpu = [replace(plan, device="cuda") for plan in (on, off)]
    assert evaluate.identity(on_gpu[0], artefact) == evaluate.identity(on_gpu[1], artefact)
    assert dpo.reference_identity(on, artefact, []) != dpo.reference_identity(off, artefact, [])


@pytest.mark.parametrize("arm", [LORA, {"method": "full", "optimiser": {"learning_rate": 1e-3}}], ids=["lora", "full"])
def test_both_ways_agree_and_are_not_the_same_bits(arm: dict[str, Any], make_plan: Plans, data: TrainingData) -> None:
    question = [Continuation((5, 6, 7, 8), (9, 10, 11))]
    hashes, answers = [], []
    for name, experiment in (("on", {}), ("off", OFF)):
        plan = make_plan(arm, train_id=name, **experiment)
        artefact = sft.train(plan, data, lambda phase, done, total: None).artefact
        model: Any = sft.load(plan, artefact)
        assert (model.cpu_scorer is None) == (name == "off")
        answers.append(model.logprobs(question)[0].logprob)
        hashes.append(artefact.files_hash)
        model.close()
    assert hashes[0] != hashes[1], "the setting changed nothing"
    assert answers[0] == pytest.approx(answers[1], abs=2e-3)


def test_a_run_says_that_it_was_trained_without(make_plan: Plans, data: TrainingData) -> None:
    for name, experiment in (("on", {}), ("off", OFF)):
        plan = make_plan(LORA, train_id=name, **experiment)
        plan.files.folder.mkdir(exist_ok=True)
        for part, records in (("train", data.train), ("validation", data.validation), ("pairs", data.pairs)):
            write_records(plan.files.folder / f"{part}.jsonl", records)
        record = worker._train(plan, None, lambda phase, done, total: None)
        assert record.status == "ok", record.error
        assert to_json(record)["provenance"]["hardware"].get("cpu_kernels") == (None if name == "on" else "off")
