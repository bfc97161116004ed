"""Arms that are trained and scored one after the other on one kept base: the bits of arms that load it each time."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from harness import arms
from harness.arms import sft
from harness.arms.training import packing
from harness.errors import Diverged
from harness.models import Continuation
from harness.models.transformers.base_cache import BASE
from harness.records import RunPlan, TrainingData

Plans = Callable[..., RunPlan]
LORA: dict[str, Any] = {"method": "lora", "lora": {"r": 4, "dropout": 0.1}, "name": "lora"}
DORA: dict[str, Any] = {
    "method": "peft",
    "type": "LORA",
    "config": {"r": 4, "use_dora": True, "target_modules": "all-linear"},
    "name": "dora",
}
PREFIX: dict[str, Any] = {"method": "peft", "type": "PREFIX_TUNING", "config": {"num_virtual_tokens": 3}}
PREFIX |= {"name": "prefix"}
DPO: dict[str, Any] = {"method": "dpo", "parent": "lora", "examples": 8, "name": "dpo"}
SAMPLED = {**DPO, "pairs": "parent_samples", "name": "sampled"}
QLORA: dict[str, Any] = {"method": "qlora", "lora": {"r": 4}, "name": "qlora"}
UNTRAINED: dict[str, Any] = {"method": "untrained", "name": "untrained"}
FULL: dict[str, Any] = {"method": "full", "name": "full"}
pytestmark = pytest.mark.usefixtures("nothing_kept")


def execute(plan: RunPlan, data: TrainingData) -> tuple[str, Any]:
    """Hash of the artefact that an arm trains, and what it answers."""
    family = arms.family(plan.arm.method)
    artefact = family.train(plan, data, lambda phase, done, total: None).artefact
    model = family.load(plan, artefact)
    found = model.logprobs([Continuation((5, 6, 7), (8, 9))]), model.generate([(5, 6, 7)], 4, ())
    model.close()
    return artefact.files_hash, found


def test_trained_arms_in_turn_have_the_bits_of_arms_that_load_each_time(
    make_plan: Plans, data: TrainingData, tmp_path: Path, loads: list[Path]
) -> None:
    def run(home: str, *, keep: bool) -> list[tuple[str, Any]]:
        found = []
        for arm in (LORA, DORA, UNTRAINED, PREFIX, DPO, SAMPLED, LORA | {"name": "again"}):
            if not keep:
                BASE.drop()
            parent = "lora" if arm["method"] == "dpo" else None
            plan = make_plan(arm, home=tmp_path / home, train_id=arm["name"], parent=parent)
            plan.home.mkdir(exist_ok=True)
            found.append(execute(plan, data))
        return found

    expected = run("apart", keep=False)
    BASE.drop()
    loads.clear()
    assert run("kept", keep=True) == expected
    # Once at first, and once after each adapter that peft does not unload: prefix tuning, after training and scoring.
    assert len(loads) == 3
    assert expected[0] == expected[-1]


def test_quantised_arms_share_a_base_and_full_ones_have_their_own(
    make_plan: Plans, data: TrainingData, tmp_path: Path, loads: list[Path]
) -> None:
    def run(home: str, *arms: dict[str, Any]) -> list[tuple[str, Any]]:
        (tmp_path / home).mkdir(exist_ok=True)
        return [execute(make_plan(arm, home=tmp_path / home, train_id=arm["name"]), data) for arm in arms]

    alone = []
    for arm in (QLORA, UNTRAINED, FULL):
        BASE.drop()
        alone += run("apart", arm)
    loads.clear()
    assert run("kept", QLORA, QLORA | {"name": "q2"}) == [alone[0], alone[0]] and len(loads) == 1
    assert run("kept", UNTRAINED, FULL) == alone[1:]
    # Untrained, full, and the full model that it saved; the kept base went before each.
    assert len(loads) == 4
    assert run("kept", UNTRAINED | {"name": "u2"}) == [alone[1]] and len(loads) == 5


def test_a_base_that_a_failed_training_has_is_not_lent_again(
    make_plan: Plans, data: TrainingData, loads: list[Path]
) -> None:
    def fail(phase: str, done: int, total: int) -> None:
        if phase == "train":
            raise Diverged("as if its loss had left for good")

    with pytest.raises(Diverged):
        sft.train(make_plan(LORA, train_id="wild"), data, fail)
    loads.clear()
    first = execute(make_plan(LORA, train_id="calm"), data)
    assert len(loads) == 1
    BASE.drop()
    assert execute(make_plan(LORA, train_id="same"), data) == first


def test_what_training_finds_out_about_a_model_goes_with_its_adapter(make_plan: Plans, data: TrainingData) -> None:
    seen: list[Any] = []

    def train(name: str) -> None:
        plan = make_plan(LORA, train_id=name)
        sft.train(plan, data, lambda phase, done, total: None)

    own = sft.prepare

    def prepare(plan: RunPlan) -> Any:
        made = own(plan)
        seen.extend(weakref.ref(part) for part in (made.model, *made.model.modules()) if "lora" in str(type(part)))
        return made

    examined_before = len(packing._examined)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sft, "prepare", prepare)
        train("one")
        train("two")
    gc.collect()
    assert seen and not any(ref() for ref in seen)
    assert len(packing._examined) == examined_before
    kept = BASE._kept
    assert kept is not None and not kept.lent
    assert not any("forward" in vars(module) for module in kept.model.modules())
    assert all(isinstance(weight, torch.nn.Parameter) and weight.grad is None for weight in kept.model.parameters())
