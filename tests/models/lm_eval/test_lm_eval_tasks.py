"""lm-eval tasks through our Model give what the `lm_eval` command gives on the same model and task."""

from __future__ import annotations

import itertools
import json
import os
import random
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from harness.config import BaseModelSpec, LmEvalSpec
from harness.errors import DataError, SpecError
from harness.models import Continuation, Generation, Logprob
from harness.models.lm_eval_tasks import LmEvalContext, documents, evaluate
from harness.models.transformers.causal import CausalModel
from harness.models.transformers.loading import load_base
from harness.records import Likelihood, Score

ROOT = Path(__file__).parents[3]
STOCK = ROOT / "tasks" / "visit_notes" / "lm_eval" / "visit_choice.yaml"
WORDS = ["cough", "fever", "3 days", "five weeks", "no", "yes", "ibuprofen 400 mg", "Ärztin", "denied"]
ROLLING = """
task: tiny_rolling
dataset_path: json
dataset_kwargs: {data_files: {test: DATA_FILE}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{ conversation }}"
metric_list: [{metric: word_perplexity}, {metric: byte_perplexity}, {metric: bits_per_byte}]
metadata: {version: 2.0}
"""
ANSWERS = """
task: tiny_answers
dataset_path: json
dataset_kwargs: {data_files: {test: DATA_FILE}}
test_split: test
output_type: generate_until
doc_to_text: "{{ conversation }}  "
doc_to_target: "{{ wanted }}"
generation_kwargs: {until: ["e", "\\n"], max_gen_toks: 24}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
metadata: {version: 1}
"""
NAMES = ["visit_choice", "tiny_rolling", "tiny_answers"]
SPEC = LmEvalSpec(tasks=NAMES, include_path="lm_eval")


def visits(count: int) -> list[dict[str, Any]]:
    rng = random.Random(7)

    def text(least: int, most: int) -> str:
        return " ".join(rng.choice(WORDS) for _ in range(rng.randint(least, most)))

    return [
        {
            "conversation": text(10, 40),
            "choices": [text(2, 9) for _ in range(4)],
            "answer": rng.randrange(4),
            "wanted": "",
        }
        for _ in range(count)
    ]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a task folder, and a sealed folder with its data; one document stands there twice."""
    folder = tmp_path_factory.mktemp("lm_eval")
    (folder / "task" / "lm_eval").mkdir(parents=True)
    (folder / "sealed" / "lm_eval").mkdir(parents=True)
    texts = {"visit_choice": STOCK.read_text(), "tiny_rolling": ROLLING, "tiny_answers": ANSWERS}
    rows = visits(24)
    for name, text in texts.items():
        (folder / "task" / "lm_eval" / f"{name}.yaml").write_text(text)
        lines = [json.dumps(row, ensure_ascii=False) for row in [*rows, rows[0]]]
        (folder / "sealed" / "lm_eval" / f"{name}.jsonl").write_text("\n".join(lines) + "\n")
    return folder


@pytest.fixture(scope="module")
def model(llama: Path) -> CausalModel:
    return CausalModel(*load_base(BaseModelSpec(path=str(llama)), "cpu"))


@pytest.fixture(scope="module")
def ours(model: CausalModel, place: Path) -> tuple[list[Score], list[Likelihood]]:
    results = evaluate(model, SPEC, LmEvalContext(place / "task", place / "sealed", "e"), lambda *a: None)
    return results.scores, results.likelihoods


@pytest.fixture(scope="module")
def theirs(llama: Path, place: Path) -> dict[str, Any]:
    """Results and samples of a real `lm_eval` run, with the data's path put into the YAML files."""
    yaml = place / "yaml"
    yaml.mkdir()
    for name in NAMES:
        text = (place / "task" / "lm_eval" / f"{name}.yaml").read_text()
        (yaml / f"{name}.yaml").write_text(
            text.replace("test: DATA_FILE", f"test: {place / 'sealed' / 'lm_eval' / name}.jsonl")
        )
    environment = {
        **os.environ,
        "OMP_NUM_THREADS": "1",
        "HF_HUB_OFFLINE": "1",
        "HF_HOME": str(place / "cache"),
        "TOKENIZERS_PARALLELISM": "false",
    }
    command = [sys.executable, "-m", "lm_eval", "--model", "hf", "--device", "cpu", "--batch_size", "4"]
    command += ["--model_args", f"pretrained={llama},dtype=float32", "--tasks", ",".join(NAMES)]
    command += ["--include_path", str(yaml), "--log_samples", "--output_path", str(place / "out")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-2000:]
    [results] = (place / "out").rglob("results_*.json")
    found: dict[str, Any] = {"results": json.loads(results.read_text())["results"], "samples": {}}
    for name in NAMES:
        [samples] = (place / "out").rglob(f"samples_{name}_*.jsonl")
        rows = [json.loads(line) for line in samples.read_text(encoding="utf-8").splitlines()]
        found["samples"][name] = sorted(rows, key=lambda row: row["doc_id"])
    return found


def values(scores: list[Score], task: str, metric: str) -> list[float]:
    return [row.value for row in scores if (row.suite, row.metric) == (f"lm_eval:{task}", metric)]


@pytest.mark.timeout(300)
def test_results_equal_the_command(ours: tuple[list[Score], list[Likelihood]], theirs: dict[str, Any]) -> None:
    scores, likelihoods = ours
    for metric in ("acc", "acc_norm"):
        got = values(scores, "visit_choice", metric)
        samples = theirs["samples"]["visit_choice"]
        assert got == [row[metric] for row in samples]
        assert sum(got) / len(got) == pytest.approx(theirs["results"]["visit_choice"][f"{metric},none"], abs=1e-12)
        assert 0 < sum(got) < len(got)

    wanted = [float(resp[0][0]) for row in theirs["samples"]["visit_choice"] for resp in row["resps"]]
    got = [row.logprob for row in likelihoods]
    assert len(got) == len(wanted) == 100
    assert max(abs(a - b) for a, b in zip(got, wanted, strict=True)) < 1e-4

    for row, sample in zip(
        (row for row in scores if row.metric == "bits_per_byte"), theirs["samples"]["tiny_rolling"], strict=True
    ):
        assert row.statistics is not None
        assert row.statistics == pytest.approx(tuple(sample["bits_per_byte"]), abs=1e-4)
    totals = [row.statistics for row in scores if row.metric == "byte_perplexity" and row.statistics]
    corpus = 2 ** (-sum(s[0] for s in totals) / sum(s[1] for s in totals) / 0.6931471805599453)
    assert corpus == pytest.approx(theirs["results"]["tiny_rolling"]["byte_perplexity,none"], rel=1e-6)

    got = values(scores, "tiny_answers", "exact_match")
    assert got == [row["exact_match"] for row in theirs["samples"]["tiny_answers"]]


@pytest.mark.timeout(300)
def test_answers_equal_the_command(model: CausalModel, place: Path, theirs: dict[str, Any]) -> None:
    asked: list[str] = []

    class Listening:
        tokenizer, prefix_id, context = model.tokenizer, model.prefix_id, model.context
        logprobs, encode, close = model.logprobs, model.encode, model.close

        def generate(self, prompts: Any, limit: int, stop: Any) -> list[Generation]:
            answers = model.generate(prompts, limit, stop)
            asked.extend(answer.text for answer in answers)
            return answers

    spec = LmEvalSpec(tasks=["tiny_answers"], include_path="lm_eval")
    evaluate(Listening(), spec, LmEvalContext(place / "task", place / "sealed", "e"), lambda *a: None)
    wanted = [row["resps"][0][0] for row in theirs["samples"]["tiny_answers"]]
    assert Counter(asked) == Counter(wanted)
    assert any(wanted)


def test_scores_carry_item_version_and_suite(ours: tuple[list[Score], list[Likelihood]]) -> None:
    scores, likelihoods = ours
    assert {(row.suite, row.version) for row in scores} == {
        ("lm_eval:visit_choice", 1),
        ("lm_eval:tiny_rolling", 2),
        ("lm_eval:tiny_answers", 1),
    }
    choice = [row for row in scores if row.suite == "lm_eval:visit_choice" and row.metric == "acc"]
    assert len({row.item for row in choice}) == 25
    assert choice[24].item == f"{choice[0].item}#2"
    assert {row.eval_id for row in (*scores, *likelihoods)} == {"e"}
    assert {row.status for row in scores} == {"ok"}
    assert {row.role for row in likelihoods} == {"choice"}
    assert [row.continuation for row in likelihoods] == [0, 1, 2, 3] * 25
    assert [row.item for row in likelihoods[::4]] == [row.item for row in choice]
    # Bytes are the choice's own; the line break that lm-eval's rule moves into the continuation is in its tokens.
    assert likelihoods[0].bytes == len(visits(1)[0]["choices"][0].encode())
    assert all(row.tokens > 0 for row in likelihoods)


def test_scorer_of_the_caller_is_used_and_limit_is_kept(model: CausalModel, place: Path) -> None:
    kinds: list[tuple[str, int]] = []

    def score(kind: str, requests: Any) -> list[Logprob]:
        kinds.append((kind, len(requests)))
        return model.logprobs(requests)

    spec = LmEvalSpec(tasks=["visit_choice", "tiny_rolling"], include_path="lm_eval", limit=3)
    context = LmEvalContext(place / "task", place / "sealed", "e", score=score)
    results = evaluate(model, spec, context, lambda *a: None)
    scores, likelihoods = results.scores, results.likelihoods
    assert sorted(kinds) == [("loglikelihood", 12), ("loglikelihood_rolling", 3)]
    assert len(likelihoods) == 12
    assert Counter(row.metric for row in scores)["acc"] == 3


class Wordy:
    """A model without a transformers tokenizer: what the toy backend looks like to lm-eval."""

    context = 50

    def generate(self, prompts: Any, limit: int, stop: Any) -> list[Generation]:
        raise AssertionError

    def logprobs(self, requests: Any) -> list[Logprob]:
        assert all(isinstance(request, Continuation) and len(request.context) <= 50 for request in requests)
        return [Logprob(-float(len(request.target)), len(request.target), False) for request in requests]

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]

    def close(self) -> None:
        return


def test_models_without_a_tokenizer_of_transformers(place: Path) -> None:
    seen: list[tuple[str, int, int]] = []
    spec = LmEvalSpec(tasks=["visit_choice"], include_path="lm_eval")
    context = LmEvalContext(place / "task", place / "sealed", "e", batch_tokens=400)
    scores = evaluate(Wordy(), spec, context, lambda *a: seen.append(a)).scores
    for row, (number, doc) in zip(
        (row for row in scores if row.metric == "acc"), enumerate([*visits(24), visits(1)[0]]), strict=True
    ):
        lengths = [len(choice.split()) for choice in doc["choices"]]
        assert row.value == float(lengths.index(min(lengths)) == doc["answer"]), number
    assert seen[-1] == ("lm_eval", 100, 100)
    assert len(seen) > 2


def test_nothing_is_said_seeded_or_cached(
    place: Path, capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    states = torch.random.get_rng_state(), np.random.get_state()[1].tolist()
    sealed = sorted((place / "sealed").rglob("*"))
    evaluate(
        Wordy(),
        LmEvalSpec(tasks=["visit_choice"], include_path="lm_eval"),
        LmEvalContext(place / "task", place / "sealed", "e"),
        lambda *a: None,
    )
    captured = capfd.readouterr()
    assert captured.out + captured.err == ""
    assert torch.equal(torch.random.get_rng_state(), states[0])
    assert np.random.get_state()[1].tolist() == states[1]
    assert list(tmp_path.iterdir()) == []
    assert sorted((place / "sealed").rglob("*")) == sealed
    assert not datasets.are_progress_bars_disabled()


def test_documents_are_the_texts_put_to_the_model(place: Path) -> None:
    texts = documents(LmEvalSpec(tasks=["visit_choice"], include_path="lm_eval"), place / "task", place / "sealed")
    assert list(texts) == ["visit_choice"]
    assert texts["visit_choice"][0] == f"Write the visit note.\n\n{visits(1)[0]['conversation']}\n\nNote:\n"
    assert len(texts["visit_choice"]) == 25


def test_stock_choice_puts_the_prompt_of_its_task() -> None:
    import yaml

    task = yaml.safe_load((ROOT / "tasks" / "visit_notes" / "task.yaml").read_text())
    choice = yaml.safe_load(STOCK.read_text())
    assert choice["doc_to_text"] == task["prompt"]
    assert choice["target_delimiter"] == ""
    assert task["lm_eval"]["tasks"] == [choice["task"]]


def test_what_cannot_be_found(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import lm_eval.tasks

    # lm-eval's own index takes ten seconds and is not what is tested here.
    right = lm_eval.tasks.TaskManager
    monkeypatch.setattr(
        lm_eval.tasks, "TaskManager", lambda include_defaults, include_path: right(None, include_path, False)
    )
    context = LmEvalContext(place / "task", place / "sealed", "e")
    with pytest.raises(SpecError, match=r"lm_eval.tasks: lm-eval has no task no_such_task\. See"):
        evaluate(Wordy(), LmEvalSpec(tasks=["no_such_task"], include_path="lm_eval"), context, lambda *a: None)
    with pytest.raises(SpecError, match="absent is not a folder"):
        evaluate(Wordy(), LmEvalSpec(tasks=["x"], include_path="absent"), context, lambda *a: None)
    empty = LmEvalContext(place / "task", tmp_path, "e")
    with pytest.raises(DataError, match="visit_choice cannot be loaded"):
        evaluate(Wordy(), LmEvalSpec(tasks=["visit_choice"], include_path="lm_eval"), empty, lambda *a: None)
    (tmp_path / "lm_eval").mkdir()
    (tmp_path / "lm_eval" / "visit_choice.jsonl").write_text("\n")
    with pytest.raises(DataError, match="holds no documents"):
        evaluate(Wordy(), LmEvalSpec(tasks=["visit_choice"], include_path="lm_eval"), empty, lambda *a: None)


def test_importing_the_module_is_cheap() -> None:
    script = "import sys, harness.models.lm_eval_tasks; print({'torch', 'lm_eval', 'datasets'} & set(sys.modules))"
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_batches_of_choices_are_shared_whatever_their_number(model: CausalModel, place: Path) -> None:
    spec = LmEvalSpec(tasks=["visit_choice"], include_path="lm_eval")
    runs = [
        evaluate(
            model, spec, LmEvalContext(place / "task", place / "sealed", "e", tokens, rows), lambda *a: None
        ).likelihoods
        for tokens, rows in ((100_000, 128), (1, 1))
    ]
    pairs = list(itertools.zip_longest(*runs))
    assert len(pairs) == 100
    assert max(abs(a.logprob - b.logprob) for a, b in pairs) < 1e-4
