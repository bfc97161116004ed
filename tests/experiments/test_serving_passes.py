"""Passes over arms without processes: the order, drift, memory that runs out, a kill in the middle."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from harness.arms.toy import ToyModel
from harness.config import ServingSpec
from harness.data.prepare import prepare
from harness.errors import OutOfMemory
from harness.experiments import pipeline
from harness.experiments.running import plans as run_plans
from harness.experiments.speed import passes, probes
from harness.experiments.speed.passes import orders
from harness.experiments.speed.probes import Job, examples_of, prompts_of
from harness.experiments.speed.processes import batches
from harness.records import Artefact, BatchTry, ServedArm, ServingProbe, ServingVisit
from harness.records.journal import Journal

PROMPTS = [(1, 2, 3), (4, 5)]


def silent(phase: str, done: int, total: int) -> None:
    """No one is told."""


@pytest.fixture
def jobs(project: Path, monkeypatch: pytest.MonkeyPatch) -> list[Job]:
    """The two toy arms, as if they had been trained."""
    monkeypatch.chdir(project)
    experiment = pipeline.load(Path("toys.yaml"))
    plans = run_plans.plan_runs(experiment, prepare(experiment, project / "home"), project / "home")
    made = []
    for plan in plans:
        artefact = Artefact("full", "none", "toy", None, "", None, "", "", hash=plan.arm_name)
        made.append(Job(plan, artefact, ServingSpec(rounds=6, prompts=2, new_tokens=4, batches=8)))
    return made


# ----------------------------------------------------------------------------------------------------------- order


@given(st.lists(st.text(min_size=1), unique=True, min_size=1, max_size=8), st.integers(1, 20), st.integers(0, 99))
def test_every_round_takes_every_arm_once(arms: list[str], rounds: int, seed: int) -> None:
    found = orders(arms, rounds, random.Random(seed))
    assert len(found) == rounds
    assert all(sorted(order) == sorted(arms) for order in found)
    assert all(there == back[::-1] for there, back in zip(found[::2], found[1::2], strict=False))
    assert found == orders(arms, rounds, random.Random(seed))


def test_orders_are_shuffled_evenly() -> None:
    counts = Counter(orders(["a", "b", "c"], 2400, random.Random(3))[::2])
    assert len(counts) == 6
    assert all(140 < count < 260 for count in counts.values())  # 200 expected, 4.6 standard deviations


def test_batches_double_up_to_the_limit() -> None:
    assert [*batches(1)] == [1]
    assert [*batches(16)] == [1, 2, 4, 8, 16]
    assert [*batches(6)] == [1, 2, 4, 6]


# ----------------------------------------------------------------------------------------------------------- drift


class Clock:
    """A machine that grows slower at a steady rate: a unit of work after w of them takes 1 + w / `doubling` seconds."""

    def __init__(self, doubling: float) -> None:
        self.now, self.worked, self.doubling = 0.0, 0.0, doubling

    def __call__(self) -> float:
        return self.now

    def work(self, units: float) -> None:
        self.now += units * (1 + (self.worked + units / 2) / self.doubling)
        self.worked += units


class Worker:
    """A model whose token takes `cost` units of work for each row."""

    def __init__(self, clock: Clock, cost: float) -> None:
        self.clock, self.cost = clock, cost

    def forced(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> int:
        self.clock.work(self.cost * new_tokens * len(prompts))
        return new_tokens * len(prompts)


class FakeBench:
    """Measures Workers by their clock, in this process."""

    def __init__(self, costs: dict[str, float], doubling: float = 500.0) -> None:
        self.clock, self.costs = Clock(doubling), costs
        self.visited: list[str] = []
        self.probed: list[str] = []

    def probe(self, job: Job) -> ServingProbe:
        self.probed.append(job.plan.arm_name)
        return ServingProbe(8, "resident set", (BatchTry(1, "ok", 100), BatchTry(2, "ok", 150)))

    def visit(self, job: Job, rows: int | None) -> ServingVisit:
        self.visited.append(job.plan.arm_name)
        model = Worker(self.clock, self.costs[job.plan.arm_name])
        return probes.time_visit(model, PROMPTS, job.settings.new_tokens, rows, self.clock)  # type: ignore[arg-type]


def speeds(arm: ServedArm) -> list[float]:
    return [visit.single_tokens / visit.single_seconds for visit in arm.visits]


def middle(values: list[float]) -> float:
    ranked = sorted(values)
    return (ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]) / 2


def test_interleaving_cancels_a_drift_that_sequential_measuring_takes_for_speed(
    jobs: list[Job], tmp_path: Path
) -> None:
    costs = {"weak": 1.0, "strong": 1.5}
    order = orders(["weak", "strong"], 12, random.Random(0))
    bench = FakeBench(costs)
    weak, strong = passes.run(jobs, order, bench, Journal(tmp_path / "a.jsonl"), silent)
    slower = speeds(weak)[0] / speeds(weak)[-1]
    assert slower > 1.9, "the machine must drift for this to say anything"
    paired = middle([b / a for a, b in zip(speeds(weak), speeds(strong), strict=True)])
    assert paired == pytest.approx(1 / 1.5, rel=0.01)

    bench = FakeBench(costs)
    first = passes.run(jobs[:1], [("weak",)] * 12, bench, Journal(tmp_path / "b.jsonl"), silent)
    second = passes.run(jobs[1:], [("strong",)] * 12, bench, Journal(tmp_path / "c.jsonl"), silent)
    sequential = middle(speeds(second[0])) / middle(speeds(first[0]))
    assert abs(sequential * 1.5 - 1) > 0.3


def test_rounds_are_visited_in_the_order_that_was_drawn(jobs: list[Job], tmp_path: Path) -> None:
    order = orders(["weak", "strong"], 6, random.Random(0))
    bench = FakeBench({"weak": 1.0, "strong": 1.5})
    served = passes.run(jobs, order, bench, Journal(tmp_path / "a.jsonl"), silent)
    assert bench.visited == [arm for round_ in order for arm in round_]
    assert len(set(order)) == 2, "both orders occur"
    for arm in served:
        assert [visit.round for visit in arm.visits] == list(range(6))
        assert [order[visit.round][visit.place] for visit in arm.visits] == [arm.arm] * 6


# ------------------------------------------------------------------------------------------------- a single model


def test_a_visit_does_equal_work_and_leaves_warm_up_out() -> None:
    clock = Clock(1e12)
    found = probes.time_visit(Worker(clock, 1.0), PROMPTS, 4, 8, clock)  # type: ignore[arg-type]
    assert found.first_token_seconds == pytest.approx((1.0, 1.0))
    assert (found.single_tokens, found.batch_rows, found.batch_tokens) == (8, 8, 32)
    assert found.single_seconds == pytest.approx(8.0) and found.batch_seconds == pytest.approx(32.0)
    assert found.prompt_tokens == 5
    assert clock.now == pytest.approx(4 + 32 + 2 + 8 + 32), "warm-up of both shapes, then what is timed"


@pytest.mark.parametrize(
    ("error", "oom"),
    [
        (OutOfMemory("generation ran out of memory"), True),
        (MemoryError("no room"), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("CUDA error: out of memory"), True),
        (RuntimeError("shapes differ"), False),
    ],
)
def test_memory_that_runs_out_is_told_from_other_errors(error: Exception, oom: bool) -> None:
    class Broken:
        def forced(self, prompts: Sequence[Sequence[int]], new_tokens: int) -> int:
            raise error

    def attempt() -> BatchTry:
        return probes.try_batch(Broken(), PROMPTS, 4, 2, lambda: 7)  # type: ignore[arg-type]

    if oom:
        assert (attempt().rows, attempt().status, attempt().memory_bytes) == (4, "oom", None)
    else:
        with pytest.raises(RuntimeError, match="shapes differ"):
            attempt()


def test_prompts_are_validation_examples_and_jobs_do_not_know_the_test_split(jobs: list[Job], project: Path) -> None:
    from harness.arms.toy import Knowledge
    from harness.records import Example
    from harness.records.files import read_records

    plan = jobs[0].plan
    picked = {example.id for example in examples_of(plan, 5)}
    validation = {row.id for row in read_records(plan.files.folder / "validation.jsonl", Example)}
    assert plan.files.sealed is not None
    tested = {row.id for row in read_records(plan.files.sealed / "test.jsonl", Example)}
    assert len(picked) == 5 and picked <= validation and not picked & tested
    sealed = Job(replace(plan, files=replace(plan.files, sealed=None)), jobs[0].artefact, jobs[0].settings)
    prompts = prompts_of(sealed, ToyModel(Knowledge(0.5, 0, 3)))
    texts = [ToyModel(Knowledge(0.5, 0, 3)).tokenizer.decode(prompt) for prompt in prompts]
    every = {row.prompt for row in read_records(plan.files.folder / "validation.jsonl", Example)}
    assert len(texts) == 2 and set(texts) <= every


# -------------------------------------------------------------------------------------------------------- failures


class Failing(FakeBench):
    """Fails the visits that `when` (arm, number of the visit) says."""

    def __init__(self, when: Callable[[str, int], BaseException | None]) -> None:
        super().__init__({"weak": 1.0, "strong": 1.5})
        self.when = when

    def visit(self, job: Job, rows: int | None) -> ServingVisit:
        error = self.when(job.plan.arm_name, len(self.visited))
        if error is not None:
            raise error
        return super().visit(job, rows)


def test_an_arm_that_fails_is_recorded_and_the_others_go_on(jobs: list[Job], tmp_path: Path) -> None:
    order = orders(["weak", "strong"], 6, random.Random(0))
    bench = Failing(lambda arm, number: OutOfMemory("no room", hint="") if arm == "strong" and number > 4 else None)
    weak, strong = passes.run(jobs, order, bench, Journal(tmp_path / "a.jsonl"), silent)
    assert weak.status == "ok" and len(weak.visits) == 6
    assert strong.status == "failed" and strong.error == f"round {len(strong.visits) + 1}: no room"
    assert 0 < len(strong.visits) < 6
    assert bench.visited.count("strong") == len(strong.visits)


def test_an_arm_for_which_one_prompt_does_not_fit_is_never_timed(jobs: list[Job], tmp_path: Path) -> None:
    class Small(FakeBench):
        def probe(self, job: Job) -> ServingProbe:
            tries = (BatchTry(1, "oom", None, "7 GB asked for"),)
            return ServingProbe(8, "resident set", tries if job.plan.arm_name == "strong" else ())

    bench = Small({"weak": 1.0, "strong": 1.0})
    weak, strong = passes.run(jobs, [("strong", "weak")] * 2, bench, Journal(tmp_path / "a.jsonl"), silent)
    assert strong.status == "failed" and "single prompt: 7 GB asked for" in str(strong.error)
    assert bench.visited == ["weak", "weak"] and weak.status == "ok"


def test_a_killed_pass_goes_on_after_its_last_whole_round(jobs: list[Job], tmp_path: Path) -> None:
    order = orders(["weak", "strong"], 6, random.Random(0))
    journal = Journal(tmp_path / "a.jsonl")
    killed = Failing(lambda arm, number: KeyboardInterrupt() if number == 7 else None)
    with pytest.raises(KeyboardInterrupt):
        passes.run(jobs, order, killed, journal, silent)
    with journal.path.open("ab") as torn:
        torn.write(b'{"round": 3, "vis')

    bench = FakeBench({"weak": 1.0, "strong": 1.5})
    served = passes.run(jobs, order, bench, journal, silent)
    assert bench.probed == []
    assert bench.visited == [arm for round_ in order[3:] for arm in round_]
    assert all([visit.round for visit in arm.visits] == list(range(6)) for arm in served)
    again = FakeBench({})
    assert passes.run(jobs, order, again, journal, silent) == served
    assert again.visited == []
