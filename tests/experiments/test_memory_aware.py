"""Arms wait for memory: the decision, what an arm is expected to need, and processes with pretended free memory."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from shell_calls import Shell
from tiny_models import save_model

from harness import environment
from harness.arms.training import footprint
from harness.config import BaseModelSpec
from harness.data.prepare import prepare
from harness.experiments import pipeline
from harness.experiments.running import plans as run_plans
from harness.experiments.running.executors import processes
from harness.experiments.running.executors.admission import Decision, Memory, Occupant, decide, note
from harness.progress import Reporter
from harness.records import RunPlan
from harness.records.files import read_json, write_json

GB = 10**9
Plans = Callable[..., list[RunPlan]]


@pytest.mark.parametrize(
    ("need", "free", "running", "own", "expected"),
    [
        (None, 1, [], 0, "start"),
        (5, None, [Occupant(9, 0)], 0, "start"),
        (5, 5, [], 0, "start"),
        (6, 5, [], 0, "start_anyway"),
        (6, 5, [], 1, "start"),
        (5, 9, [Occupant(8, 4)], 0, "start"),
        (5, 9, [Occupant(9, 4)], 0, "wait"),
        (5, 9, [Occupant(9, 4)], 1, "start"),
        (5, 5, [Occupant(3, 7)], 0, "start"),  # it takes more than was expected: what is free tells
        (5, 5, [Occupant(None, 7)], 0, "start"),
        (6, 5, [Occupant(None, 7)], 0, "wait"),
    ],
)
def test_an_arm_begins_where_its_need_fits_beside_what_the_others_will_still_take(
    need: int | None, free: int | None, running: list[Occupant], own: int, expected: Decision
) -> None:
    assert decide(need, free, running, own) == expected


def test_the_note_says_what_was_expected_and_what_there_is() -> None:
    text = "lora (seed 0): expected to need 12.3 GB of memory, 0.0 GB can be had; started anyway, alone"
    assert note("lora (seed 0)", 12_300_000_000, -5) == text


# ---------------------------------------------------------------------------------------------------- expectations


@pytest.fixture
def real_plans(project: Path, monkeypatch: pytest.MonkeyPatch) -> Plans:
    """Plans of the toy task over a tiny Llama, for arms written in YAML."""
    monkeypatch.chdir(project)
    save_model(project / "tiny")

    def plans(*arms: str, more: str = "", base: str = "{path: tiny}") -> list[RunPlan]:
        lines = "".join(f"  - {arm}\n" for arm in arms)
        (project / "real.yaml").write_text(
            f"task: task\nbase_model: {base}\narms:\n{lines}budget: {{examples: 8}}\nresources: {{device: cpu}}\n{more}"
        )
        experiment = pipeline.load(Path("real.yaml"))
        home = project / ".harness"
        return run_plans.plan_runs(experiment, prepare(experiment, home), home)

    return plans


def test_sizes_are_read_from_the_headers_of_the_weights(real_plans: Plans, project: Path) -> None:
    real_plans("{method: full}")
    sizes = footprint.base_sizes(BaseModelSpec(path=str(project / "tiny")))
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(project / "tiny")
    assert sizes.elements == sum(weight.numel() for weight in model.parameters())
    assert (sizes.width, sizes.inner, sizes.layers, sizes.heads) == (32, 64, 2, 4)
    linear = [one for name, one in model.named_modules() if type(one).__name__ == "Linear" and name != "lm_head"]
    assert sorted(sizes.matrices()) == sorted(tuple(one.weight.shape) for one in linear)
    assert len(sizes.matrices(["q_proj", "v_proj"])) == 4


def needs(plans: Sequence[RunPlan], sizes: footprint.BaseSizes) -> dict[str, int]:
    return {plan.arm_name: footprint.estimate(plan, sizes, 400) for plan in plans}


def test_the_formula_orders_arms_as_they_are(real_plans: Plans) -> None:
    """Of a made-up 7 B Llama in bfloat16: what each arm must at least hold, and what it cannot hold."""
    linear: dict[str, tuple[int, ...]] = {}
    for layer in range(32):
        for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
            linear[f"layers.{layer}.{name}.weight"] = (4096, 4096)
        linear[f"layers.{layer}.gate_proj.weight"] = linear[f"layers.{layer}.up_proj.weight"] = (11008, 4096)
        linear[f"layers.{layer}.down_proj.weight"] = (4096, 11008)
    shapes = linear | {"embed_tokens.weight": (32000, 4096), "lm_head.weight": (32000, 4096)}
    sizes = footprint.BaseSizes(shapes, 4096, 11008, 32, 32, 32000, 4096)
    assert sizes.elements == pytest.approx(6.74e9, rel=0.01)
    arms = [
        "{method: untrained}",
        "{method: full}",
        "{method: lora}",
        "{method: qlora}",
        "{method: dpo, parent: lora, pairs: parent_samples}",
    ]
    arms.append("{method: peft, name: dora, type: LORA, config: {r: 16, use_dora: true}}")
    found = needs(real_plans(*arms, base="{path: tiny, dtype: bfloat16}"), sizes)
    assert 13.5 * GB < found["untrained"] < found["lora"] < found["full"]
    assert 9 * GB < found["lora"] - found["qlora"] < 10 * GB  # 6.5e9 weights of 16 bits are 4.5 bits
    assert 54 * GB < found["full"] < 70 * GB  # weights, gradients and two moments in bfloat16
    assert found["dora"] == found["lora"] < found["dpo"]
    small = needs(real_plans("{method: lora, optimiser: {micro_batch_size: 1}}"), sizes)
    large = needs(real_plans("{method: lora}"), sizes)
    assert small["lora"] < large["lora"]


def test_what_the_recipe_took_before_counts_more_than_the_formula(real_plans: Plans, project: Path) -> None:
    arms = ("{method: lora}", "{method: full}", "{method: toy, name: toy}", "{method: imported, path: tiny}")
    first = {plan.arm_name: plan for plan in real_plans(*arms)}
    expected = footprint.needs(list(first.values()))
    assert set(expected) == {plan.train_id for plan in first.values() if plan.arm_name != "toy"}
    assert all(footprint.LIBRARIES < need < footprint.LIBRARIES + GB for need in expected.values())

    lora = first["lora"]
    write_json(lora.run_folder / "plan.json", lora)
    write_json(lora.run_folder / "run.json", {"ledger": {"peak_memory_bytes": 5 * GB}})
    write_json(lora.run_folder / "rungs" / "0.5" / "run.json", {"ledger": {"peak_memory_bytes": 6 * GB}})
    assert read_json(lora.run_folder / "plan.json")["train_id"] == lora.train_id

    def need(arm: str, **options: Any) -> int:
        plans = real_plans("{method: untrained}", arm, **options)
        return footprint.needs(plans)[plans[-1].train_id]

    # Another seed, rate or budget is the same recipe; another rank, batch or data type is not.
    assert need("{method: lora, optimiser: {learning_rate: 1.0e-3}}", more="seeds: [4]\n") == 6 * GB
    for other in ("{method: lora, lora: {r: 4}}", "{method: lora, optimiser: {batch_size: 4}}"):
        assert need(other) < 2 * GB
    assert need("{method: lora}", base="{path: tiny, dtype: bfloat16}") < 2 * GB


def test_a_peak_on_a_device_is_of_tensors_and_its_process_takes_more(real_plans: Plans) -> None:
    plan = replace(real_plans("{method: lora}")[-1], device="cuda")
    write_json(plan.run_folder / "plan.json", plan)
    write_json(plan.run_folder / "run.json", {"ledger": {"peak_memory_bytes": 5 * GB}})
    assert footprint.needs([plan]) == {plan.train_id: pytest.approx(6.2 * GB)}


def test_a_base_that_cannot_be_read_is_no_reason_to_stop(real_plans: Plans, project: Path) -> None:
    plans = real_plans("{method: lora}")
    footprint.base_sizes.cache_clear()
    (project / "tiny" / "model.safetensors").write_bytes(b"torn")
    assert footprint.needs(plans) == {}


# ---------------------------------------------------------------------------------------------------- environment


def test_free_and_used_memory_of_this_machine() -> None:
    free = environment.free_memory()
    assert free is not None and 0 < free < environment.hardware()["memory_bytes"]
    assert environment.used_memory(os.getpid()) > 1_000_000
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    assert environment.used_memory(done.pid) == 0


def test_memory_of_devices_is_the_drivers_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert environment.free_memory("0") is None or environment.accelerators()
    driver = tmp_path / "nvidia-smi"
    driver.write_text(
        "#!/bin/sh\ncase $1 in\n"
        "*memory.free) echo '0, GPU-aa11, 1000'; echo '1, GPU-bb22, 2000';;\n"
        "*used_memory) echo '77, 300'; echo '78, [N/A]'; echo '77, 20';;\nesac\n"
    )
    driver.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found = [environment.free_memory(name) for name in ("0", "1", "GPU-bb", "2")]
    assert found == [1000 << 20, 2000 << 20, 2000 << 20, None]
    assert [environment.used_memory(pid, "0") for pid in (77, 78, 79)] == [320 << 20, 0, 0]


def test_a_containers_limit_counts(tmp_path: Path) -> None:
    for name, text in {"max": "1000\n", "current": "700\n", "stat": "anon 600\ninactive_file 50\n"}.items():
        (tmp_path / f"memory.{name}").write_text(text)
    assert environment._left_of_limit(tmp_path) == 350
    (tmp_path / "memory.max").write_text("max\n")
    assert environment._left_of_limit(tmp_path) == environment._left_of_limit(tmp_path / "absent") == sys.maxsize


# ------------------------------------------------------------------------------------------------------- processes


class Free:
    """Pretended free memory: a fixed number of bytes, none of which a process ever holds."""

    def __init__(self, size: int) -> None:
        self.size = size

    def memory(self, needs: dict[str, int]) -> Memory:
        return Memory(needs, free=lambda device: self.size, used=lambda pid, device: 0)


@pytest.fixture
def toys(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[RunPlan]:
    """Three toy arms of half a second each, prepared."""
    monkeypatch.chdir(project)
    rows = zip("abc", (0.2, 0.4, 0.6), strict=True)
    arms = "".join(f"  - {{method: toy, name: {name}, skill: {skill}, seconds: 0.5}}\n" for name, skill in rows)
    text = (project / "toys.yaml").read_text()
    head, tail = text.split("arms:\n")[0], text[text.index("seeds:") :].replace("weak", "a")
    (project / "toys.yaml").write_text(f"{head}arms:\n{arms}{tail}")
    experiment = pipeline.load(Path("toys.yaml"))
    home = project / ".harness"
    return run_plans.plan_runs(experiment, prepare(experiment, home), home)


def spans(plans: list[RunPlan], memory: Memory) -> tuple[dict[str, tuple[float, float]], str]:
    """Arm → when it trained, and what was said."""
    said = io.StringIO()
    with Reporter(said) as reporter, processes.opened(reporter, 3, lambda plans: memory) as execute:
        outcomes = list(execute(plans))
    assert {outcome.run.status for outcome in outcomes} == {"ok"}
    found = {}
    for plan in plans:
        files = plan.run_folder / "plan.json", plan.run_folder / "run.json"
        began, ended = (path.stat().st_mtime for path in files)
        found[plan.arm_name] = (began, ended)
    return found, said.getvalue()


def overlap(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return one[0] < other[1] and other[0] < one[1]


def test_arms_that_do_not_fit_side_by_side_run_one_after_the_other(toys: list[RunPlan]) -> None:
    a, b, c = (plan.train_id for plan in toys)
    found, said = spans(toys, Free(10).memory({a: 6, b: 6, c: 3}))
    assert not overlap(found["a"], found["b"])
    assert found["c"][0] < found["b"][0], "what fits beside the first does not wait for the second"
    assert "started anyway" not in said


def test_an_arm_that_fits_nowhere_begins_alone_with_a_line_about_it(toys: list[RunPlan]) -> None:
    a, b, c = (plan.train_id for plan in toys)
    found, said = spans(toys, Free(10).memory({a: 12 * GB, b: 4, c: 4}))
    assert said.count("started anyway, alone") == 1
    assert "a: expected to need 12.0 GB of memory, 0.0 GB can be had; started anyway, alone" in said
    assert not overlap(found["a"], found["b"]) and not overlap(found["a"], found["c"])


def test_what_idle_workers_keep_can_be_had(toys: list[RunPlan]) -> None:
    """Two processes hold 4 each: one leaves, so that an arm that needs 15 has 10 + 4 + its own 4."""
    a, b, c = toys
    memory = Memory({c.train_id: 15}, free=lambda device: 10, used=lambda pid, device: 4)
    said = io.StringIO()
    with Reporter(said) as reporter:
        crew = processes.Crew(reporter, 2, lambda plans: memory)
        try:
            assert len(list(crew.execute([a, b]))) == len(crew._idle) == 2
            assert [outcome.run.status for outcome in crew.execute([c])] == ["ok"]
            assert len(crew._idle) == 1
        finally:
            crew.close()
    assert "started anyway" not in said.getvalue()


def test_a_run_under_processes_looks_at_memory(shell: Shell, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(project)
    text = (project / "toys.yaml").read_text()
    (project / "toys.yaml").write_text(text.replace("seeds:", "resources: {executor: processes, workers: 2}\nseeds:"))
    answer = shell("run", "toys.yaml", "--json")
    assert answer.code == 0 and len(json.loads(answer.out)["rows"]) == 2
