"""A made-up experiment with fixed numbers: six arms, one of which ran out of memory, and one that starts from lora."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from answer_counts import count_answers

from harness.metrics import score_likelihoods, score_predictions
from harness.records import (
    Entry,
    Example,
    ExperimentRecord,
    LeakagePair,
    Ledger,
    Likelihood,
    Prediction,
    Provenance,
    RunRecord,
    Score,
    SealedAccess,
)
from harness.results.collect import Results

TEXT = "the patient has a cough and fever since three days takes 200 mg of ibuprofen no allergies returns monday"
WORDS = TEXT.split()
SKILL = {"untrained": 0.3, "few_shot": 0.45, "full": 0.8, "lora": 0.78, "dpo": 0.75}
TASK: dict[str, Any] = {
    "name": "notes",
    "version": 2,
    "description": "Notes of synthetic conversations.",
    "metrics": {"primary": "rouge_l", "also": ["bleu", "exact_match", "perplexity", "bits_per_byte"]},
    "leakage": {"drop": "train"},
    "sensitive": False,
}


class Maker:
    """Builds Results; tests change its parts before asking for them."""

    def __init__(self, examples: int = 40, seeds: tuple[int, ...] = (0,)) -> None:
        rng = np.random.default_rng(3)
        self.seeds = seeds
        self.task = dict(TASK)
        self.examples = [
            Example(f"e{i}", f"g{i // 2}", (" ".join(rng.choice(WORDS, size=12)),), prompt=f"Summarise visit {i}.")
            for i in range(examples)
        ]
        self.predictions: list[Prediction] = []
        self.scores: list[Score] = []
        self.entries: list[Entry] = []
        self.runs: list[RunRecord] = []
        for arm, skill in SKILL.items():
            for seed in seeds if arm in ("full", "lora", "dpo") else (None,):
                self._arm(arm, skill, seed, rng)
        self._failure()

    def _arm(self, arm: str, skill: float, seed: int | None, rng: np.random.Generator) -> None:
        eval_id = f"eval-{arm}-{seed}"
        answers, likelihoods = [], []
        for number, example in enumerate(self.examples):
            words = [word if rng.random() < skill else str(rng.choice(WORDS)) for word in example.references[0].split()]
            finish = "length" if arm == "lora" and number < 3 else "stop"
            answers.append(Prediction(eval_id, example.id, "h", " ".join(words), finish, 9, 12, 0.1))
            lost = rng.normal(0, 2)
            likelihoods.append(Likelihood(eval_id, "test", example.id, 0, "target", -12 * (2 - skill) - lost, 12, 60))
            likelihoods.append(
                Likelihood(eval_id, "retention", f"r{number}", 0, "text", -30 - 5 * skill - lost, 12, 60)
            )
        metrics = ["rouge_l", "bleu", "exact_match", "perplexity", "bits_per_byte", "retention_perplexity"]
        self.predictions += answers
        self.scores += score_predictions(metrics, eval_id, answers, self.examples)
        self.scores += score_likelihoods(metrics, likelihoods)
        for number in range(30):
            value = float(rng.random() < skill)
            self.scores.append(Score(eval_id, "lm_eval:choice", f"d{number}", "acc", "none", 1, "ok", value))
        self.entries.append(Entry("x1", arm, seed, f"train-{arm}-{seed}", 1, "ok", eval_id))
        self.runs.append(self._run(arm, seed))

    def _run(self, arm: str, seed: int | None) -> RunRecord:
        own = Ledger(predict_seconds=4.0, score_seconds=0.5, total_parameters=1_750_000, peak_memory_bytes=310_000_000)
        trained = replace(
            own,
            examples=200,
            tokens=31_400,
            optimiser_steps=25,
            train_seconds=9.25,
            prepare_seconds=1.0,
            trainable_parameters=1_750_000 if arm == "full" else 70_000,
            artefact_bytes=7_000_000 if arm == "full" else 300_000,
        )
        ledger = {"full": trained, "lora": trained}.get(arm, own)
        if arm == "dpo":
            ledger = replace(trained, examples=100, train_seconds=14.0, parent=trained)
        provenance = Provenance("0.1.0", None, None, {}, {}, "2026-01-01T00:00:00Z")
        return RunRecord(f"train-{arm}-{seed}", 1, arm, arm, seed, "final", "ok", None, ledger, provenance, None)

    def _failure(self) -> None:
        run = replace(self._run("qlora", 0), status="oom", error="out of memory at step 3: [red]1.2 GB[/red] asked for")
        self.runs.append(run)
        self.entries.append(Entry("x1", "qlora", 0, run.train_id, 1, "oom", None))

    @property
    def results(self) -> Results:
        record = ExperimentRecord(
            experiment_id="x1",
            name="short",
            file="short.yaml",
            spec={"reference": "untrained", "budget": {"examples": 200}},
            task=self.task,
            task_fingerprint="f1",
            split_sizes={"train": 300, "validation": 40, "test": len(self.examples)},
            leaks=(LeakagePair("e1", "test", "t9", "train", "near-duplicate", 0.93),),
            base_hash="b",
            created="2026-01-01T00:00:00Z",
            groups={example.id: example.group for example in self.examples},
        )
        looks = [
            SealedAccess(entry.eval_id, "x1", entry.arm, "me", "run", "now") for entry in self.entries if entry.eval_id
        ]
        return Results(
            experiment=record,
            entries=self.entries,
            runs=self.runs,
            scores=self.scores,
            answers=count_answers(self.predictions),
            looks=[*looks, SealedAccess("eval-old", "x0", "lora", "me", "run", "before")],
            groups=record.groups,
        )


@pytest.fixture
def maker() -> Maker:
    """A fresh experiment that a test may change."""
    return Maker()


@pytest.fixture(scope="session")
def make() -> type[Maker]:
    """The builder itself, for other sizes and seeds."""
    return Maker


@pytest.fixture(scope="session")
def results() -> Results:
    """The experiment as it is, shared."""
    return Maker().results
