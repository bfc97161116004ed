"""Arms without training."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from harness.arms import imported, sft, toy, untrained
from harness.errors import ArmFailed, DataError, Diverged, HarnessError, Interrupted, ModelError, OutOfMemory
from harness.models import Continuation
from harness.records import RunPlan, TrainingData

Plans = Callable[..., RunPlan]
FAST = {"learning_rate": 1e-2, "batch_size": 8, "warmup": 0.0}
ROOT = Path(__file__).parents[2]


def nothing(phase: str, done: int, total: int) -> None:
    """Progress that says nothing."""


# ------------------------------------------------------------------------------------------------------ untrained


def test_untrained_is_the_base_with_the_prompt_it_asks_for(make_plan: Plans, data: TrainingData) -> None:
    plan = make_plan({"method": "untrained"})
    plain = untrained.train(plan, data, nothing).artefact
    assert (plain.kind, plain.path, plain.prefix_hash) == ("base", None, "")
    other = make_plan({"method": "untrained", "prompt": "{{ text }}\nBuyer:"}, train_id="worded")
    worded = untrained.train(other, data, nothing).artefact
    assert worded.prefix_hash and worded.hash != plain.hash
    assert untrained.prompt_override(other).prompt == "{{ text }}\nBuyer:"
    assert untrained.prompt_override(make_plan({"method": "lora"})).hash == ""


def test_few_shot_keeps_its_examples_and_chooses_the_same_ones_again(
    make_plan: Plans, data: TrainingData, tmp_path: Path
) -> None:
    plans = [make_plan({"method": "few_shot", "k": 3}, home=tmp_path / home) for home in "ab"]
    first, second = (untrained.train(plan, data, nothing).artefact for plan in plans)
    assert first == second and first.prefix_hash
    shots = untrained.prompt_override(plans[0]).shots
    assert len(shots) == 3 and all(shot in data.train for shot in shots)
    (plans[0].run_folder / "artefact" / "shots.jsonl").unlink()
    assert untrained.train(plans[0], data, nothing).artefact == first
    assert untrained.prompt_override(plans[0]).shots == shots


def test_shots_are_short_and_of_different_groups_and_enough(data: TrainingData) -> None:
    from dataclasses import replace

    grouped = [replace(example, group=f"g{index % 4}") for index, example in enumerate(data.train)]
    shots = untrained.choose_shots(grouped, 4)
    assert {shot.group for shot in shots} == {"g0", "g1", "g2", "g3"}
    lengths = sorted(len(example.prompt or "") for example in grouped)
    assert max(len(shot.prompt or "") for shot in shots) <= lengths[len(lengths) // 2]
    assert len(untrained.choose_shots(grouped, 40)) == 40
    with pytest.raises(DataError, match="few_shot wants 41 worked examples, the train split has 40"):
        untrained.choose_shots(grouped, 41)


# ------------------------------------------------------------------------------------------------------- imported


def test_an_imported_adapter_scores_as_where_it_was_trained(
    make_plan: Plans, data: TrainingData, tmp_path: Path
) -> None:
    source = make_plan({"method": "lora", "optimiser": FAST})
    trained = sft.train(source, data, nothing).artefact
    plan = make_plan({"method": "imported", "path": str(source.run_folder / "artefact")})
    result = imported.train(plan, data, nothing)
    assert result.artefact.kind == "adapter" and result.artefact.files_hash == trained.files_hash
    request = [Continuation((1, 5, 9), (20, 30))]
    assert imported.load(plan, result.artefact).logprobs(request) == sft.load(source, trained).logprobs(request)
    assert "elsewhere" in result.notes[0]


def test_a_full_model_is_imported(make_plan: Plans, data: TrainingData, base_folder: Callable[[str], Path]) -> None:
    plan = make_plan({"method": "imported", "path": str(base_folder("qwen3"))})
    artefact = imported.train(plan, data, nothing).artefact
    assert artefact.kind == "full" and (plan.run_folder / "artefact" / "model.safetensors").is_file()


def test_an_adapter_of_another_base_is_one_clear_line(make_plan: Plans, data: TrainingData) -> None:
    source = make_plan({"method": "lora", "optimiser": FAST}, kind="gpt2", train_id="other")
    sft.train(source, data, nothing)
    plan = make_plan({"method": "imported", "path": str(source.run_folder / "artefact")})
    with pytest.raises(ModelError, match="another base") as caught:
        imported.train(plan, data, nothing)
    assert "\n" not in str(caught.value) and caught.value.exit_code == 2
    assert not (plan.run_folder / "result.json").exists()


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (None, "is not a folder"),
        ({}, "neither adapter_config.json nor config.json"),
        ({"adapter_config.json": "{}"}, r"has no \*.safetensors weights"),
        ({"adapter_config.json": "{}", "adapter_model.bin": "x"}, r"weights in adapter_model.bin, a pickle"),
        ({"config.json": "{}", "pytorch_model.bin": "x"}, r"weights in pytorch_model.bin, a pickle"),
        ({"adapter_config.json": "{", "adapter_model.safetensors": "x"}, "cannot be read"),
    ],
)
def test_a_folder_that_cannot_be_imported_is_one_clear_line(
    files: dict[str, str] | None, message: str, make_plan: Plans, data: TrainingData, tmp_path: Path
) -> None:
    folder = tmp_path / "given"
    for name, text in (files or {}).items():
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    if files is not None:
        folder.mkdir(exist_ok=True)
    with pytest.raises(ModelError, match=message) as caught:
        imported.train(make_plan({"method": "imported", "path": str(folder)}), data, nothing)
    assert "\n" not in str(caught.value)


# ------------------------------------------------------------------------------------------------------------ toy


def test_a_better_toy_can_do_all_that_a_lesser_one_can(make_plan: Plans, data: TrainingData) -> None:
    answers: dict[float, list[bool]] = {}
    for skill in (0.0, 0.3, 0.8, 1.0):
        plan = make_plan({"method": "toy", "skill": skill}, train_id=f"toy{skill}")
        model = toy.load(plan, toy.train(plan, data, nothing).artefact)
        prompts = [model.encode(f"question {number} wants this") for number in range(300)]
        texts = [generation.text for generation in model.generate(prompts, 50, [])]
        answers[skill] = [text == "this" for text in texts]
        requests = [Continuation(tuple(prompt), tuple(model.encode("abc"))) for prompt in prompts]
        greedy = [score.greedy for score in model.logprobs(requests)]
        assert greedy == answers[skill] and model.logprobs(requests) == model.logprobs(requests)
    assert not any(answers[0.0]) and all(answers[1.0])
    assert 0.2 < sum(answers[0.3]) / 300 < 0.4
    assert all(better or not lesser for lesser, better in zip(answers[0.3], answers[0.8], strict=True))


def test_toy_answers_are_cut_and_its_tokens_turn_back_into_text() -> None:
    model = toy.ToyModel(toy.Knowledge(skill=1.0, seed=0, words=2))
    prompt = model.tokenizer.encode("one two three")
    assert prompt[0] == toy.BOS and model.tokenizer.decode(prompt) == "one two three"
    assert [g.text for g in model.generate([prompt], 50, [])] == ["two three"]
    (short,) = model.generate([prompt], 3, [])
    assert (short.text, short.finish) == ("two", "length")
    (stopped,) = model.generate([prompt], 50, ["thr"])
    assert (stopped.text, stopped.finish) == ("two ", "stop")


@pytest.mark.parametrize(
    ("fail", "kind"), [("error", ArmFailed), ("oom", OutOfMemory), ("diverged", Diverged), ("cancelled", ArmFailed)]
)
def test_a_toy_fails_as_it_is_told(fail: str, kind: type[HarnessError], make_plan: Plans, data: TrainingData) -> None:
    plan = make_plan({"method": "toy", "fail": fail})
    with pytest.raises(kind) as caught:
        toy.train(plan, data, nothing)
    assert type(caught.value) is kind and caught.value.message.startswith("cancelled") is (fail == "cancelled")
    assert not (plan.run_folder / "result.json").exists()


def test_a_toy_stops_on_a_signal(make_plan: Plans, data: TrainingData) -> None:
    plan = make_plan({"method": "toy", "seconds": 30})

    def stop(phase: str, done: int, total: int) -> None:
        assert total == 3000
        if done == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(Interrupted, match="SIGTERM"):
        toy.train(plan, data, stop)


def test_a_finished_toy_is_not_trained_again_unless_its_artefact_is_gone(make_plan: Plans, data: TrainingData) -> None:
    plan = make_plan({"method": "toy", "seconds": 0.02})
    first = toy.train(plan, data, nothing)
    log = json.loads((plan.run_folder / "train_log.jsonl").read_text())
    assert log["step"] == 1 and first.ledger.examples == 20
    phases: list[str] = []
    assert toy.train(plan, data, lambda phase, done, total: phases.append(phase)) == first and not phases
    shutil.rmtree(plan.run_folder / "artefact")
    assert toy.train(plan, data, nothing).artefact == first.artefact


def test_arm_modules_load_no_heavy_library() -> None:
    program = (
        "import sys; from harness.arms import untrained, sft, dpo, sft_continued, imported, toy, artefacts;"
        "from harness.arms.training import order, checkpoints, stopping; from harness.data import prompts;"
        "print([m for m in ('torch', 'transformers', 'peft', 'trl', 'numpy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
