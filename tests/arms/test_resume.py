"""Killed and stopped trainings go on to the same bits; checkpoints are whole or not there."""

from __future__ import annotations

import json
import os
import pickle
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from harness.arms import sft
from harness.arms.training import checkpoints
from harness.errors import ArmFailed, Interrupted
from harness.records import Rung, RunPlan, TrainingData

Plans = Callable[..., RunPlan]
ROOT = Path(__file__).parents[2]
CHILD = """
import pickle, sys, warnings
warnings.simplefilter("ignore")
import torch
torch.set_num_threads(1)
from harness.arms import family
plan, data = pickle.load(open(sys.argv[1], "rb"))
family(plan.arm.method).train(plan, data, lambda *step: None)
"""
SLOW = {"learning_rate": 3e-3, "batch_size": 2, "micro_batch_size": 1}
LORA = {"method": "lora", "optimiser": SLOW, "lora": {"r": 4, "dropout": 0.2}, "evaluations": 3}
OFTEN = {"checkpoint_seconds": 1e-3}


def nothing(phase: str, done: int, total: int) -> None:
    """Progress that says nothing."""


def start(plan: RunPlan, data: TrainingData, folder: Path) -> subprocess.Popen[bytes]:
    payload = folder / "payload.pickle"
    payload.write_bytes(pickle.dumps((plan, data)))
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([sys.executable, "-c", CHILD, str(payload)], env=environment, stderr=subprocess.DEVNULL)


def wait_for_checkpoint(plan: RunPlan, child: subprocess.Popen[bytes], step: int) -> None:
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline and child.poll() is None:
        newest = checkpoints.latest(plan.run_folder / "checkpoints")
        if newest is not None and int(newest.name[5:]) >= step:
            return
        time.sleep(0.01)
    raise AssertionError(f"no checkpoint came (child ended with {child.poll()})")


def steps_of(plan: RunPlan) -> list[dict[str, Any]]:
    rows = [json.loads(line) for line in (plan.run_folder / "train_log.jsonl").read_text().splitlines()]
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_a_killed_training_goes_on_to_the_same_artefact_even_in_a_moved_home(
    make_plan: Plans, data: TrainingData, tmp_path: Path
) -> None:
    budget = {"examples": 160}
    undisturbed = make_plan(LORA, home=tmp_path / "undisturbed", budget=budget)
    expected = sft.train(undisturbed, data, nothing)
    killed = make_plan(LORA, home=tmp_path / "killed", budget=budget, resources=OFTEN)
    child = start(killed, data, tmp_path)
    wait_for_checkpoint(killed, child, 10)
    child.send_signal(signal.SIGKILL)
    child.wait()
    assert not (killed.run_folder / "result.json").exists()
    shutil.copytree(tmp_path / "killed", tmp_path / "moved")
    moved = replace(killed, home=tmp_path / "moved")
    resumed = sft.train(moved, data, nothing)
    assert resumed.artefact == expected.artefact
    assert steps_of(moved) == steps_of(undisturbed)
    same = ("examples", "tokens", "target_tokens", "optimiser_steps", "trainable_parameters", "artefact_bytes")
    assert [getattr(resumed.ledger, name) for name in same] == [getattr(expected.ledger, name) for name in same]


@pytest.mark.parametrize("arm", ["full", "lora"])
def test_a_training_that_pauses_at_rungs_of_a_race_ends_at_the_same_bits(
    arm: str, make_plan: Plans, data: TrainingData, tmp_path: Path
) -> None:
    spec = LORA if arm == "lora" else {"method": "full", "optimiser": SLOW}
    undisturbed = make_plan(spec, home=tmp_path / "undisturbed")
    expected = sft.train(undisturbed, data, nothing)
    plan = make_plan(spec, home=tmp_path / "raced")
    models = []
    for number, share in enumerate((0.25, 0.5)):
        there = replace(plan, rung=Rung(number, share, 0, 0))
        paused = sft.train(there, data, nothing)
        assert paused.ledger.optimiser_steps == round(share * expected.ledger.optimiser_steps)
        assert not (plan.run_folder / "result.json").exists()
        models.append(paused.artefact.files_hash)
        assert sft.train(there, data, nothing).artefact == paused.artefact
    assert len({*models, expected.artefact.files_hash}) == 3
    with pytest.raises(ArmFailed, match="beyond step"):
        sft.train(replace(plan, rung=Rung(0, 0.25, 0, 0)), data, nothing)
    assert sft.train(plan, data, nothing).artefact == expected.artefact
    # The rates of the whole budget, not of what was trained at a time.
    assert steps_of(plan) == steps_of(undisturbed)


class _Alarm:
    """Progress that sends this process a signal after some examples."""

    def __init__(self, number: int, after: int) -> None:
        self.number, self.after = number, after

    def __call__(self, phase: str, done: int, total: int) -> None:
        if phase == "train" and done >= self.after:
            self.after = 10**9
            os.kill(os.getpid(), self.number)


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("arm", ["full", "lora"])
def test_a_signal_checkpoints_and_interrupts_and_the_rerun_ends_at_the_same_bits(
    name: str, arm: str, make_plan: Plans, data: TrainingData, tmp_path: Path
) -> None:
    spec = LORA if arm == "lora" else {"method": "full", "optimiser": SLOW}
    expected = sft.train(make_plan(spec, home=tmp_path / "a"), data, nothing)
    plan = make_plan(spec, home=tmp_path / "b")
    before = signal.getsignal(getattr(signal, name))
    with pytest.raises(Interrupted, match=rf"training after step 4 stopped by {name}. Run the same command") as caught:
        sft.train(plan, data, _Alarm(getattr(signal, name), 8))
    assert caught.value.exit_code == 130
    assert signal.getsignal(getattr(signal, name)) == before
    assert checkpoints.latest(plan.run_folder / "checkpoints") is not None
    assert sft.train(plan, data, nothing).artefact == expected.artefact


def test_only_whole_checkpoints_count_and_two_are_kept(tmp_path: Path) -> None:
    def write(text: str) -> Callable[[Path], None]:
        return lambda path: path.write_text(text) and None

    for step in (9, 10, 11):
        checkpoints.save(tmp_path, step, {"a": write("x" * step)})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-10", "step-11"]
    assert checkpoints.latest(tmp_path) == tmp_path / "step-11"
    (tmp_path / "step-11" / "a").write_text("torn")
    assert checkpoints.latest(tmp_path) == tmp_path / "step-10"
    (tmp_path / "step-10" / "COMPLETE").unlink()
    (tmp_path / "part-12").mkdir()
    assert checkpoints.latest(tmp_path) is None


def test_a_torn_newest_checkpoint_costs_work_but_no_bits(make_plan: Plans, data: TrainingData, tmp_path: Path) -> None:
    expected = sft.train(make_plan(LORA, home=tmp_path / "a"), data, nothing)
    plan = make_plan(LORA, home=tmp_path / "b", resources={"checkpoint_seconds": 0.02})
    with pytest.raises(Interrupted):
        sft.train(plan, data, _Alarm(signal.SIGTERM, 16))
    newest = checkpoints.latest(plan.run_folder / "checkpoints")
    assert newest is not None
    (newest / "weights.safetensors").write_bytes(b"torn")
    assert checkpoints.latest(plan.run_folder / "checkpoints") != newest
    assert sft.train(plan, data, nothing).artefact == expected.artefact


def test_a_full_disk_leaves_the_last_checkpoint_alone(tmp_path: Path) -> None:
    checkpoints.save(tmp_path, 1, {"a": lambda path: path.write_text("whole") and None})

    def fail(path: Path) -> None:
        path.write_text("ha")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        checkpoints.save(tmp_path, 2, {"a": fail})
    assert checkpoints.latest(tmp_path) == tmp_path / "step-1"
