"""What a person may write of a DPO arm's control, of when to stop, and of what should not be forgotten."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from harness.config import LmEvalSpec, SftContinuedSpec
from harness.data.examples import read_retention
from harness.errors import SpecError
from harness.experiments.loading.load import load_arm, load_experiment, load_task, stock_arms

EXPERIMENT = """# harness run experiment.yaml
task: notes
base_model: base
arms:
  - lora
  - {method: full, name: whole}
  - {method: dpo, parent: lora, pairs: parent_samples}
  - {method: sft_continued}
budget: {examples: 100}
"""


@pytest.fixture
def experiment(here: Path, make_task: Callable[..., Path]) -> Callable[..., Path]:
    """Write an experiment; the arguments replace text in it."""

    def make(old: str = "", new: str = "") -> Path:
        make_task()
        (here / "base").mkdir(exist_ok=True)
        assert old in EXPERIMENT
        (here / "experiment.yaml").write_text(EXPERIMENT.replace(old, new) if old else EXPERIMENT)
        return Path("experiment.yaml")

    return make


def test_a_control_starts_from_the_parent_of_the_arm_it_is_held_against(experiment: Callable[..., Path]) -> None:
    found = load_experiment(experiment())
    control = found.arms[-1]
    assert isinstance(control, SftContinuedSpec)
    assert (control.name, control.parent, control.like, control.examples) == ("sft_continued", "lora", "dpo", None)
    assert found.spec.stop_on == "diverged" and found.spec.resources.price_per_device_hour is None
    stock = load_arm(stock_arms()["sft_continued"])
    assert isinstance(stock, SftContinuedSpec) and (stock.parent, stock.like) == ("lora", "dpo")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("sft_continued}", "sft_continued, like: dop}", "arms[3].like: no arm is named 'dop'. Did you mean 'dpo'?"),
        ("sft_continued}", "sft_continued, like: whole}", "arms[3].like: this is no DPO arm: 'whole'. DPO arms here: "),
        ("sft_continued}", "sft_continued, parent: whole}", "'dpo' starts from 'lora', and this arm from 'whole'. Wri"),
        ("sft_continued}", "sft_continued, parent: dpo}", "'dpo' is dpo, and sft_continued starts from a supervised"),
        ("  - {method: dpo, parent: lora, pairs: parent_samples}\n", "", "no arm is named 'dpo'. Add a dpo arm, or gi"),
        ("budget:", "stop_on: never\nbudget:", "experiment.yaml:9: stop_on: text 'never' is not one of"),
        ("budget:", "resources: {price_per_device_hour: -2}\nbudget:", "resources.price_per_device_hour: must be at l"),
    ],
)  # fmt: skip
def test_complaints(experiment: Callable[..., Path], old: str, new: str, message: str) -> None:
    path = experiment(old, new)
    with pytest.raises(SpecError) as caught:
        load_experiment(path)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_control_with_examples_of_its_own_needs_no_dpo_arm(experiment: Callable[..., Path]) -> None:
    path = experiment("  - {method: dpo, parent: lora, pairs: parent_samples}\n", "")
    path.write_text(path.read_text().replace("sft_continued}", "sft_continued, parent: whole, examples: 30}"))
    assert [arm.name for arm in load_experiment(path).arms] == ["untrained", "lora", "whole", "sft_continued"]


def test_retention_may_be_lm_eval_tasks_alone(make_task: Callable[..., Path]) -> None:
    path = make_task({"id: key": "id: key\nretention: {lm_eval: [arith, law], limit: 20}"})
    task, folder = load_task(path)
    assert task.retention is not None
    assert task.retention.tasks == LmEvalSpec(tasks=["arith", "law"], limit=20)
    assert read_retention(task, folder) == []


@pytest.mark.parametrize(
    ("retention", "message"),
    [
        ("{}", "retention: give either path or builder, lm_eval, or one of the first two with lm_eval"),
        ("{path: a.jsonl, builder: 'b.py:b'}", "retention: give either path or builder"),
        (
            "{lm_eval: [arith], include_path: nowhere}",
            "retention.include_path: no such folder: notes/nowhere. It is r",
        ),
    ],
)
def test_retention_complaints(make_task: Callable[..., Path], retention: str, message: str) -> None:
    path = make_task({"id: key": f"id: key\nretention: {retention}"})
    with pytest.raises(SpecError) as caught:
        load_task(path)
    assert message in str(caught.value)


def test_a_task_without_retention_tasks_has_no_suite_of_them(make_task: Callable[..., Path]) -> None:
    path = make_task({"id: key": "id: key\nretention: {path: keep.jsonl}"})
    task, _ = load_task(path)
    assert task.retention is not None and task.retention.tasks is None
