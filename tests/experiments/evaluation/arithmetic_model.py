"""A model without torch whose answers are arithmetic of the prompt; run as a script it predicts slowly, to be killed.

python arithmetic_model.py OUT_FOLDER SECONDS_PER_BATCH
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from harness.experiments.evaluation.predict import GenerationRequest, LikelihoodRequest, Settings, likelihoods, predict
from harness.models import Continuation, Generation, Logprob
from harness.records import to_json


class ArithmeticModel:
    """Deterministic, but like a real model it depends on the shape of its batch: the sums end in the batch's width."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.batches = 0

    def generate(self, prompts: Sequence[Sequence[int]], max_new_tokens: int, stop: Sequence[str]) -> list[Generation]:
        self._work()
        width = max(map(len, prompts))
        rows = [((sum(p) * 31 + width) % 97, (sum(p) + len(prompts)) % 89) for p in prompts]
        return [Generation(row, f"ä {row}", "stop" if row[0] % 2 else "length") for row in rows]

    def logprobs(self, requests: Sequence[Continuation]) -> list[Logprob]:
        self._work()
        width = max(len(r.context) + len(r.target) for r in requests)
        return [Logprob(-sum(r.target) / 7 - width * 1e-9, len(r.target), sum(r.target) % 2 == 0) for r in requests]

    def encode(self, text: str) -> list[int]:
        return list(text.encode())

    def close(self) -> None:
        return

    def _work(self) -> None:
        time.sleep(self.seconds)
        self.batches += 1


SETTINGS = Settings(eval_id="e", batch_tokens=200, max_rows=4, max_new_tokens=10)


def generation_load(count: int = 60) -> list[GenerationRequest]:
    return [GenerationRequest(f"x{i}", tuple(range(1 + i * 7 % 30)), f"h{i}", i % 5 == 0) for i in range(count)]


def likelihood_load(count: int = 60) -> list[LikelihoodRequest]:
    return [
        LikelihoodRequest("test", f"x{i // 2}", i % 2, "choice", tuple(range(1 + i // 2 * 7 % 30)), (i, i + 1), 3)
        for i in range(count)
    ]


def run(folder: Path, seconds: float) -> ArithmeticModel:
    """Predict and score into `folder`, ending with result.json without the wall times."""
    model = ArithmeticModel(seconds)
    answers = predict(model, generation_load(), SETTINGS, folder / "generate.jsonl", lambda *a: None)
    scored = likelihoods(model, likelihood_load(), SETTINGS, folder / "score.jsonl", lambda *a: None)
    rows = [{**to_json(row), "seconds": None} for row in answers]
    (folder / "result.json").write_text(json.dumps([rows, to_json(scored)]))
    return model


if __name__ == "__main__":
    run(Path(sys.argv[1]), float(sys.argv[2]))
