"""`HarnessLM` in lm-eval's own `simple_evaluate` gives what lm-eval's `HFLM` gives."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from harness.errors import ModelError
from harness.models.lm_eval_model import HarnessLM

CHOICE = """
task: shop_choice
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{ text }} "
doc_to_choice: "{{ choices }}"
doc_to_target: "{{ answer }}"
metric_list: [{metric: acc, aggregation: mean, higher_is_better: true}]
"""
ROLLING = """
task: shop_rolling
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{ text }}"
metric_list: [{metric: byte_perplexity, aggregation: weighted_perplexity, higher_is_better: false}]
"""
ANSWERS = """
task: shop_answers
dataset_path: json
dataset_kwargs: {data_files: {test: FILE}}
test_split: test
output_type: generate_until
doc_to_text: "{{ text }}"
doc_to_target: "a"
generation_kwargs: {until: ["e"], max_gen_toks: 12, do_sample: false}
metric_list: [{metric: exact_match, aggregation: mean, higher_is_better: true}]
"""
TASKS = {"shop_choice": CHOICE, "shop_rolling": ROLLING, "shop_answers": ANSWERS}


@pytest.fixture(scope="module")
def tasks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shop")
    rng = random.Random(5)
    words = ["cough", "fever", "3 days", "no", "yes", "400 mg", "Ärztin", "denied"]

    def text(count: int) -> str:
        return " ".join(rng.choice(words) for _ in range(count))

    rows = [{"text": text(12), "choices": [text(1), text(3), "yes", "no"], "answer": 0} for _ in range(12)]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, yaml in TASKS.items():
        (folder / f"{name}.yaml").write_text(yaml.replace("FILE", str(folder / "rows.jsonl")))
    return folder


def evaluate(model: Any, tasks: Path) -> Any:
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    manager = TaskManager(include_defaults=False, include_path=str(tasks))
    return simple_evaluate(
        model=model, tasks=list(TASKS), task_manager=manager, bootstrap_iters=0, log_samples=True, verbosity="ERROR"
    )


@pytest.mark.filterwarnings("ignore")  # lm-eval and HFLM warn of their own ways
def test_simple_evaluate_gives_what_hflm_gives(llama: Path, tasks: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TQDM_DISABLE", "1")
    from lm_eval.models.huggingface import HFLM

    ours = evaluate(HarnessLM.load(str(llama)), tasks)
    theirs = evaluate(HFLM(pretrained=str(llama), dtype="float32", device="cpu", batch_size=4), tasks)
    for name in TASKS:
        for metric, value in theirs["results"][name].items():
            if isinstance(value, float):
                assert ours["results"][name][metric] == pytest.approx(value, rel=1e-5), (name, metric)
        pairs = zip(ours["samples"][name], theirs["samples"][name], strict=True)
        for mine, other in pairs:
            if name == "shop_choice":
                for (a, greedy), (b, wanted) in zip(mine["filtered_resps"], other["filtered_resps"], strict=True):
                    assert float(a) == pytest.approx(float(b), abs=1e-4)
                    assert greedy == wanted
            elif name == "shop_answers":
                assert mine["filtered_resps"] == other["filtered_resps"]
    assert theirs["results"]["shop_rolling"]["byte_perplexity,none"] > 1


def test_what_cannot_be_loaded_is_one_line(tmp_path: Path, llama: Path) -> None:
    with pytest.raises(ModelError, match="is not a folder"):
        HarnessLM.load(str(tmp_path / "absent"))
    with pytest.raises(ModelError, match="there is no adapter folder"):
        HarnessLM.load(str(llama), adapter=str(tmp_path / "absent"))
