"""Few-shot examples, chat templates, groups and aggregates of lm-eval's tasks: as its command has them, or refused."""

from __future__ import annotations

import json
import random
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from plain_task import plain_task

from harness.config import ChatSpec, LmEvalSpec, TaskSpec
from harness.data.prompts import Prompter
from harness.errors import ModelError, SpecError
from harness.experiments.evaluation import lm_eval_scores
from harness.models import Generation, Logprob
from harness.models.lm_eval_model import HarnessLM
from harness.models.lm_eval_tasks import LmEvalContext, LmEvalResults, evaluate, metric_names
from harness.records import Message

CHATML = (
    "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CHOICE: dict[str, Any] = {
    "dataset_path": "json",
    "test_split": "test",
    "fewshot_split": "test",
    "output_type": "multiple_choice",
    "doc_to_text": "{{ text }} ",
    "doc_to_choice": "{{ choices }}",
    "doc_to_target": "{{ answer }}",
    "metric_list": [{"metric": "acc"}, {"metric": "mcc"}],
}
ANSWER: dict[str, Any] = {
    "dataset_path": "json",
    "test_split": "test",
    "fewshot_split": "test",
    "output_type": "generate_until",
    "doc_to_text": "{{ text }}",
    "doc_to_target": "{{ choices[0] }}",
    "generation_kwargs": {"until": ["e"], "max_gen_toks": 8},
    "metric_list": [{"metric": "exact_match", "aggregation": "mean", "higher_is_better": True}],
}
LOGLIKELIHOOD: dict[str, Any] = {
    "dataset_path": "json",
    "test_split": "test",
    "output_type": "loglikelihood",
    "doc_to_text": "{{ text }}",
    "doc_to_target": "{{ choices[0] }}",
}
FUNCTIONS = """
def largest(items): return max(items)
def length(references, predictions, **rest): return float(len(predictions[0]))
"""


class Model:
    """Log-probabilities and answers that depend on lengths alone."""

    context = 4000

    def generate(self, prompts: Any, limit: int, stop: Any) -> list[Generation]:
        return [Generation("yes" * (len(prompt) % 3), "stop", 1, 0.0) for prompt in prompts]

    def logprobs(self, requests: Any) -> list[Logprob]:
        return [Logprob(-0.1 * sum(request.target), len(request.target), False) for request in requests]

    def encode(self, text: str) -> list[int]:
        return [len(word) for word in text.split()]

    def close(self) -> None:
        return


def rows(count: int, seed: int = 3) -> list[dict[str, Any]]:
    rng = random.Random(seed)
    words = ["cough", "fever", "no", "yes", "400 mg", "Ärztin", "denied"]

    def text(length: int) -> str:
        return " ".join(rng.choice(words) for _ in range(length))

    return [
        {"text": text(9), "choices": [text(1), text(3), "yes", "no"], "answer": rng.randrange(4)} for _ in range(count)
    ]


def write(folder: Path, name: str, task: dict[str, Any], count: int = 6) -> None:
    folder.mkdir(exist_ok=True)
    data = folder / f"{name}.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows(count, len(name))))
    task = {"task": name, **task, "dataset_kwargs": {"data_files": {"test": str(data)}}}
    text = yaml.safe_dump(task, sort_keys=False)
    (folder / f"{name}.yaml").write_text(re.sub(r"'(!function [\w.]+)'", r"\1", text))


def run(folder: Path, model: Any, **spec: Any) -> LmEvalResults:
    return evaluate(
        model,
        LmEvalSpec(include_path=folder.name, **spec),
        LmEvalContext(folder.parent, folder, "e"),
        lambda *a: None,
    )


@pytest.mark.filterwarnings("ignore")  # lm-eval and HFLM warn of their own ways
@pytest.mark.parametrize("chat", [False, True])
def test_few_shot_examples_and_chat_templates_are_those_of_the_command(
    llama: Path, tmp_path: Path, chat: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    from lm_eval import simple_evaluate
    from lm_eval.models.huggingface import HFLM
    from lm_eval.tasks import TaskManager

    monkeypatch.setenv("TQDM_DISABLE", "1")
    write(tmp_path / "yaml", "pick", {**CHOICE, "description": "Choose."})
    write(tmp_path / "yaml", "say", ANSWER)
    peer = HFLM(pretrained=str(llama), dtype="float32", device="cpu", batch_size=4)
    peer.tokenizer.chat_template = CHATML
    theirs = simple_evaluate(
        model=peer,
        tasks=["pick", "say"],
        task_manager=TaskManager(include_defaults=False, include_path=str(tmp_path / "yaml")),
        num_fewshot=2,
        apply_chat_template=chat,
        system_instruction="Be brief." if chat else None,
        bootstrap_iters=0,
        verbosity="ERROR",
    )
    model = HarnessLM.load(str(llama)).model
    spec = LmEvalSpec(tasks=["pick", "say"], include_path="yaml", num_fewshot=2, apply_chat_template=chat)
    task = plain_task()
    prompter = Prompter(model.tokenizer, ChatSpec(template=CHATML, system="Be brief."), task, 700)  # type: ignore[attr-defined]
    context = LmEvalContext(tmp_path, tmp_path, "e", chat=lm_eval_scores.chat(prompter) if chat else None)
    ours = evaluate(model, spec, context, lambda *a: None)
    wanted = [float(answer[0][0]) for sample in theirs["samples"]["pick"] for answer in sample["resps"]]
    assert [row.logprob for row in ours.likelihoods] == pytest.approx(wanted, abs=1e-4)
    said = [row.value for row in ours.scores if row.metric == "exact_match"]
    assert said == [sample["exact_match"] for sample in theirs["samples"]["say"]]
    bare = evaluate(model, spec.model_copy(update={"num_fewshot": 0}), context, lambda *a: None)
    assert [row.logprob for row in bare.likelihoods] != pytest.approx(wanted, abs=1e-2)


@pytest.mark.parametrize("prefix", ["e", " Answer: ", "The answer is"])
@pytest.mark.parametrize("trim", ["", " | trim"])
def test_an_answer_that_was_begun_is_continued(llama: Path, prefix: str, trim: str) -> None:
    """A prefix that stands in the template's own words too, or that the template would trim, stays as it is."""
    tokenizer = HarnessLM.load(str(llama)).tokenizer
    template = CHATML.replace("m['content'] }}", f"m['content']{trim} }}}}<|end|>")
    prompter = Prompter(tokenizer, ChatSpec(template=template), plain_task(), 700)
    text = prompter.chat_text([Message("user", "How?"), Message("assistant", prefix)], opened=False)
    assert text == f"<|user|>How?<|end|>\n<|assistant|>{prefix}"


def test_a_template_that_is_not_there_is_refused(llama: Path) -> None:
    task = plain_task()
    tokenizer = HarnessLM.load(str(llama)).tokenizer
    with pytest.raises(ModelError, match="apply_chat_template needs a chat template"):
        lm_eval_scores.chat(Prompter(tokenizer, ChatSpec(), task, 700))


@pytest.mark.parametrize("weighted", [True, False])
def test_a_group_has_the_aggregate_of_lm_eval_or_none(tmp_path: Path, weighted: bool) -> None:
    folder = tmp_path / "yaml"
    write(folder, "small", CHOICE, 3)
    write(folder, "larger", CHOICE, 11)
    group = {
        "group": "both",
        "task": ["small", "larger"],
        "aggregate_metric_list": [{"metric": "acc", "weight_by_size": weighted}],
    }
    (folder / "both.yaml").write_text(yaml.safe_dump(group))
    results = run(folder, Model(), tasks=["both"])
    scores, withheld = lm_eval_scores.agreeing(results)
    of_group = [row for row in scores if row.suite == "lm_eval:both"]
    assert len(of_group) == 14 and {row.item.partition("/")[0] for row in of_group} == {"small", "larger"}
    values = [row.value for row in of_group if row.value is not None]
    if weighted:
        assert sum(values) / 14 == pytest.approx(results.totals["both", "acc", "none"], abs=1e-9)
    else:
        assert values == [] and "way of its own" in withheld["both/acc"]
    assert "small/acc" not in withheld and "small/mcc" in withheld
    names = metric_names(LmEvalSpec(tasks=["both"], include_path="yaml"), tmp_path)
    assert set(names) == {"both", "small", "larger"} and list(names["both"] or ()) == ["acc"]


@pytest.mark.parametrize(
    ("metric", "why"),
    [
        ({"metric": "acc", "aggregation": "mean", "higher_is_better": False}, "lower values are better"),
        ({"metric": "acc", "aggregation": "!function functions.largest", "higher_is_better": True}, "way of its own"),
        ({"metric": "brier_score", "aggregation": "brier_score", "higher_is_better": False}, "no number"),
        ({"metric": "mcc", "aggregation": "matthews_corrcoef", "higher_is_better": True}, "no number"),
    ],
)
def test_a_mean_is_not_shown_under_the_name_of_something_else(tmp_path: Path, metric: dict[str, Any], why: str) -> None:
    folder = tmp_path / "yaml"
    write(folder, "odd", {**CHOICE, "metric_list": [metric]}, 9)
    (folder / "functions.py").write_text(FUNCTIONS)
    scores, withheld = lm_eval_scores.agreeing(run(folder, Model(), tasks=["odd"]))
    assert why in withheld[f"odd/{metric['metric']}"]
    assert {(row.status, row.value) for row in scores} == {("missing", None)}


def test_perplexity_is_the_one_of_lm_eval_or_not_shown(tmp_path: Path) -> None:
    write(tmp_path / "yaml", "next", LOGLIKELIHOOD, 9)
    results = run(tmp_path / "yaml", Model(), tasks=["next"])
    scores, withheld = lm_eval_scores.agreeing(results)
    shown = {row.metric for row in scores if row.status == "ok"}
    assert shown == {"acc"} and set(withheld) == {"next/perplexity"}


def test_documents_that_are_cut_are_counted(llama: Path, tmp_path: Path) -> None:
    write(tmp_path / "yaml", "pick", CHOICE, 4)
    write(tmp_path / "yaml", "say", ANSWER, 4)
    model = HarnessLM.load(str(llama)).model
    model.context = 10  # type: ignore[misc]
    results = run(tmp_path / "yaml", model, tasks=["pick", "say"])
    cut = {
        task: sum(row.metric == "prompts_cut" and row.suite == f"lm_eval:{task}" for row in results.scores)
        for task in ("pick", "say")
    }
    assert cut == {"pick": 4, "say": 4}
    model.context = 700  # type: ignore[misc]
    assert not any(row.metric == "prompts_cut" for row in run(tmp_path / "yaml", model, tasks=["pick"]).scores)


def generated(rng: random.Random) -> dict[str, Any]:
    """A task with some metrics, and some filters."""
    if rng.random() < 0.5:
        kinds = rng.sample(
            ["acc", "acc_norm", "acc_mutual_info", "mcc", "brier_score", "exact_match"], rng.randint(1, 3)
        )
        listed = {"metric_list": [{"metric": kind} for kind in kinds]}
        return {**CHOICE, **(listed if rng.random() < 0.8 else {"metric_list": None})}
    filters = [
        {"name": f"filter-{number}", "filter": [{"function": "lowercase"}, {"function": "take_first"}]}
        for number in range(rng.randint(0, 3))
    ]
    kinds = rng.sample(["exact_match", "bleu", "chrf", "ter"], rng.randint(1, 3))
    return {
        **ANSWER,
        "metric_list": [{"metric": kind} for kind in kinds],
        **({"filter_list": filters} if filters else {}),
    }


@pytest.mark.filterwarnings("ignore")  # sacrebleu warns of short answers
def test_names_are_told_from_yaml_alone(tmp_path: Path) -> None:
    rng = random.Random(11)
    names = [f"task_{number}" for number in range(200)]
    for name in names:
        write(tmp_path / "yaml", name, generated(rng), 2)
    told = metric_names(LmEvalSpec(tasks=names, include_path="yaml"), tmp_path)
    results = run(tmp_path / "yaml", Model(), tasks=names)
    given = {
        name: {
            key
            for task, *key in ((t, m if f == "none" else f"{m},{f}") for t, m, f in results.totals)
            if task == name
            for key in key
        }
        for name in names
    }
    assert {name: set(kinds or ()) for name, kinds in told.items()} == given
    shown = {
        (row.suite.partition(":")[2], row.metric, row.filter)
        for row in lm_eval_scores.agreeing(results)[0]
        if row.status == "ok"
    }
    computed = {
        (name, kind.partition(",")[0], kind.partition(",")[2] or "none")
        for name, kinds in told.items()
        for kind, how in (kinds or {}).items()
        if how in lm_eval_scores.COMPUTED
    }
    assert shown == computed


@pytest.mark.parametrize(
    ("primary", "message"),
    [
        ("say/exact_match", "no metric 'say/exact_match'.*say/exact_match,strict"),
        ("both/acc", "no metric 'both/acc'"),
        ("pick/mcc", "computes pick/mcc over all documents"),
        ("unheard_of/acc", "no metric 'unheard_of/acc'"),
    ],
)
def test_a_primary_metric_that_will_not_be_is_refused(tmp_path: Path, primary: str, message: str) -> None:
    folder = tmp_path / "yaml"
    filters = [{"name": "strict", "filter": [{"function": "take_first"}]}]
    write(folder, "say", {**ANSWER, "filter_list": filters})
    write(folder, "pick", CHOICE)
    (folder / "both.yaml").write_text(yaml.safe_dump({"group": "both", "task": ["pick", "say"]}))

    def task(name: str) -> TaskSpec:
        return plain_task(name, lm_eval={"tasks": ["both"], "include_path": "yaml"})

    with pytest.raises(SpecError, match=message) as refused:
        lm_eval_scores.check_names(task(primary), tmp_path)
    assert refused.value.field == "metrics.primary"
    assert lm_eval_scores.check_names(task("say/exact_match,strict"), tmp_path) == []
